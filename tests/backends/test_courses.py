"""The adapters that read the courses of a host."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pytest
from django.utils.timezone import override as override_time_zone

from django_enrollments import api, datetimes
from django_enrollments.backends.courses import NAMES, CourseAdapter, CourseFacts
from django_enrollments.context import call_context
from django_enrollments.course_model import find_field
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentFullError,
    CourseNotFoundError,
)
from django_enrollments.models import (
    CourseEnrollment,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_user,
    make_users,
    username,
)

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"

ADAPTERS = "tests.swapped.adapters"


def use(settings, default_host, other_host):
    """Set the adapter of the host that the tests run under."""
    name = default_host if is_default_host() else other_host
    settings.ENROLLMENTS_COURSE_ADAPTER = f"{ADAPTERS}.{name}"


class TestNames:
    def test_are_those_of_the_contract_and_of_the_shipped_model(self):
        assert NAMES == (
            "course_id",
            "org",
            "display_name",
            "start",
            "end",
            "enrollment_start",
            "enrollment_end",
            "invitation_only",
            "max_student_enrollments_allowed",
            "self_paced",
            "enable_proctored_exams",
            "proctoring_provider",
        )
        sources = CourseAdapter().sources()
        assert sources.pop("course_id") == "id"
        assert all(name == source for name, source in sources.items())


class TestAdapterOfTheHost:
    def test_reads_every_kind_of_source(self):
        given = {
            "org": "Institute",
            "start": NOON,
            "enrollment_end": NOON + DAY,
            "invitation_only": True,
            "max_student_enrollments_allowed": 7,
            "enable_proctored_exams": True,
            "proctoring_provider": "proctor",
        }
        course = make_course(display_name="Numbers", **given)

        facts = get_course_adapter().facts(get_course_model().objects.get())

        # The other host's adapter makes the name with a method.
        name = "Numbers" if is_default_host() else "Seminar: Numbers"
        course_id = course_id_of(course)
        assert facts == CourseFacts(course_id=course_id, display_name=name, **given)

    def test_finds_a_course_by_its_exact_id_though_its_org_is_missing(self):
        course = make_course("django-101")
        adapter = get_course_adapter()

        assert adapter.facts(get_course_model().objects.get()).org == ""
        assert adapter.find_course("django-101") == course
        assert adapter.find_course("Django-101") is None
        assert adapter.find_course("django-1") is None
        assert adapter.course_id_of(course) == "django-101"

    def test_takes_the_orgs_of_deleted_courses_from_their_ids(self):
        make_course("edX/1/x", org="Institute")
        make_course("edX/2/x")
        orgs = get_course_adapter().orgs_of(["edX/1/x", "edX/2/x", "old/3/x", "gone"])

        assert orgs == ["Institute", "edX", "old", ""]


class TestAdapterOfMethods:
    """An adapter that computes everything, with plain dates and a capacity of 1."""

    @pytest.fixture(autouse=True)
    def _adapter(self, settings):
        use(settings, "MethodAdapter", "MethodSeminarAdapter")
        settings.TIME_ZONE = "UTC"

    def test_shows_values_of_the_methods(self, course):
        details = api.get_course_enrollment_details(COURSE_ID)

        assert details["course_name"] == f"Computed {COURSE_ID}"
        assert details["course_start"] == "2026-03-01T00:00:00Z"
        assert details["course_end"] == "2026-06-01T23:59:59.999999Z"
        assert details["enrollment_start"] == "2026-02-01T00:00:00Z"
        assert details["enrollment_end"] == "2026-03-05T23:59:59.999999Z"
        assert details["pacing_type"] == "Self Paced"
        json.dumps(details)

    @pytest.mark.rule("ACC-07")
    @pytest.mark.parametrize(
        ("at", "is_open"),
        [
            (datetime(2026, 2, 1, tzinfo=timezone.utc), False),
            (datetime(2026, 2, 1, 0, 0, 1, tzinfo=timezone.utc), True),
            (NOON, True),
            (datetime(2026, 3, 5, tzinfo=timezone.utc), True),
            (datetime(2026, 3, 5, 23, 59, 59, tzinfo=timezone.utc), True),
            (datetime(2026, 3, 6, tzinfo=timezone.utc), False),
        ],
    )
    def test_opens_with_the_first_moment_of_a_date_and_closes_with_the_last(
        self, ada, course, at, is_open
    ):
        with call_context(at):
            explained = api.explain_enrollment(username("ada"), COURSE_ID)

        assert explained["allowed"] is is_open

    def test_has_seats(self, course):
        ada, bob = make_users(2)

        with call_context(NOON):
            api.add_enrollment(ada.get_username(), COURSE_ID)
        with call_context(NOON), pytest.raises(CourseEnrollmentFullError):
            api.add_enrollment(bob.get_username(), COURSE_ID)

    @pytest.mark.rule("B-04")
    def test_takes_two_queries_for_a_list(self, ada, django_assert_num_queries):
        for number in range(3):
            course = make_course(f"course-{number}", modes=["audit", "honor"])
            EnrollmentsService().enroll(ada, course, at=NOON)

        with django_assert_num_queries(2):
            listed = api.get_enrollments(username("ada"))

        names = [one["course_details"]["course_name"] for one in listed]
        assert names == [f"Computed course-{number}" for number in range(3)]
        modes = [len(one["course_details"]["course_modes"]) for one in listed]
        assert modes == [2, 2, 2]
        assert listed == [
            api.get_enrollment(username("ada"), f"course-{number}")
            for number in range(3)
        ]

    def test_has_the_org_of_a_course_that_is_left(self):
        EnrollmentsService().enroll(make_user(), make_course(), at=NOON)

        assert api.unenroll_user_from_all_courses(username("ada")) == ["computed"]

    @pytest.mark.rule("SVC-04")
    def test_decides_on_proctored_exams(self, ada, course, settings):
        settings.ENROLLMENTS_PROCTORING_BACKENDS = {
            "computed": {"allow_honor_mode": True}
        }
        CourseEnrollment.enroll(ada, COURSE_ID, "honor")

        service = EnrollmentsService()
        found = service.get_enrollments_can_take_proctored_exams(COURSE_ID)

        assert found.count() == 1


class TestAdapterOfAnIdAlone:
    """An adapter that maps every other name to ``None``."""

    @pytest.fixture(autouse=True)
    def _adapter(self, settings):
        use(settings, "BareAdapter", "BareSeminarAdapter")

    def test_has_defaults(self):
        make_course(
            display_name="Unseen",
            enrollment_end=NOON,
            invitation_only=True,
            max_student_enrollments_allowed=0,
        )
        make_user()

        added = api.add_enrollment(username("ada"), COURSE_ID)

        details = added["course_details"]
        assert details["course_name"] == "Demo Course"
        assert details["pacing_type"] == "Instructor Paced"
        assert details["invite_only"] is False
        assert details["enrollment_end"] is None
        assert added == api.get_enrollment(username("ada"), COURSE_ID)
        assert api.explain_enrollment(username("ada"), COURSE_ID)["seats"] == {
            "capacity": None,
            "taken": 1,
            "left": None,
        }

    def test_has_the_org_of_the_id(self, course):
        CourseEnrollment.enroll(make_user(), COURSE_ID)

        assert api.unenroll_user_from_all_courses(username("ada")) == ["edX"]


@pytest.mark.skipif(not is_default_host(), reason="here the key is no course id")
class TestAdapterOfTheKey:
    @pytest.fixture(autouse=True)
    def _adapter(self, settings):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{ADAPTERS}.KeyAdapter"

    def test_may_call_it_pk(self, ada, course):
        added = api.add_enrollment(username("ada"), COURSE_ID)

        assert added["course_details"]["course_id"] == COURSE_ID
        assert api.get_enrollments(username("ada")) == [added]
        assert EnrollmentsService().is_enrolled(ada, COURSE_ID)
        assert CourseEnrollment.objects.in_course(COURSE_ID).get().course == course
        assert CourseEnrollment.is_enrolled_by_partial(ada, "course-v1:edX+DemoX")
        assert api.unenroll_user_from_all_courses(username("ada")) == ["edX"]

    def test_finds_the_enrollment_in_a_deleted_course(self, ada, course):
        api.add_enrollment(username("ada"), COURSE_ID)
        get_course_model().objects.all().delete()

        updated = api.update_enrollment(username("ada"), COURSE_ID, is_active=False)

        assert updated["is_active"] is False


class TestNarrowAdapter:
    def test_hides_courses_but_no_enrollments(self, settings):
        hidden = make_course("hidden")
        make_course("shown")
        CourseEnrollment.enroll(make_user(), "hidden")

        use(settings, "NarrowAdapter", "NarrowSeminarAdapter")
        api.add_enrollment(username("ada"), "shown")

        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details(course_id_of(hidden))
        assert len(api.get_enrollments(username("ada"))) == 2


class TestFactsFrom:
    def test_makes_aware_moments_of_dates_of_every_kind(self, settings):
        settings.TIME_ZONE = "America/New_York"
        local = timezone(timedelta(hours=2))

        facts = CourseAdapter().facts_from(
            {
                "course_id": "any",
                "start": date(2026, 1, 2),
                "end": datetime(2026, 7, 2, 12),  # noqa: DTZ001 - a naive one is meant.
                "enrollment_start": datetime(2026, 1, 2, 2, tzinfo=local),
                "enrollment_end": None,
            }
        )

        assert facts.start == datetime(2026, 1, 2, 5, tzinfo=timezone.utc)
        assert facts.end == datetime(2026, 7, 2, 16, tzinfo=timezone.utc)
        assert facts.enrollment_start == datetime(2026, 1, 2, tzinfo=timezone.utc)
        assert facts.enrollment_end is None

    def test_takes_dates_in_the_current_time_zone(self):
        first, last = date(2026, 1, 2), date(2026, 7, 2)
        dates = {"start": first, "end": last}
        dates |= {f"enrollment_{name}": value for name, value in dates.items()}

        with override_time_zone("America/New_York"):
            facts = CourseAdapter().facts_from({"course_id": "any", **dates})

        moments = (
            datetime(2026, 1, 2, 5, tzinfo=timezone.utc),
            datetime(2026, 7, 3, 3, 59, 59, 999_999, tzinfo=timezone.utc),
        )
        assert (facts.start, facts.end) == moments
        assert (facts.enrollment_start, facts.enrollment_end) == moments

    def test_gives_other_values_their_type(self):
        facts = CourseAdapter().facts_from(
            {
                "course_id": 101,
                "display_name": 5,
                "invitation_only": 1,
                "max_student_enrollments_allowed": "12",
                "self_paced": None,
                "proctoring_provider": None,
                "org": None,
            }
        )

        assert facts == CourseFacts(
            course_id="101",
            display_name="5",
            invitation_only=True,
            max_student_enrollments_allowed=12,
        )


class TestFindField:
    def test_returns_the_field_at_the_end_of_a_path_or_none(self):
        model = CourseEnrollment

        assert find_field(model, "course__pk") is get_course_model()._meta.pk
        assert find_field(model, "pk") is model._meta.pk
        assert find_field(model, "mode") is model._meta.get_field("mode")
        for path in ("nothing", "mode__x", "course__nothing", "events", "user_id__x"):
            assert find_field(model, path) is None
        assert find_field(model, "") is None


class TestMoments:
    @pytest.mark.rule("V1-SER-02")
    def test_have_a_text_that_ends_in_z(self, settings):
        settings.TIME_ZONE = "UTC"

        assert datetimes.to_iso(NOON) == "2026-03-04T12:00:00Z"
        assert datetimes.to_iso(NOON.replace(microsecond=5)) == (
            "2026-03-04T12:00:00.000005Z"
        )
        assert datetimes.to_iso(date(2026, 3, 4)) == "2026-03-04T00:00:00Z"
        assert datetimes.to_iso(None) is None

    @pytest.mark.rule("V1-SER-02")
    @pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
    def test_have_a_text_at_both_ends_of_time(self, settings, zone):
        settings.TIME_ZONE = zone

        first, last = datetimes.to_iso(datetime.min), datetimes.to_iso(datetime.max)  # noqa: DTZ901 - naive ones are meant.

        assert (first[:11], first[-1]) == ("0001-01-01T", "Z")
        assert (last[:11], last[-1]) == ("9999-12-31T", "Z")

    def test_are_aware(self):
        assert datetimes.now().utcoffset() == timedelta(0)

    @pytest.mark.parametrize("use_tz", [True, False])
    def test_are_read_as_they_are_stored(self, settings, use_tz):
        settings.USE_TZ = use_tz
        settings.TIME_ZONE = "America/New_York"

        stored = datetimes.for_database(NOON)

        assert (stored.tzinfo is not None) is use_tz
        assert datetimes.as_moment(stored) == NOON


class TestWithoutTimeZones:
    """A host with ``USE_TZ`` off stores naive local times."""

    @pytest.fixture(autouse=True)
    def _no_time_zones(self, settings):
        settings.USE_TZ = False
        settings.TIME_ZONE = "America/New_York"

    def test_enrollments_are_shown_in_utc(self):
        local = datetime(2026, 3, 4, 7)  # noqa: DTZ001 - as this host stores it.
        course = make_course(enrollment_end=local + DAY, modes=["audit", "honor"])
        learner = make_user()

        with call_context(NOON):
            added = api.add_enrollment(username("ada"), COURSE_ID)

        row = CourseEnrollment.objects.get()
        assert row.created == local
        assert added["created"] == "2026-03-04T12:00:00Z"
        assert added["course_details"]["enrollment_end"] == "2026-03-05T12:00:00Z"
        assert added == api.get_enrollment(username("ada"), COURSE_ID)
        assert api.serialize_enrollments([row]) == [added]
        event = row.events.get()
        assert event.time == local
        assert event.as_record().time == NOON
        assert EnrollmentsService().unenroll(learner, course).is_active is False
        assert api.update_enrollment(username("ada"), COURSE_ID, "honor", True)

    def test_the_window_is_exact(self):
        local = datetime(2026, 3, 4, 7)  # noqa: DTZ001 - as this host stores it.
        make_course(enrollment_end=local)
        ada, bob = make_users(2)

        EnrollmentsService().enroll(ada, COURSE_ID, at=NOON - timedelta(seconds=1))
        with pytest.raises(CourseEnrollmentClosedError):
            EnrollmentsService().enroll(bob, COURSE_ID, at=NOON)
        explained = api.explain_enrollment(bob.get_username(), COURSE_ID)
        assert explained["reasons"][0]["code"] == "enrollment_ended"

    def test_bulk_enrolling_invites(self, course):
        (result,) = api.bulk_enroll(COURSE_ID, emails=["new@example.org"])

        assert result["status"] == "invited"
