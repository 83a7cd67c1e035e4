"""The one object that host code holds (rules SVC, contract §5)."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.utils.functional import SimpleLazyObject

from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    EnrollmentNotAllowed,
    EnrollmentNotFoundError,
    InvalidEnrollmentAttribute,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.watching import event_types, nothing_written, refused, state_of

pytestmark = pytest.mark.django_db

COLOR = {"namespace": "host", "name": "color", "value": "red"}
PROCTORED = ("verified", "masters", "professional", "executive-education")


@pytest.fixture
def service():
    return EnrollmentsService()


def missing_key():
    """Return a primary key that no user has."""
    return 10**6 if is_default_host() else uuid.uuid4()


def refuse(action, **context):
    """A filter that vetoes everything."""
    raise EnrollmentNotAllowed("Not today.")


class Key:
    """Something whose text is a course id."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


class TestGetActiveEnrollmentsByCourse:
    @pytest.mark.rule("SVC-01")
    def test_gives_a_queryset_of_the_active_ones(self, service):
        course, other = make_course("this"), make_course("other")
        stays, leaves = make_users(2)
        for one in (course, other):
            service.enroll(stays, one)
            service.enroll(leaves, one)
        service.unenroll(leaves, course)

        enrollments = service.get_active_enrollments_by_course("this")

        assert isinstance(enrollments, QuerySet)
        assert [row.user for row in enrollments] == [stays]
        assert service.get_active_enrollments_by_course(Key("this")).count() == 1

    @pytest.mark.rule("SVC-01")
    def test_is_empty_for_an_unknown_course(self, service):
        assert not service.get_active_enrollments_by_course("unknown").exists()


class TestGetActiveEnrollmentsByCourseAndUser:
    @pytest.mark.rule("SVC-02", "SEED-DIFF-10")
    def test_gives_the_one_active_enrollment(self, service):
        learner = make_user()
        course = make_course()
        enrollment = service.enroll(learner, course)

        found = service.get_active_enrollments_by_course_and_user(
            course_id_of(course), learner.pk
        )

        assert found == enrollment

    @pytest.mark.rule("SVC-02")
    def test_gives_none_when_absent_inactive_or_unknown(self, service):
        learner = make_user()
        course, other = make_course("left"), make_course("other")
        service.enroll(learner, course)
        service.unenroll(learner, course)
        find = service.get_active_enrollments_by_course_and_user

        assert find("left", learner.pk) is None
        assert find(course_id_of(other), learner.pk) is None
        assert find("unknown", learner.pk) is None

    @pytest.mark.rule("SVC-03")
    @pytest.mark.parametrize("key", ["nobody", None, 1.5, [], "\x00", 10**30])
    def test_a_user_that_does_not_exist_is_an_assertion(self, service, key):
        course_id = course_id_of(make_course())

        with pytest.raises(AssertionError):
            service.get_active_enrollments_by_course_and_user(course_id, key)
        with pytest.raises(AssertionError):
            service.get_active_enrollments_by_course_and_user(course_id, missing_key())


