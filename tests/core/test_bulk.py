"""Many learners at once (contract §5), by the rules of one by one."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from django.db import (
    DataError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from django_enrollments import api, context, datetimes
from django_enrollments.core import bulk, isolation, transactions
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseModeNotFoundError,
    CourseNotFoundError,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
    get_course_adapter,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    HOUR,
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
from tests.watching import (
    event_types,
    fold,
    listening,
    nothing_written,
    state_of,
    stored,
)

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def names_of(users):
    return [user.get_username() for user in users]


def statuses(results):
    return [result["status"] for result in results]


class TestResults:
    def test_contract_5_are_one_per_row_in_order_usernames_first(self):
        make_course()
        ada, bob = make_user("ada"), make_user("bob")

        results = api.bulk_enroll(
            COURSE_ID,
            usernames=[username("bob"), "nobody"],
            emails=["ada@example.org", "new@example.org", "broken"],
        )

        assert [list(result) for result in results] == [
            ["identifier", "status", "code", "message"]
        ] * 5
        assert [result["identifier"] for result in results] == [
            username("bob"),
            "nobody",
            "ada@example.org",
            "new@example.org",
            "broken",
        ]
        assert statuses(results) == ["created", "error", "created", "invited", "error"]
        assert [result["code"] for result in results] == [
            None,
            "user_not_found",
            None,
            None,
            "invalid_email",
        ]
        assert results[1]["message"] == "Not user with username 'nobody' found."
        assert results[0]["message"] == ""
        json.dumps(results)
        assert {row.user for row in CourseEnrollment.objects.all()} == {ada, bob}

    def test_no_row_is_no_result(self):
        make_course()

        assert api.bulk_enroll(COURSE_ID) == []
        assert api.bulk_enroll(COURSE_ID, action="unenroll") == []

    def test_rows_may_come_from_anywhere(self):
        make_course()
        names = names_of(make_users(3))

        assert statuses(api.bulk_enroll(COURSE_ID, iter(names))) == ["created"] * 3
        assert statuses(api.bulk_enroll(COURSE_ID, set(names))) == ["unchanged"] * 3

    def test_more_than_a_batch_keeps_its_order(self):
        make_course()
        users = make_users(bulk.ROWS_PER_BATCH + 3)
        names = names_of(users)
        names.insert(1, "nobody")

        results = api.bulk_enroll(COURSE_ID, names)

        assert [result["identifier"] for result in results] == names
        expected = ["created", "error", *["created"] * (len(users) - 1)]
        assert statuses(results) == expected
        assert CourseEnrollment.objects.count() == len(users)

    @pytest.mark.parametrize(
        "given",
        [None, 5, 1.5, True, b"ada", [], {}, ("a",), "", "\x00", "\ud800", "x" * 10**5],
    )
    def test_a_bad_row_never_stops_a_good_one(self, given):
        make_course()
        make_user()
        make_user("bob")

        for action, good in (("enroll", "created"), ("unenroll", "deactivated")):
            results = api.bulk_enroll(
                COURSE_ID,
                [username("ada"), given],
                [given, "bob@example.org"],
                action=action,
            )

            assert statuses(results) == [good, "error", "error", good]
            json.dumps(results)


class TestEnroll:
    def test_creates_re_activates_and_leaves_be(self):
        course = make_course()
        make_modes(course, "audit", "verified")
        new, back, inside = make_users(3)
        for learner in (back, inside):
            CourseEnrollment.enroll(learner, COURSE_ID, "verified")
        CourseEnrollment.unenroll(back, COURSE_ID)

        results = api.bulk_enroll(COURSE_ID, names_of([new, back, inside]))

        assert statuses(results) == ["created", "reactivated", "unchanged"]
        assert state_of(new, course) == ("audit", True)
        assert state_of(back, course) == ("audit", True)
        assert state_of(inside, course) == ("verified", True)

    def test_an_explicit_mode_changes_that_of_who_is_in(self):
        course = make_course()
        make_modes(course, "audit", "honor")
        plain, there = make_users(2)
        CourseEnrollment.enroll(plain, COURSE_ID)
        CourseEnrollment.enroll(there, COURSE_ID, "honor")

        results = api.bulk_enroll(COURSE_ID, names_of([plain, there]), mode="honor")

        assert statuses(results) == ["mode_changed", "unchanged"]
        assert state_of(plain, course) == ("honor", True)

    def test_who_is_named_twice_is_unchanged_the_second_time(self):
        make_course()
        make_user()

        results = api.bulk_enroll(
            COURSE_ID, [username("ada"), username("ada")], ["ADA@example.org"]
        )

        assert statuses(results) == ["created", "unchanged", "unchanged"]
        assert results[2]["identifier"] == "ADA@example.org"
        assert event_types() == ["created"]

    def test_who_is_refused_is_refused_again(self):
        make_course(enrollment_end=NOON)
        make_user()

        results = api.bulk_enroll(COURSE_ID, [username("ada")], ["ada@example.org"])

        assert statuses(results) == ["error", "error"]
        assert [one["code"] for one in results] == ["enrollment_closed"] * 2
        assert results[1]["identifier"] == "ada@example.org"
        assert results[0]["message"] == results[1]["message"] != ""

    def test_the_learners_rules_apply(self):
        make_course(invitation_only=True)
        invited, other = make_user("invited"), make_user("other")
        CourseEnrollmentAllowed.objects.create(
            email="invited@example.org", course_id=COURSE_ID
        )

        results = api.bulk_enroll(COURSE_ID, names_of([invited, other]))

        assert statuses(results) == ["created", "error"]
        assert CourseEnrollmentAllowed.objects.get().user == invited

    def test_force_lifts_window_and_invitations(self):
        make_course(invitation_only=True, enrollment_end=NOON)
        names = names_of(make_users(2))

        results = api.bulk_enroll(COURSE_ID, names, force=True)

        assert statuses(results) == ["created", "created"]

    def test_the_history_is_that_of_one_by_one(self):
        make_course()
        actor, *learners = make_users(3)

        api.bulk_enroll(
            COURSE_ID, names_of(learners), actor=actor, reason="new term", at=NOON
        )

        events = EnrollmentEvent.objects.order_by("pk")
        assert [event.user_id for event in events] == [one.pk for one in learners]
        assert {
            (event.type, event.source, event.actor_id, event.reason, event.time)
            for event in events
        } == {("created", "bulk", actor.pk, "new term", NOON)}

    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_gives_the_rows_that_one_by_one_gives(self, mode):
        in_bulk = make_course("bulk", max_student_enrollments_allowed=3)
        single = make_course("single", max_student_enrollments_allowed=3)
        users = make_users(5)
        for course_id, course in (("bulk", in_bulk), ("single", single)):
            make_modes(course, "audit", "honor")
            CourseEnrollment.enroll(users[1], course_id, "honor")
            CourseEnrollment.unenroll(users[1], course_id)

        results = api.bulk_enroll("bulk", names_of(users), mode=mode)
        refused = []
        for user in users:
            try:
                api.add_enrollment(user.get_username(), "single", mode)
            except CourseEnrollmentError as error:
                refused.append((user.get_username(), error.code))

        errors = [one for one in results if one["status"] == "error"]
        assert [(one["identifier"], one["code"]) for one in errors] == refused
        for user in users[:3]:
            assert state_of(user, in_bulk) == state_of(user, single)
        for user in users:
            assert fold(user=user, course_id="bulk") == fold(
                user=user, course_id="single"
            )


class TestBeforeAnyRow:
    @pytest.fixture
    def rows(self):
        def never():
            raise AssertionError("No row is read.")
            yield

        return never()

    @pytest.mark.parametrize(
        "course_id", ["unknown", "", "not valid", None, [], "\x00"]
    )
    def test_an_unknown_course_is_told(self, rows, course_id):
        for action in bulk.ACTIONS:
            for stream in (False, True):
                with pytest.raises(CourseNotFoundError):
                    api.bulk_enroll(course_id, rows, action=action, stream=stream)

    @pytest.mark.parametrize("mode", ["verified", "", "x" * 300, 5, [], "\x00"])
    def test_a_mode_that_the_course_does_not_offer_is_told(self, rows, mode):
        make_course()

        for stream in (False, True):
            with pytest.raises(CourseModeNotFoundError):
                api.bulk_enroll(COURSE_ID, rows, mode=mode, stream=stream)

    def test_an_expired_mode_is_not_offered(self, rows):
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)

        with pytest.raises(CourseModeNotFoundError):
            api.bulk_enroll(COURSE_ID, rows, mode="verified")

    @pytest.mark.parametrize("action", ["", "Enroll", None, 5, [], "delete"])
    def test_an_unknown_action_is_told(self, rows, action):
        make_course()

        for stream in (False, True):
            with pytest.raises(CourseEnrollmentError, match="neither enroll nor"):
                api.bulk_enroll(COURSE_ID, rows, action=action, stream=stream)

    @pytest.mark.parametrize("field", ["usernames", "emails"])
    @pytest.mark.parametrize("given", ["ada", b"ada"])
    def test_one_text_is_no_list(self, field, given):
        make_course()

        for stream in (False, True):
            with pytest.raises(TypeError, match="are lists"):
                api.bulk_enroll(COURSE_ID, **{field: given}, stream=stream)


class TestInvitations:
    def test_an_address_without_account_is_invited_once(self):
        make_course()

        first = api.bulk_enroll(COURSE_ID, emails=["new@example.org"], at=NOON)
        second = api.bulk_enroll(
            COURSE_ID, emails=["New@Example.ORG", "new@example.org"]
        )

        assert statuses(first) == ["invited"]
        assert statuses(second) == ["unchanged", "unchanged"]
        invitation = CourseEnrollmentAllowed.objects.get()
        assert (invitation.email, invitation.course_id) == (
            "new@example.org",
            COURSE_ID,
        )
        assert invitation.auto_enroll is True
        assert invitation.created == NOON
        assert event_types() == []

    def test_one_named_twice_is_invited_once(self):
        make_course()

        results = api.bulk_enroll(
            COURSE_ID, emails=["new@example.org", " NEW@example.org "]
        )

        assert statuses(results) == ["invited", "unchanged"]
        assert CourseEnrollmentAllowed.objects.count() == 1

    def test_an_invitation_that_waits_is_made_to_enroll_at_once(self):
        make_course()
        CourseEnrollmentAllowed.objects.create(
            email="new@example.org", course_id=COURSE_ID
        )

        results = api.bulk_enroll(COURSE_ID, emails=["new@example.org"])

        assert statuses(results) == ["invited"]
        assert CourseEnrollmentAllowed.objects.get().auto_enroll is True

    def test_a_used_one_is_left_alone(self):
        make_course()
        learner = make_user()
        CourseEnrollmentAllowed.objects.create(
            email="former@example.org", course_id=COURSE_ID, user=learner
        )

        results = api.bulk_enroll(COURSE_ID, emails=["former@example.org"])

        assert statuses(results) == ["unchanged"]
        invitation = CourseEnrollmentAllowed.objects.get()
        assert (invitation.user, invitation.auto_enroll) == (learner, False)

    def test_unenrolling_takes_the_unused_one_back(self):
        make_course()
        api.bulk_enroll(COURSE_ID, emails=["new@example.org", "other@example.org"])

        results = api.bulk_enroll(
            COURSE_ID,
            emails=["NEW@example.org", "new@example.org", "never@example.org"],
            action="unenroll",
        )

        assert statuses(results) == ["uninvited", "unchanged", "unchanged"]
        assert CourseEnrollmentAllowed.objects.get().email == "other@example.org"

    def test_a_used_one_is_not_taken_back(self):
        make_course()
        CourseEnrollmentAllowed.objects.create(
            email="former@example.org", course_id=COURSE_ID, user=make_user()
        )

        results = api.bulk_enroll(
            COURSE_ID, emails=["former@example.org"], action="unenroll"
        )

        assert statuses(results) == ["unchanged"]
        assert CourseEnrollmentAllowed.objects.count() == 1

    @pytest.mark.parametrize("email", ["", "ada", "@\x00", "a@" + "x" * 300, None, 5])
    def test_what_is_no_address_is_told(self, email):
        make_course()

        for action in bulk.ACTIONS:
            (result,) = api.bulk_enroll(COURSE_ID, emails=[email], action=action)

            assert (result["status"], result["code"]) == ("error", "invalid_email")
        assert not CourseEnrollmentAllowed.objects.exists()

    def test_an_address_of_several_accounts_is_told(self):
        if not is_default_host():
            pytest.skip("An address has one account here.")
        make_course()
        make_user("ada", email="shared@example.org")
        make_user("bob", email="Shared@example.org")

        (result,) = api.bulk_enroll(COURSE_ID, emails=["shared@example.org"])

        assert (result["status"], result["code"]) == ("error", "ambiguous_email")
        assert "Several users" in result["message"]


class TestUnenroll:
    def test_who_was_never_in_is_unchanged(self):
        course = make_course()
        inside, left, never = make_users(3)
        for learner in (inside, left):
            CourseEnrollment.enroll(learner, COURSE_ID)
        CourseEnrollment.unenroll(left, COURSE_ID)

        results = api.bulk_enroll(
            COURSE_ID, names_of([inside, left, never]), action="unenroll"
        )

        assert statuses(results) == ["deactivated", "unchanged", "unchanged"]
        assert state_of(inside, course) == ("audit", False)

    def test_who_is_named_twice_is_unchanged_the_second_time(self):
        make_course()
        CourseEnrollment.enroll(make_user(), COURSE_ID)

        results = api.bulk_enroll(
            COURSE_ID,
            [username("ada")],
            ["ada@example.org"],
            action="unenroll",
        )

        assert statuses(results) == ["deactivated", "unchanged"]

    def test_the_mode_does_not_matter(self):
        make_course()
        CourseEnrollment.enroll(make_user(), COURSE_ID)

        results = api.bulk_enroll(
            COURSE_ID, [username("ada")], mode="unheard-of", action="unenroll"
        )

        assert statuses(results) == ["deactivated"]

    def test_who_goes_loses_an_invitation_that_still_waits(self):
        make_course()
        learner = make_user()
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=COURSE_ID, auto_enroll=True
        )

        results = api.bulk_enroll(
            COURSE_ID, emails=["ada@example.org"], action="unenroll"
        )

        assert statuses(results) == ["uninvited"]
        assert not CourseEnrollmentAllowed.objects.exists()
        assert not CourseEnrollment.is_enrolled(learner, COURSE_ID)


class TestTwice:
    def test_a_second_run_changes_nothing(self):
        make_modes(make_course(), "audit", "honor")
        names = names_of(make_users(3))
        for action in bulk.ACTIONS:
            request = {
                "usernames": names,
                "emails": ["new@example.org"],
                "mode": "honor",
                "action": action,
            }
            api.bulk_enroll(COURSE_ID, **request)
            before = stored()

            with nothing_written():
                results = api.bulk_enroll(COURSE_ID, **request)

            assert statuses(results) == ["unchanged"] * 4
            assert stored() == before


def counted_rows(names, taken):
    """Yield names one by one, noting each that has been taken."""
    for name in names:
        taken.append(name)
        yield name


@pytest.fixture
def _batches_of_three(monkeypatch):
    monkeypatch.setattr(bulk, "ROWS_PER_BATCH", 3)


@pytest.mark.usefixtures("_batches_of_three")
class TestALimitThatChanges:
    """Rows may come slowly: a limit set meanwhile holds from the next batch on."""

    @pytest.mark.rule("CAP-10")
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("before", [None, 5_000])
    def test_lets_nobody_in_past_it(self, before, stream):
        course = make_course(max_student_enrollments_allowed=before)
        names = names_of(make_users(9))
        path = get_course_adapter().max_student_enrollments_allowed
        courses = type(course)._base_manager.filter(pk=course.pk)

        def give():
            for number, name in enumerate(names):
                if number == bulk.ROWS_PER_BATCH:
                    courses.update(**{path: 5})
                yield name

        results = [*api.bulk_enroll(course_id_of(course), give(), stream=stream)]

        told = [result["code"] for result in results]
        assert told == [None] * 5 + ["course_full"] * 4
        assert CourseEnrollment.objects.active().count() == 5


@pytest.mark.usefixtures("_batches_of_three")
class TestStream:
    @pytest.mark.parametrize("action", bulk.ACTIONS)
    def test_gives_what_the_list_gives(self, action):
        for course_id in ("list", "stream"):
            make_course(course_id, max_student_enrollments_allowed=6)
        users = make_users(8)
        rows = {
            "usernames": [*names_of(users), "nobody", users[0].get_username()],
            "emails": [
                "new@example.org",
                "learner1@example.org",
                "",
                "NEW@example.org",
            ],
        }
        api.bulk_enroll("list", names_of(users)[:2])
        api.bulk_enroll("stream", names_of(users)[:2])

        listed = api.bulk_enroll("list", **rows, action=action)
        streamed = api.bulk_enroll("stream", **rows, action=action, stream=True)

        assert [
            one | {"message": one["message"].replace("stream", "list")}
            for one in streamed
        ] == listed
        assert event_types(course_id="stream") == event_types(course_id="list")

    def test_does_nothing_until_it_is_asked(self):
        make_course()
        taken = []
        names = names_of(make_users(1))

        with nothing_written():
            results = api.bulk_enroll(
                COURSE_ID, counted_rows(names, taken), stream=True
            )

        assert taken == []
        assert statuses([*results]) == ["created"]

    @pytest.mark.parametrize("field", ["usernames", "emails"])
    def test_takes_as_many_rows_as_a_batch_needs(self, field):
        make_course()
        taken = []
        names = names_of(make_users(7))
        if field == "emails":
            names = [f"learner{number}@example.org" for number in range(7)]

        results = api.bulk_enroll(
            COURSE_ID, **{field: counted_rows(names, taken)}, stream=True
        )

        seen = []
        for result in results:
            seen.append((result["identifier"], len(taken)))
        assert seen == list(zip(names, [3, 3, 3, 6, 6, 6, 7], strict=True))

    def test_a_list_takes_rows_as_its_batches_need_them_too(self):
        make_course()
        names = names_of(make_users(7))
        inside = []

        def rows():
            for name in names:
                inside.append(CourseEnrollment.objects.count())
                yield name

        api.bulk_enroll(COURSE_ID, rows())

        assert inside == [0, 0, 0, 3, 3, 3, 6]

    def test_has_whole_batches_done_when_nobody_asks_any_more(self):
        make_course()
        users = make_users(7)

        results = api.bulk_enroll(COURSE_ID, names_of(users), stream=True)
        for _ in range(4):
            next(results)
        del results

        inside = CourseEnrollment.objects.values_list("user", flat=True)
        assert {*inside} == {user.pk for user in users[:6]}
        assert event_types() == ["created"] * 6

    def test_has_whole_batches_done_when_a_row_cannot_be_read(self):
        make_course()
        names = names_of(make_users(5))

        def rows():
            yield from names
            raise OSError("The file has come to an early end.")

        results = api.bulk_enroll(COURSE_ID, rows(), stream=True)

        assert statuses([next(results) for _ in range(3)]) == ["created"] * 3
        with pytest.raises(OSError, match="early end"):
            next(results)
        assert CourseEnrollment.objects.count() == 3

    def test_who_is_named_in_two_batches_is_unchanged_the_second_time(self):
        make_course()
        (name, *others) = names_of(make_users(4))

        results = api.bulk_enroll(
            COURSE_ID, [name, *others, name], ["new@example.org"] * 5, stream=True
        )

        expected = ["created"] * 4 + ["unchanged", "invited"] + ["unchanged"] * 4
        assert statuses([*results]) == expected

    def test_the_seats_are_counted_for_each_batch(self):
        make_course(max_student_enrollments_allowed=4)

        results = api.bulk_enroll(COURSE_ID, names_of(make_users(8)), stream=True)

        assert statuses([*results]) == ["created"] * 4 + ["error"] * 4

    def test_each_batch_goes_by_the_course_as_it_is_by_then(self):
        course = make_course()
        names = names_of(make_users(9))

        results = api.bulk_enroll(COURSE_ID, names, stream=True)

        told = [next(results) for _ in range(3)]
        make_mode(course, "honor")
        told += [next(results) for _ in range(3)]
        course.delete()
        told += [*results]
        assert statuses(told) == ["created"] * 6 + ["error"] * 3
        assert {one["code"] for one in told[6:]} == {"course_not_found"}
        modes = CourseEnrollment.objects.order_by("pk").values_list("mode", flat=True)
        assert [*modes] == ["audit"] * 3 + ["honor"] * 3

    def test_a_mode_that_is_offered_no_more_is_told_row_by_row(self):
        course = make_course()
        make_modes(course, "audit", "honor")
        names = names_of(make_users(6))

        results = api.bulk_enroll(COURSE_ID, names, mode="honor", stream=True)

        told = [next(results) for _ in range(3)]
        course.django_enrollments_coursemode_set.filter(mode_slug="honor").delete()
        told += [*results]
        assert [one["code"] for one in told] == [None] * 3 + ["mode_unavailable"] * 3

    def test_each_batch_has_its_own_moment(self, monkeypatch):
        make_course()
        clock = iter(range(100))
        monkeypatch.setattr(datetimes, "now", lambda: NOON + next(clock) * HOUR)

        statuses([*api.bulk_enroll(COURSE_ID, names_of(make_users(6)), stream=True)])

        times = [event.time for event in EnrollmentEvent.objects.order_by("pk")]
        assert times[0] == times[2] < times[3] == times[5]

    def test_a_moment_that_is_given_is_that_of_all(self):
        make_course()
        names = names_of(make_users(6))

        results = api.bulk_enroll(COURSE_ID, names, stream=True, at=NOON)

        for _ in results:
            assert context.moment() != NOON
        assert {event.time for event in EnrollmentEvent.objects.all()} == {NOON}

    def test_the_service_streams_as_well(self):
        course = make_course()
        users = make_users(4)
        taken = []

        results = EnrollmentsService().bulk_enroll(
            course, counted_rows(users, taken), stream=True
        )

        assert next(results)["status"] == "created"
        assert taken == users[:3]
        assert statuses([*results]) == ["created"] * 3

    @pytest.mark.django_db(transaction=True)
    def test_commits_and_tells_of_each_batch(self):
        make_course()
        names = names_of(make_users(7))

        with listening() as heard:
            for done, _ in enumerate(
                api.bulk_enroll(COURSE_ID, names, stream=True), start=1
            ):
                assert connection.get_autocommit()
                assert connection.run_on_commit == []
                assert len(heard) == min(7, -(-done // 3) * 3)

    @pytest.mark.django_db(transaction=True)
    def test_in_a_transaction_of_the_callers_all_is_theirs(self):
        make_course()
        names = names_of(make_users(4))

        with listening() as heard:
            with transaction.atomic():
                assert len([*api.bulk_enroll(COURSE_ID, names, stream=True)]) == 4
                assert heard == []
            assert len(heard) == 4
            with transaction.atomic():
                results = api.bulk_enroll(
                    COURSE_ID, names, action="unenroll", stream=True
                )
                assert statuses([*results]) == ["deactivated"] * 4
                transaction.set_rollback(True)
            assert len(heard) == 4
        assert CourseEnrollment.objects.active().count() == 4


@pytest.fixture
def _no_pauses(monkeypatch):
    monkeypatch.setattr(isolation, "PAUSES_SECONDS", (0, 0))
    monkeypatch.setattr(transactions, "PAUSE_SECONDS", 0)


def failing_for(names, error):
    """Make a filter that fails for some learners."""

    def fail(action, *, user, **context):
        if user.get_username() in names:
            raise error

    return fail


#: What makes the database refuse new enrollments of a learner, and lets them in again.
PICKY = {
    "sqlite": (
        "CREATE TRIGGER picky BEFORE INSERT ON django_enrollments_courseenrollment "
        "WHEN CAST(NEW.user_id AS TEXT) = '{key}' "
        "BEGIN SELECT RAISE(ABORT, 'not ada'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.user_id::text = '{key}' THEN RAISE EXCEPTION 'not ada'; END IF; "
        "RETURN NEW; END $$",
        "CREATE TRIGGER picky BEFORE INSERT ON django_enrollments_courseenrollment "
        "FOR EACH ROW EXECUTE FUNCTION picky()",
    ),
    "mysql": (
        "CREATE TRIGGER picky BEFORE INSERT ON django_enrollments_courseenrollment "
        "FOR EACH ROW BEGIN IF NEW.user_id = '{key}' THEN "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not ada'; END IF; END",
    ),
}


@contextmanager
def refused_by_the_database(user):
    """Have the database refuse every new enrollment of a learner."""
    field = CourseEnrollment._meta.get_field("user").target_field
    key = field.get_db_prep_save(user.pk, connection)
    with connection.cursor() as cursor:
        for statement in PICKY[connection.vendor]:
            cursor.execute(statement.format(key=key))
        try:
            yield
        finally:
            table = CourseEnrollment._meta.db_table
            on = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER picky{on}")
            if on:
                cursor.execute("DROP FUNCTION picky()")


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.django_db(transaction=True)
class TestWhatFails:
    def test_costs_nobody_else_their_place(self):
        make_course()
        users = make_users(7)

        with refused_by_the_database(users[4]), listening() as heard:
            results = api.bulk_enroll(COURSE_ID, names_of(users), ["new@example.org"])

        expected = [*["created"] * 4, "error", "created", "created", "invited"]
        assert statuses(results) == expected
        assert results[4]["code"] == "enrollment_error"
        assert results[4]["message"]
        assert results[4]["identifier"] == users[4].get_username()
        assert len(heard) == EnrollmentEvent.objects.count() == 6
        for user in users:
            state = None if user == users[4] else ("audit", True)
            assert fold(user=user) == state

    def test_takes_the_seat_of_nobody(self):
        make_course(max_student_enrollments_allowed=3)
        users = make_users(5)

        with refused_by_the_database(users[1]):
            results = api.bulk_enroll(COURSE_ID, names_of(users))

        codes = [one["code"] for one in results]
        assert codes == [None, "enrollment_error", None, None, "course_full"]

    def test_in_a_transaction_of_the_callers_that_goes_on_costs_nobody_else(self):
        make_course()
        users = make_users(3)

        with refused_by_the_database(users[1]), transaction.atomic():
            results = api.bulk_enroll(COURSE_ID, names_of(users))

        assert statuses(results) == ["created", "error", "created"]
        assert CourseEnrollment.objects.count() == 2

    @pytest.mark.parametrize("action", bulk.ACTIONS)
    def test_in_a_filter_is_an_error_of_that_row_and_logged(
        self, settings, caplog, action
    ):
        make_course()
        names = names_of(make_users(4))
        if action == "unenroll":
            api.bulk_enroll(COURSE_ID, names)
        settings.ENROLLMENTS_FILTERS = [failing_for({names[2]}, KeyError("grade"))]

        results = api.bulk_enroll(COURSE_ID, names, action=action)

        done = "created" if action == "enroll" else "deactivated"
        assert statuses(results) == [done, done, "error", done]
        assert results[2]["code"] == "enrollment_error"
        assert results[2]["message"] == "Unexpected KeyError."
        assert caplog.messages == ["Rows of a bulk failed: Unexpected KeyError."]
        assert caplog.records[0].exc_info[1].args == ("grade",)

    def test_by_the_database_is_logged_without_what_it_says(self, settings, caplog):
        make_course()
        names = names_of(make_users(2))
        error = DataError("Key (email)=(ada@example.org) is out of range.")
        settings.ENROLLMENTS_FILTERS = [failing_for({*names}, error)]

        results = api.bulk_enroll(COURSE_ID, names)

        assert {one["message"] for one in results} == {"Unexpected DataError."}
        assert "ada" not in caplog.text

    @pytest.mark.usefixtures("_batches_of_three")
    def test_for_the_database_itself_fails_one_batch_and_leaves_the_others(
        self, settings, monkeypatch
    ):
        make_course()
        names = names_of(make_users(9))
        tries = []

        def gone(action, *, user, **context):
            if user.get_username() == names[4]:
                tries.append(user)
                raise OperationalError("database is locked")

        settings.ENROLLMENTS_FILTERS = [gone]
        monkeypatch.setattr(isolation, "_may_pass", lambda *arguments: True)

        results = api.bulk_enroll(COURSE_ID, names, stream=True)

        expected = ["created"] * 3 + ["error"] * 3 + ["created"] * 3
        assert statuses([*results]) == expected
        # The pauses have been taken, and the batch has not been cut up.
        assert len(tries) == 3
        assert CourseEnrollment.objects.count() == 6

    @pytest.mark.usefixtures("_batches_of_three")
    @pytest.mark.parametrize("action", bulk.ACTIONS)
    def test_a_connection_that_is_lost_between_batches_is_made_anew(self, action):
        if connection.vendor == "sqlite":
            pytest.skip("A file cannot be lost.")
        make_course()
        names = names_of(make_users(6))
        if action == "unenroll":
            api.bulk_enroll(COURSE_ID, names)

        def rows():
            yield from names[:3]
            connection.connection.close()
            yield from names[3:]

        results = api.bulk_enroll(COURSE_ID, rows(), action=action)

        done = "created" if action == "enroll" else "deactivated"
        assert statuses(results) == [done] * 6

    def test_in_a_transaction_that_is_no_longer_of_use_is_the_callers_to_hear(
        self, settings
    ):
        make_course()
        names = names_of(make_users(3))

        def ask(action, *, user, **context):
            if user.get_username() == names[1]:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT nothing FROM nowhere")

        settings.ENROLLMENTS_FILTERS = [ask]

        assert statuses(api.bulk_enroll(COURSE_ID, names)) == [
            "created",
            "error",
            "created",
        ]
        with transaction.atomic():
            if connection.vendor != "postgresql":
                api.bulk_enroll(COURSE_ID, names)
                return
            with pytest.raises(ProgrammingError):
                api.bulk_enroll(COURSE_ID, names)
            transaction.set_rollback(True)

    def test_when_the_transaction_must_be_rolled_back_is_the_callers_to_hear(
        self, settings
    ):
        make_course()
        names = names_of(make_users(3))

        def ask(action, **context):
            transaction.set_rollback(True)
            raise DataError("no")

        settings.ENROLLMENTS_FILTERS = [ask]

        with pytest.raises(DataError), transaction.atomic():
            api.bulk_enroll(COURSE_ID, names)

    def test_before_any_row_is_tried_again_and_then_told(self, monkeypatch):
        make_course()
        tries = []

        def fail(*arguments):
            tries.append(arguments)
            raise OperationalError("database is locked")

        monkeypatch.setattr(bulk, "_check", fail)
        monkeypatch.setattr(isolation, "_may_pass", lambda *arguments: True)

        with pytest.raises(OperationalError):
            api.bulk_enroll(COURSE_ID, stream=True)
        assert len(tries) == 3
