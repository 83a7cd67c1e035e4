"""Wrong usernames, course ids, modes and flags, given to Python functions."""

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
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
ATTRIBUTES = [{"namespace": "host", "name": "color", "value": "red"}]
ADA, BOB = username("ada"), username("bob")

# The tables have several entries a line.
# fmt: off

NO_USERNAMES = [
    None, True, 5, 1.5, b"ada", [], ["ada"], {}, ("ada",), object(), "", "   ",
    "nobody", "ada\x00", "\ud800", "ada; DROP TABLE users", "%", "x" * 100_000,
]
NO_COURSE_IDS = [
    None, b"course", [], [COURSE_ID], {}, (COURSE_ID,), set(), object(), "", "   ",
    " unknown", "unknown", "a b", "a,b", "a?b", "a#b", "a/", "a\x00b", "a\nb", "a\n",
    "\ud800", "a\u200bb", "a\u202eb", "%", "x" * 256, "x" * 100_000,
]
NO_MODES = [
    True, 5, b"audit", [], ["audit"], {}, object(), "", "   ", "unknown", "audit\x00",
    "\ud800", "x" * 101, "x" * 100_000,
]

# fmt: on


def short(value: object) -> str:
    # The address of an object differs between the processes of pytest-xdist.
    return "object" if type(value) is object else repr(value)[:30]


no_usernames = pytest.mark.parametrize("name", NO_USERNAMES, ids=short)
no_course_ids = pytest.mark.parametrize("course_id", NO_COURSE_IDS, ids=short)


def refusals_of(
    error: type[CourseEnrollmentError], *calls: Callable[[], Any]
) -> list[CourseEnrollmentError]:
    """Assert that calls raise an error and write nothing; return the errors."""
    refusals = []
    with nothing_written():
        for call in calls:
            with pytest.raises(error) as refusal:
                call()
            refusals.append(refusal.value)
    json.dumps([str(refusal) for refusal in refusals])
    return refusals


@pytest.fixture(autouse=True)
def enrollment():
    """The enrollment of ada in a course; bob is not enrolled."""
    course = make_course()
    make_modes(course, "audit", "honor")
    make_user("bob")
    return CourseEnrollment.enroll(make_user(), course_id_of(course))


@pytest.fixture
def ada(enrollment):
    return enrollment.user


@pytest.fixture
def bob(ada):
    return type(ada).objects.get(email="bob@example.org")


class TestUsernames:
    @no_usernames
    def test_find_nothing_when_reading(self, settings, name):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True

        assert api.get_enrollments(name) == []
        assert api.get_enrollments(name, include_inactive=True) == []
        assert api.get_verified_enrollments(name) == []
        assert api.get_enrollment(name, COURSE_ID) is None
        assert data.get_course_enrollments(name) == []
        assert data.get_course_enrollment(name, COURSE_ID) is None
        assert api.is_enrollment_valid_for_proctoring(name, COURSE_ID) is False
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: None]
        assert api.get_enrollments(name) == []

    @no_usernames
    def test_are_refused_otherwise(self, name):
        arguments = (name, COURSE_ID)

        refusals_of(
            UserNotFoundError,
            lambda: api.add_enrollment(*arguments),
            lambda: api.add_enrollment(*arguments, "honor", is_active=False),
            lambda: api.add_enrollment(*arguments, is_active=False),
            lambda: api.add_enrollment(*arguments, enrollment_attributes=ATTRIBUTES),
            lambda: api.update_enrollment(*arguments),
            lambda: api.update_enrollment(*arguments, "honor"),
            lambda: api.update_enrollment(*arguments, enrollment_attributes=ATTRIBUTES),
            lambda: api.set_enrollment_attributes(*arguments, ATTRIBUTES),
            lambda: api.get_enrollment_attributes(*arguments),
            lambda: api.unenroll_user_from_all_courses(name),
            lambda: api.get_user_roles(name),
            lambda: api.explain_enrollment(*arguments),
            lambda: data.create_course_enrollment(*arguments, "audit", True),
            lambda: data.update_course_enrollment(*arguments),
            lambda: data.add_or_update_enrollment_attr(*arguments, ATTRIBUTES),
            lambda: data.get_enrollment_attributes(*arguments),
            lambda: data.unenroll_user_from_all_courses(name),
            lambda: data.get_user_roles(name),
        )