class TestGetEnrollmentsCanTakeProctoredExams:
    @pytest.fixture
    def course(self, service):
        course = make_course(enable_proctored_exams=True, proctoring_provider="lenient")
        for slug in (*PROCTORED, "honor", "audit", "credit", "no-id-professional"):
            CourseEnrollment.enroll(make_user(slug), course_id_of(course), slug)
        CourseEnrollment.enroll(make_user("gone"), course_id_of(course), "verified")
        service.unenroll(get_user_model().objects.get(email="gone@example.org"), course)
        return course

    @pytest.mark.rule("SVC-04")
    def test_is_none_for_an_unknown_course_or_one_without_exams(self, service):
        ask = service.get_enrollments_can_take_proctored_exams

        assert ask("unknown") is None
        assert ask(course_id_of(make_course(enable_proctored_exams=False))) is None

    @pytest.mark.rule("SVC-04")
    def test_may_be_empty(self, service):
        course = make_course(enable_proctored_exams=True)

        enrollments = service.get_enrollments_can_take_proctored_exams(
            course_id_of(course)
        )

        assert isinstance(enrollments, QuerySet)
        assert not enrollments.exists()

    @pytest.mark.rule("SVC-05", "SEED-DIFF-14")
    @pytest.mark.parametrize(
        ("backends", "honor"),
        [
            ({"lenient": {"allow_honor_mode": True}}, ["honor"]),
            ({"lenient": {"allow_honor_mode": False}}, []),
            ({"lenient": {}}, []),
            ({"other": {"allow_honor_mode": True}}, []),
        ],
    )
    def test_holds_proctored_modes_and_honor_where_allowed(
        self,
        service,
        course,
        settings,
        backends,
        honor,
    ):
        settings.ENROLLMENTS_PROCTORING_BACKENDS = backends

        enrollments = service.get_enrollments_can_take_proctored_exams(
            course_id_of(course)
        )

        assert enrollments is not None
        assert sorted(row.mode for row in enrollments) == sorted([*PROCTORED, *honor])

    @pytest.mark.rule("SVC-06")
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("MASTERS", ["masters"]),
            ("asterS@EXAMPLE", ["masters"]),
            ("example.org", sorted(PROCTORED)),
            ("nothing like it", []),
            ("%", []),
            ("_", []),
            ("\x00", []),
            (5, []),
            ("", sorted(PROCTORED)),
            (None, sorted(PROCTORED)),
        ],
    )
    def test_searches_usernames_and_addresses_in_any_case(
        self, service, course, text, found
    ):
        enrollments = service.get_enrollments_can_take_proctored_exams(
            course_id_of(course), text_search=text
        )

        assert enrollments is not None
        assert sorted(row.mode for row in enrollments) == found

    @pytest.mark.rule("SVC-07")
    @pytest.mark.parametrize("text", [None, "example"])
    def test_takes_one_query_with_the_users(
        self,
        service,
        course,
        text,
        django_assert_num_queries,
    ):
        enrollments = service.get_enrollments_can_take_proctored_exams(
            course_id_of(course), text
        )

        with django_assert_num_queries(1):
            assert enrollments is not None
            assert all(row.user.email for row in enrollments)

    @pytest.mark.rule("SVC-08")
    def test_is_ordered_by_user(self, service, course):
        enrollments = service.get_enrollments_can_take_proctored_exams(
            Key(course_id_of(course))
        )

        assert enrollments is not None
        keys = [row.user_id for row in enrollments]
        # The database's own order of keys, whatever type they have.
        model = get_user_model()
        in_order = model.objects.filter(pk__in=keys).order_by("pk")
        assert keys == list(in_order.values_list("pk", flat=True))


