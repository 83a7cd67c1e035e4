"""Users that can log in, and open courses, which the dataset does not have."""

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

#: An open course with free seats.
OPEN_COURSE = "DJANGO-101"
#: An open course whose two seats are taken.
FULL_COURSE = "POTTERY-1"

#: Reason in the history.
MADE_UP = "Made up for the demo"


@dataclass(frozen=True)
class Login:
    """
    A user with a public password.

    Attributes:
        username: The username.
        password: The password.
        name: The full name.
        is_operator: Whether the user is a superuser.
    """

    username: str
    password: str
    name: str
    is_operator: bool = False


OPERATOR = Login("operator", "demo-operator", "Olga Operator", is_operator=True)
LEARNER = Login("learner", "demo-learner", "Lena Learner")


def set_up() -> User:
    """
    Create the missing users, the evening school, its courses and their enrollments.

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
    # The printed password must work, even if it was changed.
    if not user.check_password(login.password):
        user.set_password(login.password)
        user.save(update_fields=["password"])
    return user


def refuse(learner: User, course_id: str) -> Iterator[str]:
    """
    Explain an enrollment, then try it.

    Args:
        learner: The learner.
        course_id: A course that refuses the learner.

    Yields:
        Lines with the calls and their results.
    """
    service = EnrollmentsService()
    explained = service.explain(learner, course_id)
    call = f'(learner, "{course_id}")'
    yield f"EnrollmentsService().explain{call}"
    yield json.dumps(explained)
    if explained["allowed"]:
        yield "This course has been changed: it accepts learners."
        return
    yield f"EnrollmentsService().enroll{call}"
    try:
        service.enroll(learner, course_id)
    except CourseEnrollmentError as error:
        yield f"{type(error).__name__}, code {error.code!r}: {error}"