class TestCourseIds:
    @no_course_ids
    def test_find_nothing_when_reading(self, settings, ada, course_id):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
        service, objects = EnrollmentsService(), CourseEnrollment.objects

        assert api.get_enrollment(ADA, course_id) is None
        assert data.get_course_enrollment(ADA, course_id) is None
        assert api.get_enrollment_attributes(ADA, course_id) == []
        assert not api.is_enrollment_valid_for_proctoring(ADA, course_id)
        assert not data.get_user_enrollments(course_id).exists()
        assert not service.get_active_enrollments_by_course(course_id).exists()
        by_user = service.get_active_enrollments_by_course_and_user(course_id, ada.pk)
        assert by_user is None
        assert service.get_enrollments_can_take_proctored_exams(course_id) is None
        assert service.is_enrolled(ada, course_id) is False
        assert CourseEnrollment.is_enrolled(ada, course_id) is False
        assert CourseEnrollment.is_enrolled_by_partial(ada, course_id) is False
        found = CourseEnrollment.enrollment_mode_for_user(ada, course_id)
        assert found == (None, None)
        assert objects.enrollment_counts(course_id) == {"total": 0}
        assert not objects.users_enrolled_in(course_id).exists()
        assert objects.is_course_full(course_id) is False
        assert len(CourseMode.modes_for_course(course_id)) == 1

    @pytest.mark.rule("DATA-13")
    @no_course_ids
    def test_are_refused_otherwise(self, ada, course_id):
        service = EnrollmentsService()
        attributes = {"enrollment_attributes": ATTRIBUTES}

        refusals_of(
            CourseNotFoundError,
            lambda: api.add_enrollment(ADA, course_id),
            lambda: api.add_enrollment(ADA, course_id, "honor"),
            lambda: api.add_enrollment(ADA, course_id, is_active=False),
            lambda: api.add_enrollment(BOB, course_id, **attributes),
            lambda: api.update_enrollment(ADA, course_id, "honor"),
            lambda: api.get_course_enrollment_details(course_id),
            lambda: api.validate_course_mode(course_id, "audit"),
            lambda: api.explain_enrollment(ADA, course_id),
            lambda: api.bulk_enroll(course_id, [BOB]),
            lambda: data.create_course_enrollment(BOB, course_id, "audit", True),
            lambda: data.get_course_enrollment_info(course_id),
            lambda: service.enroll(ada, course_id),
            lambda: service.unenroll(ada, course_id),
            lambda: service.change_mode(ada, course_id, "honor"),
            lambda: service.bulk_enroll(course_id, [ada]),
            lambda: service.explain(ada, course_id),
            lambda: CourseEnrollment.enroll(ada, course_id, check_access=True),
        )

    @pytest.mark.rule("API-11")
    @no_course_ids
    def test_have_no_enrollment_to_update(self, ada, course_id):
        refusals_of(
            EnrollmentNotFoundError,
            lambda: api.update_enrollment(ADA, course_id, is_active=False),
        )
        with nothing_written():
            api.set_enrollment_attributes(ADA, course_id, ATTRIBUTES)
            data.update_course_enrollment(ADA, course_id, "honor")
            CourseEnrollment.unenroll(ada, course_id)

    @pytest.mark.parametrize(
        "course_id", ["unicode-курс-1", "a+b", "a:b", "a@b", "x" * 255, "a/b//c", "é"]
    )
    def test_are_accepted_if_the_pattern_allows_them(self, course_id):
        make_course(course_id, display_name="A course")

        added = api.add_enrollment(ADA, course_id)

        assert added["course_details"]["course_id"] == course_id
        assert api.get_enrollment(ADA, course_id) == added

    def test_are_refused_by_a_stricter_pattern(self, settings):
        make_course("django-101")
        settings.ENROLLMENTS_COURSE_ID_PATTERN = OPEN_EDX_COURSE_ID_PATTERN

        with pytest.raises(CourseNotFoundError):
            api.add_enrollment(ADA, "django-101")
        assert api.get_course_enrollment_details(COURSE_ID)