class TestEnroll:
    def test_takes_users_and_courses_in_any_form(self, service):
        course = make_course()
        for learner, user, where in zip(
            make_users(4),
            (lambda u: u, lambda u: u.pk, lambda u: str(u.pk), SimpleLazyObject),
            (course, course_id_of(course), Key(course_id_of(course)), course),
            strict=True,
        ):
            given = SimpleLazyObject(lambda one=learner: one)
            given = given if user is SimpleLazyObject else user(learner)

            enrollment = service.enroll(given, where)

            assert isinstance(enrollment, CourseEnrollment)
            assert enrollment.user == learner
            assert state_of(learner, course) == ("audit", True)

    def test_applies_the_learners_rules(self, service):
        learner = make_user()
        closed = make_course("closed", enrollment_end=NOON)
        invited = make_course("invited", invitation_only=True)
        full = make_course("full", max_student_enrollments_allowed=0)

        with nothing_written():
            for course in (closed, invited):
                with pytest.raises(CourseEnrollmentClosedError):
                    service.enroll(learner, course)
            with pytest.raises(CourseEnrollmentFullError):
                service.enroll(learner, full)
            with pytest.raises(CourseModeNotFoundError):
                service.enroll(learner, full, "verified")

    def test_force_lifts_window_and_invitations_not_seats(self, service):
        learner = make_user()
        shut = make_course("shut", enrollment_end=NOON, invitation_only=True)
        full = make_course("full", max_student_enrollments_allowed=0)

        service.enroll(learner, shut, force=True)

        assert state_of(learner, shut) == ("audit", True)
        with pytest.raises(CourseEnrollmentFullError):
            service.enroll(learner, full, force=True)

    @pytest.mark.rule("B-14")
    def test_who_is_in_stays_as_they_are(self, service):
        learner = make_user()
        course = make_course()
        make_modes(course, "audit", "honor")
        enrollment = service.enroll(learner, course)

        with nothing_written():
            again = service.enroll(learner, course, "honor", attributes=[COLOR])

        assert again == enrollment
        assert again.mode == "audit"

    def test_contract_9_over_capacity_is_the_one_way_past_the_seats(self, service):
        ada, bob = make_users(2)
        course = make_course(max_student_enrollments_allowed=0)

        service.enroll(ada, course, over_capacity=True)
        service.enroll(bob, course, over_capacity=True, reason="a sponsor's wish")

        reasons = EnrollmentEvent.objects.order_by("pk").values_list(
            "reason", flat=True
        )
        assert list(reasons) == ["over_capacity", "a sponsor's wish"]

    def test_writes_attributes_and_the_enterprise_customer(self, service):
        learner = make_user()
        course = make_course()

        enrollment = service.enroll(
            learner, course, attributes=[COLOR], enterprise_uuid="acme"
        )

        attribute = enrollment.attributes.get()
        assert (attribute.namespace, attribute.name, attribute.value) == (
            "host",
            "color",
            "red",
        )
        assert enrollment.events.get().enterprise_uuid == "acme"

    @pytest.mark.rule("B-07")
    def test_a_malformed_attribute_leaves_nothing_behind(self, service):
        learner = make_user()
        course = make_course()

        with refused(InvalidEnrollmentAttribute):
            service.enroll(learner, course, attributes=[{}])

        assert not CourseEnrollmentAttribute.objects.exists()

    def test_remembers_actor_reason_source_and_moment(self, service):
        learner, actor = make_users(2)
        course = make_course()

        enrollment = service.enroll(
            learner,
            course,
            actor=actor,
            reason="old records",
            source="command",
            at=NOON - 1000 * DAY,
        )

        event = enrollment.events.get()
        assert (event.actor_id, event.reason, event.source) == (
            actor.pk,
            "old records",
            "command",
        )
        assert event.time == enrollment.created == NOON - 1000 * DAY

    def test_the_rules_are_those_of_the_given_moment(self, service):
        learner = make_user()
        course = make_course(enrollment_end=NOON)
        make_mode(course, "audit", expiration_datetime=NOON - DAY)
        make_mode(course, "honor")

        with pytest.raises(CourseEnrollmentClosedError):
            service.enroll(learner, course, at=NOON)
        with pytest.raises(CourseModeNotFoundError):
            service.enroll(learner, course, "audit", at=NOON - DAY / 2)
        enrollment = service.enroll(learner, course, "audit", at=NOON - 2 * DAY)

        assert enrollment.is_active

    def test_its_source_is_service(self, service):
        enrollment = service.enroll(make_user(), make_course())

        event = enrollment.events.get()
        assert (event.source, event.actor_id, event.reason) == ("service", None, "")

    @pytest.mark.parametrize(
        "user", [None, "", "nobody", True, 1.5, [], {}, object(), "\x00", b"1"]
    )
    def test_an_unknown_user_is_told(self, service, user):
        course = make_course()

        for given in (user, missing_key(), AnonymousUser(), get_user_model()()):
            with refused(UserNotFoundError):
                service.enroll(given, course)

    def test_an_unknown_course_is_told(self, service):
        learner = make_user()

        for given in ("unknown", "not valid", None, [], get_course_model()()):
            with refused(CourseNotFoundError):
                service.enroll(learner, given)

    def test_a_key_that_is_nearly_one_is_not_rounded(self, service):
        if not is_default_host():
            pytest.skip("UUIDs have no fractions.")
        learner = make_user()

        with pytest.raises(UserNotFoundError):
            service.enroll(learner.pk + 0.5, make_course())

    def test_a_filter_vetoes(self, service, settings):
        settings.ENROLLMENTS_FILTERS = [refuse]

        with pytest.raises(EnrollmentNotAllowed, match="Not today"):
            service.enroll(make_user(), make_course())


