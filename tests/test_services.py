"""The service object that host code calls."""

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
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
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
    make_user,
    make_users,
    username,
)
from tests.watching import (
    event_types,
    nothing_written,
    raises_without_writes,
    state_of,
    veto,
)

pytestmark = pytest.mark.django_db

service = EnrollmentsService()

COLOR = {"namespace": "host", "name": "color", "value": "red"}
PROCTORED = ("verified", "masters", "professional", "executive-education")

NO_USERS = (None, "", "nobody", True, 1.5, [], {}, object(), "\x00", b"1")


class Key:
    """An object whose text is a course id."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


def missing_key():
    """Return a primary key that no user has."""
    return 10**6 if is_default_host() else uuid.uuid4()


def no_rows():
    """Return rows that must not be read."""
    raise AssertionError("A row was read.")
    yield


class TestGetActiveEnrollmentsByCourse:
    @pytest.mark.rule("SVC-01")
    def test_returns_a_queryset_of_the_active_ones(self):
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
        assert not service.get_active_enrollments_by_course("unknown").exists()


class TestGetActiveEnrollmentsByCourseAndUser:
    find = staticmethod(service.get_active_enrollments_by_course_and_user)

    @pytest.mark.rule("SVC-02", "SEED-DIFF-10")
    def test_returns_the_active_enrollment_or_none(self, ada, course):
        course_id = course_id_of(course)
        assert self.find(course_id, ada.pk) is None
        enrollment = service.enroll(ada, course)

        assert self.find(course_id, ada.pk) == enrollment
        assert self.find("unknown", ada.pk) is None
        service.unenroll(ada, course)
        assert self.find(course_id, ada.pk) is None

    @pytest.mark.rule("SVC-03")
    @pytest.mark.parametrize(
        "key", ["nobody", None, 1.5, [], "\x00", 10**30, missing_key()]
    )
    def test_asserts_that_the_user_exists(self, course, key):
        with pytest.raises(AssertionError):
            self.find(course_id_of(course), key)


class TestGetEnrollmentsCanTakeProctoredExams:
    find = staticmethod(service.get_enrollments_can_take_proctored_exams)

    @pytest.fixture
    def course_id(self):
        course = make_course(enable_proctored_exams=True, proctoring_provider="lenient")
        course_id = course_id_of(course)
        for slug in (*PROCTORED, "honor", "audit", "credit", "no-id-professional"):
            CourseEnrollment.enroll(make_user(slug), course_id, slug)
        left = make_user("left")
        CourseEnrollment.enroll(left, course_id, "verified")
        service.unenroll(left, course)
        return course_id

    @pytest.mark.rule("SVC-04")
    def test_returns_none_without_exams_and_may_be_empty(self):
        make_course("plain", enable_proctored_exams=False)
        make_course("empty", enable_proctored_exams=True)

        assert self.find("unknown") is None
        assert self.find("plain") is None
        empty = self.find("empty")
        assert isinstance(empty, QuerySet)
        assert not empty.exists()

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
    def test_has_proctored_modes_and_honor_where_allowed(
        self, course_id, settings, backends, honor
    ):
        settings.ENROLLMENTS_PROCTORING_BACKENDS = backends

        modes = [row.mode for row in self.find(course_id)]

        assert sorted(modes) == sorted([*PROCTORED, *honor])

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
    def test_searches_usernames_and_addresses_in_any_case(self, course_id, text, found):
        enrollments = self.find(course_id, text_search=text)

        assert sorted(row.mode for row in enrollments) == found

    @pytest.mark.rule("SVC-07", "SVC-08")
    @pytest.mark.parametrize("text", [None, "example"])
    def test_takes_one_query_ordered_by_user(
        self, course_id, text, django_assert_num_queries
    ):
        enrollments = self.find(Key(course_id), text)

        with django_assert_num_queries(1):
            assert all(row.user.email for row in enrollments)
        keys = [row.user_id for row in enrollments]
        users = get_user_model().objects.filter(pk__in=keys).order_by("pk")
        assert keys == list(users.values_list("pk", flat=True))


class TestEnroll:
    def test_takes_users_and_courses_in_any_form(self, course):
        course_id = course_id_of(course)
        instance, key, text, lazy = make_users(4)

        for learner, given, where in (
            (instance, instance, course),
            (key, key.pk, course_id),
            (text, str(text.pk), Key(course_id)),
            (lazy, SimpleLazyObject(lambda: lazy), course),
        ):
            enrollment = service.enroll(given, where)

            assert isinstance(enrollment, CourseEnrollment)
            assert enrollment.user == learner
            assert state_of(learner, course) == ("audit", True)

    @pytest.mark.parametrize(
        ("facts", "mode", "error"),
        [
            ({"enrollment_end": NOON}, None, CourseEnrollmentClosedError),
            ({"invitation_only": True}, None, CourseEnrollmentClosedError),
            ({"max_student_enrollments_allowed": 0}, None, CourseEnrollmentFullError),
            (
                {"max_student_enrollments_allowed": 0},
                "verified",
                CourseModeNotFoundError,
            ),
        ],
    )
    def test_applies_the_learners_rules_unless_forced(self, ada, facts, mode, error):
        course = make_course(**facts)

        with raises_without_writes(error):
            service.enroll(ada, course, mode)
        if error is CourseEnrollmentClosedError:
            assert service.enroll(ada, course, force=True).is_active
        else:
            with raises_without_writes(error):
                service.enroll(ada, course, mode, force=True)

    @pytest.mark.rule("B-14")
    def test_returns_an_active_enrollment_as_it_is(self, ada):
        course = make_course(modes=["audit", "honor"])
        enrollment = service.enroll(ada, course)

        with nothing_written():
            again = service.enroll(ada, course, "honor", attributes=[COLOR])

        assert again == enrollment
        assert again.mode == "audit"

    def test_ignores_the_seats_over_capacity_only(self):
        course = make_course(max_student_enrollments_allowed=0)
        reasons = ("", "a sponsor's wish")

        for learner, reason in zip(make_users(2), reasons, strict=True):
            service.enroll(learner, course, over_capacity=True, reason=reason)

        events = EnrollmentEvent.objects.order_by("pk")
        assert [event.reason for event in events] == ["over_capacity", reasons[1]]

    @pytest.mark.rule("B-07")
    def test_writes_attributes_or_refuses_them_and_writes_nothing(self, ada, course):
        with raises_without_writes(InvalidEnrollmentAttribute):
            service.enroll(ada, course, attributes=[{}])

        enrollment = service.enroll(ada, course, attributes=[COLOR])

        attribute = enrollment.attributes.get()
        assert {name: getattr(attribute, name) for name in COLOR} == COLOR

    def test_writes_actor_reason_source_and_moment_to_the_history(self, course):
        learner, actor = make_users(2)
        given = {"reason": "records", "source": "command", "enterprise_uuid": "acme"}

        enrollment = service.enroll(
            learner, course, actor=actor, at=NOON - 1000 * DAY, **given
        )

        event = enrollment.events.get()
        assert {name: getattr(event, name) for name in given} == given
        assert event.actor_id == actor.pk
        assert event.time == enrollment.created == NOON - 1000 * DAY

    def test_applies_the_rules_of_the_moment_given(self, ada):
        course = make_course(enrollment_end=NOON)
        make_mode(course, "audit", expiration_datetime=NOON - DAY)
        make_mode(course, "honor")

        with pytest.raises(CourseEnrollmentClosedError):
            service.enroll(ada, course, at=NOON)
        with pytest.raises(CourseModeNotFoundError):
            service.enroll(ada, course, "audit", at=NOON - DAY / 2)

        assert service.enroll(ada, course, "audit", at=NOON - 2 * DAY).is_active

    def test_refuses_an_unknown_user(self, course):
        keys = [missing_key(), AnonymousUser(), get_user_model()()]
        if is_default_host():
            keys.append(make_user().pk + 0.5)

        for given in (*NO_USERS, *keys):
            with raises_without_writes(UserNotFoundError):
                service.enroll(given, course)

    def test_refuses_an_unknown_course(self, ada):
        for given in ("unknown", "not valid", None, [], get_course_model()()):
            with raises_without_writes(CourseNotFoundError):
                service.enroll(ada, given)

    def test_is_refused_by_a_filter(self, ada, course, settings):
        settings.ENROLLMENTS_FILTERS = [veto]

        with raises_without_writes(EnrollmentNotAllowed, match="Not today"):
            service.enroll(ada, course)


def attributes_of(enrollment):
    return list(enrollment.attributes.order_by("pk").values(*COLOR))


class TestEnsureEnrolled:
    @pytest.fixture
    def course(self):
        return make_course(modes=["audit", "verified"])

    @pytest.mark.parametrize("before", ["nowhere", "audit", "verified", "left"])
    def test_leaves_the_same_state_whatever_was_before(self, ada, course, before):
        if before in {"audit", "verified"}:
            service.enroll(ada, course, before)
        if before == "left":
            service.enroll(ada, course)
            service.unenroll(ada, course)

        row = service.ensure_enrolled(ada, course, "verified", attributes=[COLOR])

        row.refresh_from_db()
        assert (row.mode, row.is_active) == ("verified", True)
        assert attributes_of(row) == [COLOR]
        with nothing_written():
            service.ensure_enrolled(ada, course, "verified", attributes=[COLOR])

    def test_keeps_mode_and_attributes_that_are_not_given(self, ada, course):
        service.enroll(ada, course, "verified", attributes=[COLOR])

        with nothing_written():
            row = service.ensure_enrolled(ada, course)
        assert (row.mode, attributes_of(row)) == ("verified", [COLOR])
        row = service.ensure_enrolled(ada, course, attributes=[])

        assert attributes_of(row) == []
        assert event_types() == ["created"]

    def test_applies_the_rules_of_enroll(self, ada):
        closed = make_course("closed", invitation_only=True)
        full = make_course("full", max_student_enrollments_allowed=0)

        with raises_without_writes(CourseEnrollmentClosedError):
            service.ensure_enrolled(ada, closed)
        with raises_without_writes(CourseEnrollmentFullError):
            service.ensure_enrolled(ada, full)
        assert service.ensure_enrolled(ada, closed, force=True).is_active
        assert service.ensure_enrolled(ada, full, over_capacity=True).is_active

    def test_leaves_mode_and_attributes_where_it_refuses(self, ada, course):
        row = service.enroll(ada, course, "audit")

        with raises_without_writes(CourseModeNotFoundError):
            service.ensure_enrolled(ada, course, "honor", attributes=[COLOR])
        with raises_without_writes(InvalidEnrollmentAttribute):
            service.ensure_enrolled(ada, course, "verified", attributes=[{}])
        assert attributes_of(row) == []


class TestUnenroll:
    @pytest.mark.rule("B-05")
    def test_deactivates_once(self, course):
        learner, actor = make_users(2)
        service.enroll(learner, course)

        enrollment = service.unenroll(
            learner.pk, course_id_of(course), actor=actor.pk, reason="asked", at=NOON
        )

        assert not enrollment.is_active
        assert state_of(learner, course) == ("audit", False)
        event = enrollment.events.get(type="deactivated")
        assert (event.actor_id, event.reason) == (actor.pk, "asked")
        assert (event.source, event.time) == ("service", NOON)
        with nothing_written():
            assert not service.unenroll(learner, course).is_active

    def test_refuses_unknown_arguments(self, ada, course):
        for user, where, error in (
            (ada, course, EnrollmentNotFoundError),
            ("nobody", course, UserNotFoundError),
            (ada, "unknown", CourseNotFoundError),
        ):
            with pytest.raises(error):
                service.unenroll(user, where)

    def test_is_refused_by_a_filter_that_gets_the_course(self, ada, course, settings):
        enrollment = service.enroll(ada, course)
        calls = []

        def refuse(action, **context):
            calls.append((action, context))
            veto(action, **context)

        settings.ENROLLMENTS_FILTERS = [refuse]

        with raises_without_writes(EnrollmentNotAllowed, match="Not today"):
            service.unenroll(ada, course)

        shown = {"user": ada, "course": course, "enrollment": enrollment}
        assert calls == [("unenroll", {**shown, "source": "service"})]

    @pytest.mark.skipif(
        not is_default_host(), reason="here a deleted course's id leads nowhere"
    )
    def test_finds_a_deleted_course_by_its_id(self, ada):
        course = make_course("gone")
        service.enroll(ada, course)
        course.delete()

        assert not service.unenroll(ada, "gone").is_active
        assert event_types(course_id="gone") == ["created", "deactivated"]


class TestChangeMode:
    @pytest.mark.rule("B-05")
    @pytest.mark.parametrize("is_active", [True, False])
    def test_changes_an_enrollment_active_or_not(self, ada, is_active):
        course = make_course(enrollment_end=NOON, modes=["audit", "verified"])
        service.enroll(ada, course, force=True)
        if not is_active:
            service.unenroll(ada, course)

        service.change_mode(ada, course, "verified", reason="paid")

        assert state_of(ada, course) == ("verified", is_active)
        assert EnrollmentEvent.objects.get(type="mode_changed").reason == "paid"
        with nothing_written():
            assert service.change_mode(ada, course, "verified").mode == "verified"

    def test_takes_an_expired_mode_only_if_included(self, ada):
        course = make_course(modes=["audit"], expired=["verified"])
        service.enroll(ada, course)

        with pytest.raises(CourseModeNotFoundError):
            service.change_mode(ada, course, "verified")
        service.change_mode(ada, course, "verified", include_expired=True)

        assert state_of(ada, course) == ("verified", True)

    def test_refuses_unknown_arguments(self, ada, course):
        for user, where, mode, error in (
            (ada, "unknown", "audit", CourseNotFoundError),
            (ada, course, "unknown", CourseModeNotFoundError),
            ("nobody", course, "audit", UserNotFoundError),
            (ada, course, "audit", EnrollmentNotFoundError),
        ):
            with pytest.raises(error):
                service.change_mode(user, where, mode)


class TestIsEnrolled:
    @pytest.mark.rule("MDL-10")
    def test_is_true_for_active_learners_only(self, course):
        stays, left, never = make_users(3)
        for learner in (stays, left):
            service.enroll(learner, course)
        service.unenroll(left, course)

        for where in (course, course_id_of(course), Key(course_id_of(course))):
            assert service.is_enrolled(stays, where)
            assert service.is_enrolled(stays.pk, where)
            assert not service.is_enrolled(left, where)
            assert not service.is_enrolled(never, where)
        for user in (AnonymousUser(), get_user_model()(), None, "nobody", []):
            assert not service.is_enrolled(user, course)
        for where in ("unknown", "not valid", None, get_course_model()()):
            assert not service.is_enrolled(stays, where)


class TestBulkEnroll:
    def test_takes_users_in_any_form(self, course):
        instance, key, text, lazy = make_users(4)

        results = service.bulk_enroll(
            course, [instance, key.pk, str(text.pk), SimpleLazyObject(lambda: lazy)]
        )

        assert [one["status"] for one in results] == ["created"] * 4
        assert results[0]["identifier"] == instance.get_username()
        assert results[1]["identifier"] in {key.pk, str(key.pk)}
        assert results[2]["identifier"] == str(text.pk)
        assert results[3]["identifier"] == lazy.get_username()

    def test_has_an_error_for_each_unknown_user(self, course):
        first, last = make_users(2)
        unknown = [*NO_USERS, (1, []), AnonymousUser(), get_user_model()()]

        results = service.bulk_enroll(course, [first, *unknown, last])

        statuses = [one["status"] for one in results]
        assert statuses == ["created", *["error"] * len(unknown), "created"]
        assert {one["code"] for one in results[1:-1]} == {"user_not_found"}

    def test_unenrolls_too(self, course):
        inside, outside = make_users(2)
        service.enroll(inside, course)

        results = service.bulk_enroll(
            course, iter([inside, outside]), action="unenroll", reason="term is over"
        )

        assert [one["status"] for one in results] == ["deactivated", "unchanged"]
        event = EnrollmentEvent.objects.get(type="deactivated")
        assert (event.source, event.reason) == ("bulk", "term is over")

    def test_refuses_an_unknown_course_or_mode_before_any_row(self, course):
        with pytest.raises(CourseNotFoundError):
            service.bulk_enroll("unknown", no_rows())
        with pytest.raises(CourseModeNotFoundError):
            service.bulk_enroll(course, no_rows(), "verified")

    @pytest.mark.parametrize("users", ["bob", b"bob"])
    def test_refuses_a_text_instead_of_users(self, course, users):
        with raises_without_writes(TypeError, match="users"):
            service.bulk_enroll(course, users)


class TestExplain:
    def test_explains_the_result_of_enroll(self, ada):
        shut = make_course("shut", enrollment_end=NOON)

        explained = service.explain(ada.pk, "shut")

        assert not explained["allowed"]
        assert [one["code"] for one in explained["reasons"]] == ["enrollment_ended"]
        assert service.explain(ada, make_course("open"))["allowed"]
        assert service.explain(ada, shut) == explained
        with pytest.raises(CourseNotFoundError):
            service.explain("nobody", "unknown")
        with pytest.raises(UserNotFoundError):
            service.explain("nobody", shut)


class TestSeats:
    def test_are_those_of_explain_for_one_and_for_many(self, ada):
        limited = make_course("limited", max_student_enrollments_allowed=2)
        unlimited, empty = make_course("unlimited"), make_course("empty")
        learner, teacher = make_users(2)
        for user in (learner, teacher):
            service.enroll(user, limited)
            service.enroll(user, unlimited)
        CourseAccessRole.objects.create(
            user=teacher, course_id="limited", role="instructor"
        )
        courses = [limited, "unlimited", Key("empty"), limited]

        seats = service.seats_many(iter(courses))

        assert seats == {
            "limited": {"capacity": 2, "taken": 1, "left": 1},
            "unlimited": {"capacity": None, "taken": 2, "left": None},
            "empty": {"capacity": None, "taken": 0, "left": None},
        }
        assert list(seats) == ["limited", "unlimited", "empty"]
        for course in (limited, unlimited, empty):
            course_id = course_id_of(course)
            assert service.seats(course) == service.seats(course_id)
            assert service.seats(course) == seats[course_id]
            assert service.explain(ada, course)["seats"] == seats[course_id]

    def test_have_none_left_beyond_the_capacity(self, ada, course):
        full = make_course("full", max_student_enrollments_allowed=0)
        service.enroll(ada, full, over_capacity=True)

        assert service.seats(full) == {"capacity": 0, "taken": 1, "left": 0}

    def test_refuse_unknown_courses_and_a_text(self, course):
        for unknown in ("unknown", None, get_course_model()()):
            with pytest.raises(CourseNotFoundError):
                service.seats(unknown)
            with pytest.raises(CourseNotFoundError):
                service.seats_many([course, unknown])
        for text in ("abc", b"abc"):
            with pytest.raises(TypeError):
                service.seats_many(text)
        assert service.seats_many([]) == {}

    def test_take_two_queries_and_as_many_for_1_as_for_1000(
        self, ada, django_assert_num_queries
    ):
        courses = [make_course(f"course-{n}") for n in range(1000)]
        for course in (courses[0], courses[999]):
            service.enroll(ada, course)
            CourseAccessRole.objects.create(
                user=ada, course_id=course_id_of(course), role="staff"
            )

        with django_assert_num_queries(2):
            service.seats(courses[0])
        # Courses, enrollments, staff, enrolled staff.
        for given in (courses, [course_id_of(course) for course in courses]):
            for count in (1, 1000):
                with django_assert_num_queries(4):
                    seats = service.seats_many(given[:count])
                assert len(seats) == count
        mixture = [*courses[:500], *map(course_id_of, courses[500:])]
        with django_assert_num_queries(5):
            assert service.seats_many(mixture) == seats
        assert [one["taken"] for one in seats.values()] == [0] * 1000


class TestRoster:
    def test_has_active_and_former_learners_of_the_course(self, ada, course):
        former = make_user("former")
        for user in (ada, former):
            service.enroll(user, course)
            service.enroll(user, make_course(f"other-of-{user.pk}"))
        service.unenroll(former, course)

        for given in (course, course_id_of(course), Key(course_id_of(course))):
            rows = service.roster(given)
            assert {row.username: row.is_active for row in rows} == {
                username("ada"): True,
                username("former"): False,
            }
        for unknown in ("unknown", None, get_course_model()()):
            assert not service.roster(unknown).exists()

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("ADA", {"ada"}),
            ("da@exam", {"ada"}),
            ("example.org", {"ada", "former"}),
            ("%", set()),
            ("\x00", set()),
            ("", {"ada", "former"}),
            (None, {"ada", "former"}),
        ],
    )
    def test_is_searched_by_username_and_address(self, ada, course, text, found):
        for user in (ada, make_user("former")):
            service.enroll(user, course)

        rows = service.roster(course, search=text)

        assert {row.username for row in rows} == {*map(username, found)}

    @pytest.mark.parametrize("search", [None, "learner"])
    def test_takes_one_query_a_page_however_it_is_narrowed(
        self, course, search, django_assert_num_queries
    ):
        for user in make_users(40):
            CourseEnrollment.objects.create(user=user, course=course)

        for given in (course, course_id_of(course)):
            with django_assert_num_queries(1):
                page = service.roster(given, search=search)[:30]
                assert len({row.username for row in page}) == 30
        rows = service.roster(course, search=search).filter(mode="audit")
        with django_assert_num_queries(1):
            names = [row.username for row in rows.order_by("-pk")[30:]]
        assert len(names) == 10


class TestListByUser:
    def test_has_all_courses_newest_first_deleted_ones_too(
        self, ada, django_assert_num_queries
    ):
        courses = [make_course(f"course-{n}") for n in range(4)]
        for number, course in enumerate(courses):
            service.enroll(ada, course, at=NOON + number * DAY)
            service.enroll(make_user(f"other{number}"), course)
        service.unenroll(ada, courses[1])
        key = courses[2].pk
        courses[2].delete()

        for given in (ada, ada.pk, str(ada.pk)):
            with django_assert_num_queries(2):
                rows = list(service.list_by_user(given))
                known = [
                    course_id_of(row.course) for row in rows if row.pk != rows[1].pk
                ]
                with pytest.raises(get_course_model().DoesNotExist):
                    assert rows[1].course
            assert known == ["course-3", "course-1", "course-0"]
            assert rows[1].course_id == key
            assert [row.is_active for row in rows] == [True, True, False, True]

    @pytest.mark.parametrize("user", [*NO_USERS, AnonymousUser(), missing_key()])
    def test_is_empty_for_unknown_users(self, ada, course, user):
        service.enroll(ada, course)

        assert not service.list_by_user(user).exists()
        assert not service.list_by_user(get_user_model()()).exists()

    def test_takes_two_queries_for_1_and_for_500(self, ada, django_assert_num_queries):
        courses = [make_course(f"course-{n}") for n in range(1001)]
        CourseEnrollment.objects.bulk_create(
            CourseEnrollment(user=ada, course=course) for course in courses
        )
        rows = service.list_by_user(ada.pk)

        for count in (1, 500):
            with django_assert_num_queries(2):
                found = {course_id_of(row.course) for row in rows[:count]}
            assert len(found) == count
        every = {course_id_of(row.course) for row in rows.iterator(chunk_size=500)}
        assert len(every) == 1001


class TestHistory:
    @pytest.fixture
    def other(self, ada, course):
        """Enroll two learners in two courses; return the other course."""
        other, boss = make_course("other"), make_user("boss")
        for user in (ada, make_user("bea")):
            service.enroll(user, course, actor=boss, reason="First.")
            service.enroll(user, other, actor=user)
        service.unenroll(ada, course, reason="Last.")
        return other

    def test_is_that_of_a_user_a_course_or_both_newest_first(self, ada, course, other):
        own = service.history(ada)
        of_course = service.history(course=course)
        both = service.history(ada, course)

        assert [event.type for event in own] == ["deactivated", "created", "created"]
        assert {event.user_id for event in own} == {ada.pk}
        assert [event.type for event in of_course] == [
            "deactivated",
            "created",
            "created",
        ]
        assert {event.course_id for event in of_course} == {course_id_of(course)}
        assert [(event.type, event.reason) for event in both] == [
            ("deactivated", "Last."),
            ("created", "First."),
        ]
        assert list(service.history(ada.pk, course_id_of(course))) == list(both)
        keys = [event.pk for event in own]
        assert keys == sorted(keys, reverse=True)

    def test_takes_one_query_with_actors(
        self, ada, course, other, django_assert_num_queries
    ):
        for given in (
            {"user": ada},
            {"course": "other"},
            {"user": ada, "course": course},
        ):
            with django_assert_num_queries(1):
                page = list(service.history(**given)[:30])
                names = [event.actor and event.actor.get_username() for event in page]
            assert any(names)

    def test_keeps_deleted_users_courses_and_actors(self, ada, course, other):
        key, course_id = ada.pk, course_id_of(course)
        get_user_model().objects.all().delete()
        get_course_model().objects.all().delete()

        events = service.history(key, course_id)

        assert [event.actor for event in events] == [None, None]
        assert events[1].actor_id is not None

    @pytest.mark.usefixtures("other")
    def test_is_empty_for_unknown_users_and_courses(self, ada):
        for user in (*NO_USERS[1:], AnonymousUser(), get_user_model()()):
            assert not service.history(user).exists()
            assert not service.history(user, "other").exists()
        for unknown in ("unknown", "", "\x00", [], get_course_model()()):
            assert not service.history(ada, unknown).exists()

    def test_needs_a_user_or_a_course(self):
        with pytest.raises(TypeError):
            service.history()


class TestOpenInvitations:
    def test_are_the_unused_ones_of_the_course(
        self, ada, course, django_assert_num_queries
    ):
        course_id = course_id_of(course)
        for email, of_course, user in (
            ("new@example.org", course_id, None),
            (ada.email, course_id, ada),
            ("other@example.org", "later", None),
        ):
            CourseEnrollmentAllowed.objects.create(
                email=email, course_id=of_course, user=user
            )

        for given, email in (
            (course, "new@example.org"),
            (course_id, "new@example.org"),
            (Key("later"), "other@example.org"),
        ):
            with django_assert_num_queries(1):
                (invitation,) = service.open_invitations(given)
            assert invitation.email == email
        for unknown in ("unknown", "no id", None, get_course_model()()):
            assert not service.open_invitations(unknown).exists()


class TestOrigin:
    @pytest.mark.parametrize("actor", ["nobody", [], 1.5, object(), "\x00", 10**40])
    def test_refuses_an_actor_that_can_be_no_user(self, ada, course, actor):
        for given in (actor, course):
            with raises_without_writes(TypeError, match="actor"):
                service.enroll(ada, course, actor=given)
            with raises_without_writes(TypeError, match="actor"):
                service.bulk_enroll(course, [ada], actor=given)

    def test_has_the_key_of_an_actor_or_none(self, course):
        first, second, third, actor = make_users(4)

        for learner, given, key in (
            (first, AnonymousUser(), None),
            (second, str(actor.pk), actor.pk),
            (third, None, None),
        ):
            event = service.enroll(learner, course, actor=given).events.get()
            assert (event.actor_id, event.source, event.reason) == (key, "service", "")

    @pytest.mark.parametrize("reason", [None, 5, "\x00", "\ud800"])
    def test_refuses_a_reason_that_is_no_text(self, ada, course, reason):
        with raises_without_writes(CourseEnrollmentError, match="reason"):
            service.enroll(ada, course, reason=reason)

    def test_refuses_a_source_that_is_no_plain_word(self, ada, course):
        with pytest.raises(ValueError, match="'Else where' is no source"):
            service.enroll(ada, course, source="Else where")

    def test_has_the_name_of_the_user_model(self, ada, course):
        enrollment = service.enroll(ada, course)

        assert enrollment.username == enrollment.events.get().username
        assert enrollment.username == username("ada")