class TestModes:
    @pytest.mark.rule("DATA-04")
    @pytest.mark.parametrize("mode", NO_MODES, ids=short)
    def test_are_refused(self, ada, bob, mode):
        service = EnrollmentsService()

        refusals = refusals_of(
            CourseModeNotFoundError,
            lambda: api.validate_course_mode(COURSE_ID, mode),
            lambda: api.validate_course_mode(COURSE_ID, mode, include_expired=True),
            lambda: api.add_enrollment(BOB, COURSE_ID, mode),
            lambda: api.add_enrollment(BOB, COURSE_ID, mode, False),
            lambda: api.update_enrollment(ADA, COURSE_ID, mode),
            lambda: api.bulk_enroll(COURSE_ID, [BOB], mode=mode),
            lambda: service.enroll(bob, COURSE_ID, mode),
            lambda: service.change_mode(ada, COURSE_ID, mode),
            lambda: service.bulk_enroll(COURSE_ID, [bob], mode),
        )

        json.dumps([refusal.data for refusal in refusals])
        assert {refusal.data["course_id"] for refusal in refusals} == {COURSE_ID}
        # The data layer accepts every text that can be stored.
        if mode != "unknown":
            refusals_of(
                CourseModeNotFoundError,
                lambda: data.create_course_enrollment(BOB, COURSE_ID, mode, True),
                lambda: data.update_course_enrollment(ADA, COURSE_ID, mode),
            )

    @pytest.mark.rule("DATA-04")
    def test_are_accepted_by_the_data_layer_if_they_can_be_stored(self):
        created = data.create_course_enrollment(BOB, COURSE_ID, "x" * 100, True)

        assert created["mode"] == "x" * 100


class TestOtherArguments:
    @pytest.mark.rule("V1-POST-19")
    @pytest.mark.parametrize("flag", ["yes", "false", "", 0, 1, [], {}, object()])
    def test_must_be_booleans_where_they_are_flags(self, flag):
        refusals = refusals_of(
            CourseEnrollmentError,
            lambda: api.add_enrollment(BOB, COURSE_ID, is_active=flag),
            lambda: api.update_enrollment(ADA, COURSE_ID, is_active=flag),
        )

        text = f"'{flag}' is an invalid enrollment activation status."
        assert {str(refusal) for refusal in refusals} == {text}

    @pytest.mark.parametrize("uuid", ["\x00", "\ud800", "x" * 256], ids=short)
    def test_must_be_texts_that_can_be_stored(self, enrollment, bob, uuid):
        customer = {"enterprise_uuid": uuid}

        refusals = refusals_of(
            CourseEnrollmentError,
            lambda: api.add_enrollment(BOB, COURSE_ID, **customer),
            lambda: EnrollmentsService().enroll(bob, COURSE_ID, **customer),
            lambda: CourseEnrollment.enroll(bob, COURSE_ID, **customer),
            lambda: enrollment.update_enrollment(mode="honor", **customer),
        )

        assert all("enterprise" in str(refusal) for refusal in refusals)

    def test_must_be_enrollments_to_be_serialized(self):
        with pytest.raises((AttributeError, TypeError)):
            api.serialize_enrollments(["ada"])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            api.serialize_enrollments(None)  # type: ignore[arg-type]

    def test_are_not_executed_if_they_look_like_sql(self, ada):
        evil = "'; DROP TABLE django_enrollments_enrollmentevent; --"
        before = EnrollmentEvent.objects.count()

        EnrollmentsService().enroll(ada, COURSE_ID, reason=evil)
        with pytest.raises(CourseEnrollmentError):
            api.add_enrollment(evil, COURSE_ID)
        api.add_enrollment(BOB, COURSE_ID, enterprise_uuid=evil)

        assert EnrollmentEvent.objects.count() == before + 1
        assert EnrollmentEvent.objects.last().enterprise_uuid == evil