class TestUnenroll:
    def test_takes_a_learner_out(self, service):
        learner, actor = make_users(2)
        course = make_course()
        service.enroll(learner, course)

        enrollment = service.unenroll(
            learner.pk, course_id_of(course), actor=actor.pk, reason="asked", at=NOON
        )

        assert not enrollment.is_active
        assert state_of(learner, course) == ("audit", False)
        event = enrollment.events.get(type="deactivated")
        assert (event.actor_id, event.reason, event.source, event.time) == (
            actor.pk,
            "asked",
            "service",
            NOON,
        )

    @pytest.mark.rule("B-05")
    def test_who_is_out_stays_as_they_are(self, service):
        learner = make_user()
        course = make_course()
        service.enroll(learner, course)
        service.unenroll(learner, course)

        with nothing_written():
            enrollment = service.unenroll(learner, course)

        assert not enrollment.is_active

    def test_who_was_never_in_is_told(self, service):
        with pytest.raises(EnrollmentNotFoundError):
            service.unenroll(make_user(), make_course())

    def test_an_unknown_user_or_course_is_told(self, service):
        with pytest.raises(UserNotFoundError):
            service.unenroll("nobody", make_course())
        with pytest.raises(CourseNotFoundError):
            service.unenroll(make_user(), "unknown")

    def test_a_filter_vetoes_and_is_shown_the_course(self, service, settings):
        learner = make_user()
        course = make_course()
        enrollment = service.enroll(learner, course)
        shown = []

        def veto(action, **context):
            shown.append({"action": action, **context})
            raise EnrollmentNotAllowed("Stay.")

        settings.ENROLLMENTS_FILTERS = [veto]

        with refused(EnrollmentNotAllowed, match="Stay"):
            service.unenroll(learner, course)

        assert shown == [
            {
                "action": "unenroll",
                "user": learner,
                "course": course,
                "enrollment": enrollment,
                "source": "service",
            }
        ]

    @pytest.mark.skipif(
        not is_default_host(), reason="here a deleted course's id leads nowhere"
    )
    def test_a_deleted_course_can_be_left_by_its_id(self, service):
        learner = make_user()
        course = make_course("gone")
        service.enroll(learner, course)
        get_course_model().objects.filter(pk=course.pk).delete()

        enrollment = service.unenroll(learner, "gone")

        assert not enrollment.is_active
        assert event_types(course_id="gone") == ["created", "deactivated"]


class TestChangeMode:
    def test_moves_an_enrollment_active_or_not(self, service):
        stays, left = make_users(2)
        course = make_course(enrollment_end=NOON)
        make_modes(course, "audit", "verified")
        for learner in (stays, left):
            service.enroll(learner, course, force=True)
        service.unenroll(left, course)

        for learner in (stays, left):
            service.change_mode(learner, course, "verified", reason="paid")

        assert state_of(stays, course) == ("verified", True)
        assert state_of(left, course) == ("verified", False)
        moved = EnrollmentEvent.objects.filter(type="mode_changed")
        assert {event.reason for event in moved} == {"paid"}

    @pytest.mark.rule("B-05")
    def test_the_same_mode_changes_nothing(self, service):
        learner = make_user()
        course = make_course()
        service.enroll(learner, course)

        with nothing_written():
            enrollment = service.change_mode(learner, course, "audit")

        assert enrollment.mode == "audit"

    def test_an_expired_mode_must_be_asked_for_as_such(self, service):
        learner = make_user()
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        service.enroll(learner, course)

        with pytest.raises(CourseModeNotFoundError):
            service.change_mode(learner, course, "verified")
        service.change_mode(learner, course, "verified", include_expired=True)

        assert state_of(learner, course) == ("verified", True)

    def test_what_is_unknown_is_told(self, service):
        learner = make_user()
        course = make_course()

        with pytest.raises(CourseNotFoundError):
            service.change_mode(learner, "unknown", "audit")
        with pytest.raises(CourseModeNotFoundError):
            service.change_mode(learner, course, "unknown")
        with pytest.raises(UserNotFoundError):
            service.change_mode("nobody", course, "audit")
        with pytest.raises(EnrollmentNotFoundError):
            service.change_mode(learner, course, "audit")


class TestIsEnrolled:
    @pytest.mark.rule("MDL-10")
    def test_only_who_is_active_is(self, service):
        stays, left, never = make_users(3)
        course = make_course()
        for learner in (stays, left):
            service.enroll(learner, course)
        service.unenroll(left, course)

        for where in (course, course_id_of(course), Key(course_id_of(course))):
            assert service.is_enrolled(stays, where)
            assert service.is_enrolled(stays.pk, where)
            assert not service.is_enrolled(left, where)
            assert not service.is_enrolled(never, where)

    @pytest.mark.rule("MDL-10")
    def test_nobody_and_nowhere_are_a_no(self, service):
        learner = make_user()
        course = make_course()

        for user in (AnonymousUser(), get_user_model()(), None, "nobody", []):
            assert not service.is_enrolled(user, course)
        for where in ("unknown", "not valid", None, get_course_model()()):
            assert not service.is_enrolled(learner, where)


