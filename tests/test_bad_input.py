"""What is no username, course id, mode or flag: the named error, nothing written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments import api, data
from django_enrollments.conf import OPEN_EDX_COURSE_ID_PATTERN
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    EnrollmentNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import CourseEnrollment, CourseMode, EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    course_id_of,
    make_course,
    make_modes,
    make_user,
    username,
)
from tests.watching import nothing_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
ATTRIBUTES = [{"namespace": "host", "name": "color", "value": "red"}]

NO_USERNAMES = [
    None,
    True,
    5,
    1.5,
    b"ada",
    [],
    ["ada"],
    {},
    ("ada",),
    object(),
    "",
    "   ",
    "nobody",
    "ada\x00",
    "\ud800",
    "ada; DROP TABLE users",
    "%",
    pytest.param("x" * 100_000, id="huge"),
]

NO_COURSE_IDS = [
    None,
    b"course",
    [],
    [COURSE_ID],
    {},
    (COURSE_ID,),
    set(),
    object(),
    "",
    "   ",
    " unknown",
    "unknown",
    "a b",
    "a,b",
    "a?b",
    "a#b",
    "a/",
    "a\x00b",
    "a\nb",
    "a\n",
    "\ud800",
    "a\u200bb",
    "a\u202eb",
    "%",
    pytest.param("x" * 256, id="too long"),
    pytest.param("x" * 100_000, id="huge"),
]

NO_MODES = [
    True,
    5,
    b"audit",
    [],
    ["audit"],
    {},
    object(),
    "",
    "   ",
    "unknown",
    "audit\x00",
    "\ud800",
    pytest.param("x" * 101, id="too long"),
    pytest.param("x" * 100_000, id="huge"),
]


def refusals_of(
    error: type[CourseEnrollmentError], requests: Iterable[Callable[[], Any]]
) -> list[CourseEnrollmentError]:
    """Make requests that are all refused alike, and see that nothing is written."""
    refusals = []
    with nothing_written():
        for request in requests:
            with pytest.raises(error) as refusal:
                request()
            refusals.append(refusal.value)
    return refusals


@pytest.fixture(autouse=True)
def _enrolled() -> None:
    course = make_course()
    make_modes(course, "audit", "honor")
    CourseEnrollment.enroll(make_user(), course_id_of(course))
    make_user("bob")


class TestUsernames:
    @pytest.mark.parametrize("name", NO_USERNAMES)
    def test_reading_finds_nothing(self, name: Any) -> None:
        assert api.get_enrollments(name) == []
        assert api.get_enrollments(name, include_inactive=True) == []
        assert api.get_verified_enrollments(name) == []
        assert api.get_enrollment(name, COURSE_ID) is None
        assert data.get_course_enrollments(name) == []
        assert data.get_course_enrollment(name, COURSE_ID) is None

    @pytest.mark.parametrize("name", NO_USERNAMES)
    def test_nobody_may_sit_an_exam(self, settings: Any, name: Any) -> None:
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True

        assert api.is_enrollment_valid_for_proctoring(name, COURSE_ID) is False

    @pytest.mark.parametrize("name", NO_USERNAMES)
    def test_everything_else_tells_that_there_is_no_such_user(self, name: Any) -> None:
        refusals = refusals_of(
            UserNotFoundError,
            (
                lambda: api.add_enrollment(name, COURSE_ID),
                lambda: api.add_enrollment(name, COURSE_ID, "honor", is_active=False),
                lambda: api.add_enrollment(name, COURSE_ID, is_active=False),
                lambda: api.add_enrollment(
                    name, COURSE_ID, enrollment_attributes=ATTRIBUTES
                ),
                lambda: api.update_enrollment(name, COURSE_ID),
                lambda: api.update_enrollment(name, COURSE_ID, "honor"),
                lambda: api.update_enrollment(
                    name, COURSE_ID, enrollment_attributes=ATTRIBUTES
                ),
                lambda: api.set_enrollment_attributes(name, COURSE_ID, ATTRIBUTES),
                lambda: api.get_enrollment_attributes(name, COURSE_ID),
                lambda: api.unenroll_user_from_all_courses(name),
                lambda: api.get_user_roles(name),
                lambda: api.explain_enrollment(name, COURSE_ID),
                lambda: data.create_course_enrollment(name, COURSE_ID, "audit", True),
                lambda: data.update_course_enrollment(name, COURSE_ID),
                lambda: data.add_or_update_enrollment_attr(name, COURSE_ID, ATTRIBUTES),
                lambda: data.get_enrollment_attributes(name, COURSE_ID),
                lambda: data.unenroll_user_from_all_courses(name),
                lambda: data.get_user_roles(name),
            ),
        )

        json.dumps(list(map(str, refusals)))

    @pytest.mark.parametrize("name", NO_USERNAMES)
    def test_a_queryset_filter_is_asked_of_nobody(
        self, settings: Any, name: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: None]

        assert api.get_enrollments(name) == []


class TestCourseIds:
    @pytest.mark.parametrize("course_id", NO_COURSE_IDS)
    def test_reading_finds_nothing(self, course_id: Any) -> None:
        service = EnrollmentsService()
        learner = CourseEnrollment.objects.get().user

        assert api.get_enrollment(username("ada"), course_id) is None
        assert data.get_course_enrollment(username("ada"), course_id) is None
        assert api.get_enrollment_attributes(username("ada"), course_id) == []
        assert not data.get_user_enrollments(course_id).exists()
        assert not service.get_active_enrollments_by_course(course_id).exists()
        assert (
            service.get_active_enrollments_by_course_and_user(course_id, learner.pk)
            is None
        )
        assert service.get_enrollments_can_take_proctored_exams(course_id) is None
        assert service.is_enrolled(learner, course_id) is False
        assert CourseEnrollment.is_enrolled(learner, course_id) is False
        assert CourseEnrollment.is_enrolled_by_partial(learner, course_id) is False
        assert CourseEnrollment.enrollment_mode_for_user(learner, course_id) == (
            None,
            None,
        )
        assert CourseEnrollment.objects.enrollment_counts(course_id) == {"total": 0}
        assert not CourseEnrollment.objects.users_enrolled_in(course_id).exists()
        assert CourseEnrollment.objects.is_course_full(course_id) is False
        assert len(CourseMode.modes_for_course(course_id)) == 1

    @pytest.mark.parametrize("course_id", NO_COURSE_IDS)
    def test_nobody_may_sit_an_exam(self, settings: Any, course_id: Any) -> None:
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True

        assert not api.is_enrollment_valid_for_proctoring(username("ada"), course_id)

    @pytest.mark.rule("DATA-13")
    @pytest.mark.parametrize("course_id", NO_COURSE_IDS)
    def test_everything_else_tells_that_there_is_no_such_course(
        self, course_id: Any
    ) -> None:
        service = EnrollmentsService()
        learner = CourseEnrollment.objects.get().user
        refusals = refusals_of(
            CourseNotFoundError,
            (
                lambda: api.add_enrollment(username("ada"), course_id),
                lambda: api.add_enrollment(username("ada"), course_id, "honor"),
                lambda: api.add_enrollment(username("ada"), course_id, is_active=False),
                lambda: api.add_enrollment(
                    username("bob"), course_id, enrollment_attributes=ATTRIBUTES
                ),
                lambda: api.update_enrollment(username("ada"), course_id, "honor"),
                lambda: api.get_course_enrollment_details(course_id),
                lambda: api.validate_course_mode(course_id, "audit"),
                lambda: api.explain_enrollment(username("ada"), course_id),
                lambda: api.bulk_enroll(course_id, [username("bob")]),
                lambda: data.create_course_enrollment(
                    username("bob"), course_id, "audit", True
                ),
                lambda: data.get_course_enrollment_info(course_id),
                lambda: service.enroll(learner, course_id),
                lambda: service.unenroll(learner, course_id),
                lambda: service.change_mode(learner, course_id, "honor"),
                lambda: service.bulk_enroll(course_id, [learner]),
                lambda: service.explain(learner, course_id),
                lambda: CourseEnrollment.enroll(learner, course_id, check_access=True),
            ),
        )

        json.dumps(list(map(str, refusals)))

    @pytest.mark.rule("API-11")
    @pytest.mark.parametrize("course_id", NO_COURSE_IDS)
    def test_without_a_mode_there_is_nothing_to_update(self, course_id: Any) -> None:
        with nothing_written():
            with pytest.raises(EnrollmentNotFoundError):
                api.update_enrollment(username("ada"), course_id, is_active=False)
            api.set_enrollment_attributes(username("ada"), course_id, ATTRIBUTES)
            data.update_course_enrollment(username("ada"), course_id, "honor")
            CourseEnrollment.unenroll(CourseEnrollment.objects.get().user, course_id)

    @pytest.mark.parametrize(
        "course_id", ["unicode-курс-1", "a+b", "a:b", "a@b", "x" * 255, "a/b//c", "é"]
    )
    def test_what_the_pattern_allows_is_a_course_id(self, course_id: str) -> None:
        make_course(course_id, display_name="A course")

        added = api.add_enrollment(username("ada"), course_id)

        assert added["course_details"]["course_id"] == course_id
        assert api.get_enrollment(username("ada"), course_id) == added

    def test_the_pattern_may_be_stricter(self, settings: Any) -> None:
        make_course("django-101")
        settings.ENROLLMENTS_COURSE_ID_PATTERN = OPEN_EDX_COURSE_ID_PATTERN

        with pytest.raises(CourseNotFoundError):
            api.add_enrollment(username("ada"), "django-101")
        assert api.get_course_enrollment_details(COURSE_ID)


class TestModes:
    @pytest.mark.parametrize("mode", NO_MODES)
    def test_everything_tells_that_it_is_not_available(self, mode: Any) -> None:
        service = EnrollmentsService()
        learner = CourseEnrollment.objects.get().user
        bob = type(learner).objects.get(email="bob@example.org")
        refusals = refusals_of(
            CourseModeNotFoundError,
            (
                lambda: api.validate_course_mode(COURSE_ID, mode),
                lambda: api.validate_course_mode(COURSE_ID, mode, include_expired=True),
                lambda: api.add_enrollment(username("bob"), COURSE_ID, mode),
                lambda: api.add_enrollment(username("bob"), COURSE_ID, mode, False),
                lambda: api.update_enrollment(username("ada"), COURSE_ID, mode),
                lambda: api.bulk_enroll(COURSE_ID, [username("bob")], mode=mode),
                lambda: service.enroll(bob, COURSE_ID, mode),
                lambda: service.change_mode(learner, COURSE_ID, mode),
                lambda: service.bulk_enroll(COURSE_ID, [bob], mode),
            ),
        )

        json.dumps([refusal.data for refusal in refusals])
        assert {refusal.data["course_id"] for refusal in refusals} == {COURSE_ID}

    @pytest.mark.rule("DATA-04")
    @pytest.mark.parametrize("mode", [one for one in NO_MODES if one != "unknown"])
    def test_no_row_can_hold_it(self, mode: Any) -> None:
        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            data.create_course_enrollment(username("bob"), COURSE_ID, mode, True)
        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            data.update_course_enrollment(username("ada"), COURSE_ID, mode)

    @pytest.mark.rule("DATA-04")
    def test_an_unknown_slug_is_a_slug_all_the_same(self) -> None:
        created = data.create_course_enrollment(
            username("bob"), COURSE_ID, "x" * 100, True
        )

        assert created["mode"] == "x" * 100


class TestFlags:
    @pytest.mark.rule("V1-POST-19")
    @pytest.mark.parametrize("flag", ["yes", "false", "", 0, 1, [], {}, object()])
    def test_the_activation_is_a_boolean(self, flag: Any) -> None:
        refusals = refusals_of(
            CourseEnrollmentError,
            (
                lambda: api.add_enrollment(username("bob"), COURSE_ID, is_active=flag),
                lambda: api.update_enrollment(
                    username("ada"), COURSE_ID, is_active=flag
                ),
            ),
        )

        assert all("activation status" in str(refusal) for refusal in refusals)

    @pytest.mark.rule("V1-POST-19")
    def test_the_value_is_named(self) -> None:
        with pytest.raises(CourseEnrollmentError) as refusal:
            api.update_enrollment(username("ada"), COURSE_ID, is_active="foo")  # type: ignore[arg-type]

        assert str(refusal.value) == "'foo' is an invalid enrollment activation status."

    @pytest.mark.parametrize(
        "customer", ["\x00", "\ud800", pytest.param("x" * 256, id="too long")]
    )
    def test_an_enterprise_customer_is_a_text_that_can_be_stored(
        self, customer: str
    ) -> None:
        learner = CourseEnrollment.objects.get().user
        bob = type(learner).objects.get(email="bob@example.org")
        row = CourseEnrollment.objects.get()
        refusals = refusals_of(
            CourseEnrollmentError,
            (
                lambda: api.add_enrollment(
                    username("bob"), COURSE_ID, enterprise_uuid=customer
                ),
                lambda: EnrollmentsService().enroll(
                    bob, COURSE_ID, enterprise_uuid=customer
                ),
                lambda: CourseEnrollment.enroll(
                    bob, COURSE_ID, enterprise_uuid=customer
                ),
                lambda: row.update_enrollment(mode="honor", enterprise_uuid=customer),
            ),
        )

        assert all("enterprise" in str(refusal) for refusal in refusals)

    def test_what_is_no_enrollment_is_a_programmers_mistake(self) -> None:
        with pytest.raises((AttributeError, TypeError)):
            api.serialize_enrollments(["ada"])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            api.serialize_enrollments(None)  # type: ignore[arg-type]

    def test_text_that_looks_like_sql_is_text(self) -> None:
        evil = "'; DROP TABLE django_enrollments_enrollmentevent; --"
        before = EnrollmentEvent.objects.count()

        EnrollmentsService().enroll(
            CourseEnrollment.objects.get().user, COURSE_ID, reason=evil
        )
        with pytest.raises(CourseEnrollmentError):
            api.add_enrollment(evil, COURSE_ID)
        api.add_enrollment(username("bob"), COURSE_ID, enterprise_uuid=evil)

        assert EnrollmentEvent.objects.count() == before + 1
        assert EnrollmentEvent.objects.last().enterprise_uuid == evil
