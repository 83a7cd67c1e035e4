"""Users that can log in, and open courses, which the dataset does not have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from accounts.models import User
from catalog.models import CourseRun, School
from demo.replay import SOURCE
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollmentAllowed,
    CourseMode,
)
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

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
        role: What the user can do, in a few words.
        is_operator: Whether the user is a superuser.
    """

    username: str
    password: str
    name: str
    role: str
    is_operator: bool = False


LEARNER = Login("learner", "demo-learner", "Lena Learner", "learner")
TEACHER = Login("teacher", "demo-teacher", "Tariq Teacher", "course team")
OPERATOR = Login(
    "operator", "demo-operator", "Olga Operator", "staff", is_operator=True
)

#: Learners of the evening school, who cannot log in.
NAMES = (
    *("Grace Hall", "Alan Moor", "Ada Bright", "Bela Kun", "Chidi Obi", "Dana Weiss"),
    *("Emil Roth", "Fatma Demir", "Gita Rao", "Hugo Leclerc", "Ines Prado"),
    *("Jonas Berg", "Kenji Mori", "Lara Conti", "Malik Hassan", "Nora Quinn"),
)

#: The modes of a course: slug, name, price, description.
FREE = (("audit", "Course only", 0, "All lessons, without a certificate."),)
PAID = (
    ("audit", "Course only", 60, "All lessons, without a certificate."),
    ("verified", "With certificate", 95, "All lessons, a final test, a certificate."),
)


@dataclass(frozen=True)
class Plan:
    """
    A course of the evening school. Dates are in days from today.

    Attributes:
        code: The course id.
        title: The title.
        summary: A few sentences.
        seats: Number of seats; ``None`` for no limit.
        taken: Number of learners.
        modes: Slugs, names, prices and descriptions.
        opens: When registration opens, at 09:00; ``None`` for always.
        closes: The last day of registration; ``None`` for never.
        starts: The first day; ``None`` for any time. The course lasts twelve weeks.
        by_invitation: Whether only invited learners can enroll.
    """

    code: str
    title: str
    summary: str
    seats: int | None
    taken: int = 0
    modes: tuple[tuple[str, str, int, str], ...] = PAID
    opens: int | None = None
    closes: int | None = None
    starts: int | None = None
    by_invitation: bool = False


#: Some ids have characters that addresses of pages must keep.
PLANS = (
    Plan(
        OPEN_COURSE,
        "Django for teachers",
        "Build a small site for your class: pages, forms and a place to hand in work. "
        "You need a laptop and no experience.",
        30,
        modes=(
            ("audit", "Audit", 0, "All lessons, without a certificate."),
            ("verified", "Verified certificate", 49, "With a project and a review."),
        ),
    ),
    Plan(
        FULL_COURSE,
        "Pottery for beginners",
        "Two wheels, two learners, and as much clay as you like.",
        2,
        taken=2,
    ),
    Plan(
        "SPANISH-A1",
        "Spanish for travelers",
        "Order a meal, buy a ticket, tell a story. Twelve evenings, with a native "
        "speaker.",
        18,
        taken=11,
        closes=30,
        starts=37,
    ),
    Plan(
        "BREAD-3",
        "Sourdough and rye",
        "From the first starter to a loaf that keeps for a week.",
        12,
        taken=11,
        closes=9,
        starts=14,
    ),
    Plan(
        "evening/drawing/summer",
        "Life drawing",
        "Line, light and proportion, with a model every week. Materials are included.",
        16,
        taken=6,
        closes=45,
        starts=52,
    ),
    Plan(
        "GREEK",
        "Reading Homer together",
        "An open circle that reads the Odyssey, twenty lines an evening. Join whenever "
        "you want.",
        None,
        taken=9,
        modes=FREE,
    ),
    Plan(
        "ASTRO-2",
        "The night sky",
        "Find your way among stars and planets, with a telescope on the school's roof.",
        40,
        opens=94,
        closes=120,
        starts=128,
    ),
    Plan(
        "course-v1:Evening+Welding+2",
        "Welding, second level",
        "Seams that hold, for people who have done the first level.",
        8,
        opens=20,
        closes=60,
        starts=66,
    ),
    Plan(
        "CHOIR",
        "Chamber choir",
        "Renaissance and new music for twenty voices. The conductor invites singers "
        "after an audition.",
        20,
        taken=13,
        modes=FREE,
        by_invitation=True,
    ),
    Plan(
        "PHOTO-LAB",
        "Darkroom evenings",
        "Develop and print your own films. For former learners of the photography "
        "course, by invitation.",
        6,
        taken=4,
        by_invitation=True,
        starts=21,
    ),
    Plan(
        "BOOKS-1",
        "Bookbinding",
        "Fold, sew, glue and press: three books of your own by the end.",
        10,
        taken=10,
        closes=-6,
        starts=-2,
    ),
)