class TestBulkEnroll:
    def test_takes_users_in_any_form(self, service):
        instance, key, text, lazy = make_users(4)
        course = make_course()

        results = service.bulk_enroll(
            course, [instance, key.pk, str(text.pk), SimpleLazyObject(lambda: lazy)]
        )

        assert [one["status"] for one in results] == ["created"] * 4
        assert results[0]["identifier"] == instance.get_username()
        assert results[1]["identifier"] in {key.pk, str(key.pk)}
        assert results[2]["identifier"] == str(text.pk)
        assert results[3]["identifier"] == lazy.get_username()

    @pytest.mark.parametrize(
        "stranger",
        [
            None,
            [],
            (1, []),
            "nobody",
            True,
            1.5,
            b"1",
            AnonymousUser(),
            pytest.param("unsaved", id="unsaved"),
        ],
    )
    def test_a_bad_row_never_stops_a_good_one(self, service, stranger):
        first, last = make_users(2)
        course = make_course()
        given = get_user_model()() if stranger == "unsaved" else stranger

        results = service.bulk_enroll(course, [first, given, last])

        assert [one["status"] for one in results] == ["created", "error", "created"]
        assert results[1]["code"] == "user_not_found"

    def test_unenrolls_too(self, service):
        inside, outside = make_users(2)
        course = make_course()
        service.enroll(inside, course)

        results = service.bulk_enroll(
            course, iter([inside, outside]), action="unenroll", reason="term is over"
        )

        assert [one["status"] for one in results] == ["deactivated", "unchanged"]
        event = EnrollmentEvent.objects.get(type="deactivated")
        assert (event.source, event.reason) == ("bulk", "term is over")

    def test_an_unknown_course_is_told_before_any_row(self, service):
        def never():
            raise AssertionError("No row is read.")
            yield

        with pytest.raises(CourseNotFoundError):
            service.bulk_enroll("unknown", never())
        with pytest.raises(CourseModeNotFoundError):
            service.bulk_enroll(make_course(), never(), "verified")


class TestExplain:
    def test_tells_what_enroll_would_do(self, service):
        learner = make_user()
        shut = make_course("shut", enrollment_end=NOON)

        told = service.explain(learner.pk, "shut")

        assert not told["allowed"]
        assert [reason["code"] for reason in told["reasons"]] == ["enrollment_ended"]
        assert service.explain(learner, make_course("open"))["allowed"]
        assert service.explain(learner, shut) == told

    def test_what_is_unknown_is_told(self, service):
        with pytest.raises(CourseNotFoundError):
            service.explain("nobody", "unknown")
        with pytest.raises(UserNotFoundError):
            service.explain("nobody", make_course())


class TestWhoDidIt:
    """The arguments that every change takes."""

    @pytest.mark.parametrize("actor", ["nobody", [], 1.5, object(), "\x00", 10**40])
    def test_an_actor_that_can_be_no_user_is_told(self, service, actor):
        learner = make_user()
        course = make_course()

        with refused(TypeError, match="actor"):
            service.enroll(learner, course, actor=actor)
        with refused(TypeError, match="actor"):
            service.bulk_enroll(course, [learner], actor=actor)

    def test_a_course_is_no_actor(self, service):
        course = make_course()

        with pytest.raises(TypeError, match="actor"):
            service.enroll(make_user(), course, actor=course)

    def test_an_anonymous_actor_is_nobody(self, service):
        enrollment = service.enroll(make_user(), make_course(), actor=AnonymousUser())

        assert enrollment.events.get().actor_id is None

    def test_the_key_of_an_actor_may_be_text(self, service):
        learner, actor = make_users(2)

        enrollment = service.enroll(learner, make_course(), actor=str(actor.pk))

        assert enrollment.events.get().actor_id == actor.pk

    @pytest.mark.parametrize("reason", [None, 5, "\x00", "\ud800"])
    def test_a_reason_must_be_a_text(self, service, reason):
        learner = make_user()

        with refused(CourseEnrollmentError, match="reason"):
            service.enroll(learner, make_course(), reason=reason)

    @pytest.mark.parametrize("users", ["bob", b"bob"])
    def test_one_string_is_no_list_of_users(self, service, users):
        with refused(TypeError, match="users"):
            service.bulk_enroll(make_course(), users)

    def test_a_source_must_be_a_plain_word(self, service):
        with pytest.raises(ValueError, match="'Else where' is no source"):
            service.enroll(make_user(), make_course(), source="Else where")

    def test_the_name_is_that_of_the_user_model(self, service):
        enrollment = service.enroll(make_user("ada"), make_course())

        assert enrollment.username == username("ada")
        assert enrollment.events.get().username == username("ada")
