"""What the dataset has nothing of: people who can log in, and courses open today."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.models import User
from catalog.models import CourseRun, School
from demo.replay import SOURCE
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseMode
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Open to everybody, with room for many.
OPEN_COURSE = "DJANGO-101"
#: Open to everybody, with two seats that are taken.
FULL_COURSE = "POTTERY-1"

#: What the history says about what is set up here.
MADE_UP = "Made up for the demo"


@dataclass(frozen=True)
class Login:
    """
    Somebody who can log in, with a password that everybody may know.

    Attributes:
        username: The login.
        password: The password.
        name: What the person is called.
        is_operator: Whether they may do everything.
    """

    username: str
    password: str
    name: str
    is_operator: bool = False


OPERATOR = Login("operator", "demo-operator", "Olga Operator", is_operator=True)
LEARNER = Login("learner", "demo-learner", "Lena Learner")


def set_up() -> User:
    """
    Add what is missing: logins, the evening school, its courses and its potters.

    Returns:
        The learner.
    """
    _add_login(OPERATOR)
    learner = _add_login(LEARNER)
    school, _ = School.objects.get_or_create(
        code="evening", defaults={"name": "Evening School"}
    )
    course, is_new = CourseRun.objects.get_or_create(
        code=OPEN_COURSE,
        defaults={"school": school, "title": "Django for teachers", "seats": 30},
    )
    if is_new:
        CourseMode.objects.create(
            course=course, mode_slug="audit", mode_display_name="Audit"
        )
        CourseMode.objects.create(
            course=course,
            mode_slug="verified",
            mode_display_name="Verified certificate",
            min_price=49,
        )
    pottery, is_new = CourseRun.objects.get_or_create(
        code=FULL_COURSE,
        defaults={"school": school, "title": "Pottery for beginners", "seats": 2},
    )
    if is_new:
        for name in ("grace", "alan"):
            potter = User.objects.create_user(name, f"{name}@example.org")
            EnrollmentsService().enroll(potter, pottery, source=SOURCE, reason=MADE_UP)
    return learner


def _add_login(login: Login) -> User:
    user, _ = User.objects.get_or_create(
        username=login.username,
        defaults={
            "name": login.name,
            "email": f"{login.username}@example.org",
            "is_staff": login.is_operator,
            "is_superuser": login.is_operator,
        },
    )
    # What is printed must work, whoever changed it meanwhile.
    if not user.check_password(login.password):
        user.set_password(login.password)
        user.save(update_fields=["password"])
    return user


def refuse(learner: User, course_id: str) -> Iterator[str]:
    """
    Have an enrollment explained, then try it.

    Args:
        learner: Who wants to enroll.
        course_id: A course that does not let them in.

    Yields:
        What was asked and answered, line by line.
    """
    service = EnrollmentsService()
    explained = service.explain(learner, course_id)
    call = f'(learner, "{course_id}")'
    yield f"EnrollmentsService().explain{call}"
    yield json.dumps(explained)
    if explained["allowed"]:
        yield "Somebody has changed this course: it lets learners in."
        return
    yield f"EnrollmentsService().enroll{call}"
    try:
        service.enroll(learner, course_id)
    except CourseEnrollmentError as error:
        yield f"{type(error).__name__}, code {error.code!r}: {error}"
