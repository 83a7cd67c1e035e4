"""Whether a learner may enroll in each of many courses."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_enrollments.context import call_context
from django_enrollments.errors import (
    CourseNotFoundError,
    EnrollmentNotAllowed,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.permissions import ENROLL_IN_COURSE
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    DAY,
    HOUR,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_user,
    make_users,
)
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

service = EnrollmentsService()

ROLES = "django_enrollments.backends.permissions.CourseRoleBackend"


def refuse_by_name(action, **context):
    """Refuse some courses, and change the mode in others."""
    course_id = course_id_of(context["course"])
    if "vetoed" in course_id:
        raise EnrollmentNotAllowed(f"Not in {course_id}.")
    return {"mode": "honor"} if "changed" in course_id else None


class VetoByName:
    """Vetoes some courses and grants none."""

    def has_perm(self, user, perm, course=None):
        if perm == ENROLL_IN_COURSE and "denied" in course_id_of(course):
            raise PermissionDenied("Denied by a backend.")
        return False


@pytest.fixture
def learner(settings):
    settings.ENROLLMENTS_FILTERS = [refuse_by_name]
    settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.VetoByName", ROLES]
    return make_user("ada")


def make_many_states(learner):
    """Make a course in each state that explaining distinguishes."""
    closed, one_seat = {"invitation_only": True}, {"max_student_enrollments_allowed": 1}
    no_seat = {"max_student_enrollments_allowed": 0}
    facts = {
        **{name: {} for name in ("open", "vetoed", "changed", "denied", "expired")},
        "left": {},
        **dict.fromkeys(("closed", "invited", "used", "own", "left-closed"), closed),
        **dict.fromkeys(("staff-closed", "tester-closed"), closed),
        **dict.fromkeys(("full", "staff-full", "staff-seat", "verified"), one_seat),
        "later": {"enrollment_start": NOON + HOUR},
        "over": {"enrollment_end": NOON - HOUR},
        "invited-full": {"enrollment_end": NOON - DAY, **no_seat},
        "seats": {"max_student_enrollments_allowed": 3},
        "org+closed+1": {"org": "org", **closed},
        "modes": {"modes": ["audit", "verified", "honor"]},
        "professional": {"modes": ["professional"]},
        "enrolled": {"enrollment_end": NOON - DAY},
    }
    courses = {name: make_course(name, **one) for name, one in facts.items()}
    make_mode(courses["expired"], "verified", expiration_datetime=NOON - DAY)
    make_mode(courses["expired"], "honor")
    bob, member = make_users(2, "other")
    for name, user in (
        ("invited", None),
        ("invited-full", None),
        ("used", bob),
        ("own", learner),
    ):
        CourseEnrollmentAllowed.objects.create(
            email=learner.email, course_id=name, user=user
        )
    for user, course_id, role in (
        (learner, "staff-full", "staff"),
        (learner, "staff-closed", "staff"),
        (learner, "tester-closed", "beta_testers"),
        (member, "staff-seat", "instructor"),
        (member, "full", "limited_staff"),
    ):
        CourseAccessRole.objects.create(user=user, course_id=course_id, role=role)
    CourseAccessRole.objects.create(user=learner, org="org", role="instructor")
    for user, name, mode, is_active in (
        (bob, "full", "audit", True),
        (bob, "seats", "audit", True),
        (member, "seats", "audit", True),
        (bob, "staff-full", "audit", True),
        (member, "staff-seat", "audit", True),
        (bob, "verified", "audit", True),
        (learner, "enrolled", "audit", True),
        (learner, "verified", "verified", True),
        (learner, "left", "honor", False),
        (learner, "left-closed", "audit", False),
    ):
        CourseEnrollment.objects.create(
            user=user, course=courses[name], mode=mode, is_active=is_active
        )
    return list(courses.values())


@contextmanager
def counted():
    statements = []
    with CaptureQueriesContext(connection) as captured:
        yield statements
    statements += [query["sql"] for query in captured.captured_queries]


class TestExplainMany:
    @pytest.mark.parametrize("mode", [None, "audit", "verified", "nonsense", ""])
    @pytest.mark.parametrize("is_staff", [False, True])
    def test_explains_each_course_as_explain_does(self, learner, mode, is_staff):
        learner.is_staff = is_staff
        courses = make_many_states(learner)
        with call_context(NOON):
            expected = {
                course_id_of(one): service.explain(learner, one, mode)
                for one in courses
            }
        for given in (courses, [course_id_of(one) for one in courses]):
            with nothing_written(), call_context(NOON):
                explained = service.explain_many(learner, given, mode)

            assert list(explained) == [course_id_of(one) for one in courses]
            assert explained == expected
        codes = {
            reason["code"] for one in expected.values() for reason in one["reasons"]
        }
        assert {"course_full", "not_allowed", "already_enrolled"} <= codes
        seats = explained["staff-seat"]["seats"]
        assert seats == {"capacity": 1, "taken": 0, "left": 1}

    def test_explains_an_inactive_account_as_explain_does(self, learner):
        learner.is_active = False
        courses = make_many_states(learner)
        with call_context(NOON):
            expected = {
                course_id_of(one): service.explain(learner, one) for one in courses
            }

            assert service.explain_many(learner.pk, courses) != {}
            assert service.explain_many(learner, courses) == expected

    def test_takes_instances_and_ids_in_any_mixture_each_once(self, learner):
        first, second = make_course("one"), make_course("two")

        explained = service.explain_many(
            learner.pk, iter([first, "two", "one", second, first])
        )

        assert list(explained) == ["one", "two"]
        assert all(one["allowed"] for one in explained.values())

    def test_refuses_unknown_courses_and_users_and_a_text(self, learner):
        known = make_course("one")
        for unknown in ("One", "two", "no id", None, get_course_model()(pk=known.pk)):
            with pytest.raises(CourseNotFoundError):
                service.explain_many(learner, [known, unknown])
        for courses in ([known], []):
            with pytest.raises(UserNotFoundError):
                service.explain_many("nobody", courses)
        for text in ("a", b"a"):
            with pytest.raises(TypeError):
                service.explain_many(learner, text)
        assert service.explain_many(learner, []) == {}

    def test_reads_an_instance_again(self, learner):
        course = make_course("one", max_student_enrollments_allowed=5)
        stale = get_course_model().objects.get(pk=course.pk)
        get_course_model().objects.all().delete()
        with pytest.raises(CourseNotFoundError):
            service.explain_many(learner, [stale])


class TestStatements:
    def test_takes_as_many_for_1000_courses_as_for_1(self, settings):
        learner, member = make_user("ada"), make_user("member")
        settings.ENROLLMENTS_INVITE_ONLY = True
        courses = [
            make_course(f"course-{n}", max_student_enrollments_allowed=1)
            for n in range(1000)
        ]
        for course in courses:
            make_mode(course)
            course_id = course_id_of(course)
            CourseAccessRole.objects.create(
                user=member, course_id=course_id, role="staff"
            )
            CourseEnrollmentAllowed.objects.create(
                email="x@example.org", course_id=course_id
            )
            CourseEnrollment.objects.create(user=member, course=course)
        taken = {}

        for given in (courses, [course_id_of(course) for course in courses]):
            for count in (1, 1000):
                with counted() as statements:
                    explained = service.explain_many(learner, given[:count])
                assert len(explained) == count
                taken[type(given[0]), count] = len(statements)

        # Courses, modes, the learner's rows, seats (of all, staff, staff in it),
        # invitations and roles.
        assert set(taken.values()) == {8}, statements

    def test_takes_the_same_statements_for_each_batch(self, monkeypatch):
        monkeypatch.setattr("django_enrollments.services.COURSES_PER_BATCH", 2)
        courses = [make_course(f"course-{n}") for n in range(5)]
        learner = make_user("ada")

        with counted() as statements:
            explained = service.explain_many(learner, courses)

        assert len(explained) == 5
        assert len(statements) == 3 * 5, statements


class TestNarrowedAdapter:
    def test_does_not_make_an_id_known_by_an_instance(self, monkeypatch):
        learner, course = make_user("ada"), make_course("hidden")
        model = get_course_model()
        monkeypatch.setattr(
            type(get_course_adapter()),
            "get_queryset",
            lambda self: model._default_manager.exclude(pk=course.pk),
        )

        assert service.explain_many(learner, [course])["hidden"]["allowed"]
        for given in (["hidden"], [course, "hidden"], ["hidden", course]):
            with pytest.raises(CourseNotFoundError):
                service.explain_many(learner, given)