#: The course to which the learner is invited.
INVITED_COURSE = "CHOIR"
#: The course that the learner has left.
LEFT_COURSE = "evening/drawing/summer"


def set_up() -> User:
    """
    Create the missing users, the evening school, its courses and their enrollments.

    Returns:
        The learner.
    """
    _add_login(OPERATOR)
    teacher = _add_login(TEACHER)
    learner = _add_login(LEARNER)
    school, _ = School.objects.get_or_create(
        code="evening", defaults={"name": "Evening School"}
    )
    learners = [_add_learner(name) for name in NAMES]
    for number, plan in enumerate(PLANS):
        if not CourseRun.objects.filter(code=plan.code).exists():
            # Not the same learners in each course.
            start = 2 * number - 2
            turned = learners[start:] + learners[:start] if start > 0 else learners
            _add_course(school, plan, turned)
    for plan in PLANS:
        CourseAccessRole.objects.get_or_create(
            user=teacher,
            org=school.code,
            course_id=plan.code,
            role=CourseAccessRole.STAFF,
        )
    CourseEnrollmentAllowed.objects.get_or_create(
        email=learner.email,
        course_id=INVITED_COURSE,
        defaults={"actor": teacher, "reason": "Audition passed"},
    )
    _add_former_enrollment(learner, teacher)
    return learner


def _add_former_enrollment(learner: User, teacher: User) -> None:
    """Give the learner a history of three changes."""
    service = EnrollmentsService()
    if service.list_by_user(learner).in_course(LEFT_COURSE).exists():
        return
    enrolled = timezone.now() - timedelta(days=50)
    service.enroll(
        learner,
        LEFT_COURSE,
        force=True,
        actor=teacher,
        reason="Registered at the open day",
        at=enrolled,
    )
    service.change_mode(
        learner,
        LEFT_COURSE,
        "verified",
        actor=learner,
        source="site",
        at=enrolled + timedelta(days=4),
    )
    service.unenroll(
        learner,
        LEFT_COURSE,
        actor=learner,
        source="site",
        at=enrolled + timedelta(days=11),
    )


def _add_course(school: School, plan: Plan, learners: list[User]) -> None:
    now = timezone.localtime()
    today = now.date()

    def day(offset: int | None) -> date | None:
        return None if offset is None else today + timedelta(days=offset)

    opens = day(plan.opens)
    nine = time(9, tzinfo=now.tzinfo)
    run = CourseRun.objects.create(
        school=school,
        code=plan.code,
        title=plan.title,
        summary=plan.summary,
        seats=plan.seats,
        registration_opens_at=opens and datetime.combine(opens, nine),
        registration_closes_on=day(plan.closes),
        starts_on=day(plan.starts),
        ends_on=day(None if plan.starts is None else plan.starts + 12 * 7),
        by_invitation=plan.by_invitation,
    )
    CourseMode.objects.bulk_create(
        CourseMode(
            course=run,
            mode_slug=slug,
            mode_display_name=name,
            min_price=price,
            currency="eur",
            description=description,
        )
        for slug, name, price, description in plan.modes
    )
    service = EnrollmentsService()
    if plan.taken > 2:
        # A former learner.
        former, at = learners[plan.taken], now - timedelta(days=3 * plan.taken + 9)
        service.enroll(former, run, force=True, source=SOURCE, reason=MADE_UP, at=at)
        service.unenroll(
            former, run, source=SOURCE, reason="Moved away", at=at + timedelta(days=8)
        )
    for number, learner in enumerate(learners[: plan.taken]):
        at = now - timedelta(days=3 * (plan.taken - number), hours=number)
        service.enroll(
            learner,
            run,
            # Every third learner takes the last mode, the one with a certificate.
            plan.modes[-1 if number % 3 == 2 else 0][0],
            force=True,
            source=SOURCE,
            reason=MADE_UP,
            at=at,
        )


def _add_learner(name: str) -> User:
    username = name.split()[0].lower()
    user, _ = User.objects.get_or_create(
        username=username,
        defaults={"name": name, "email": f"{username}@example.org"},
    )
    return user


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
