"""Many learners at once, by the rules of single calls."""

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
from tests.databases import lock_error
from tests.factories import (
    HOUR,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.watching import event_types, fold, listening, nothing_written, state_of

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
SHOUTED = "ADA@example.org"


def names_of(users):
    return [user.get_username() for user in users]


def statuses(results):
    return [result["status"] for result in results]


@pytest.fixture
def course(db):
    return make_course()


def bulk_enroll(*usernames, emails=(), **options):
    return api.bulk_enroll(COURSE_ID, usernames, emails, **options)


def invite(email, **fields):
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=COURSE_ID, **fields
    )


class TestResults:
    def test_are_one_for_each_row_in_order_usernames_first(self, course):
        ada, bob = make_user("ada"), make_user("bob")
        # Rows may come from any iterable.
        names = iter([username("bob"), "nobody"])
        emails = (one for one in ("ada@example.org", "new@example.org", "broken"))

        results = api.bulk_enroll(COURSE_ID, names, emails)

        assert [(*result.values(),)[:3] for result in results] == [
            (username("bob"), "created", None),
            ("nobody", "error", "user_not_found"),
            ("ada@example.org", "created", None),
            ("new@example.org", "invited", None),
            ("broken", "error", "invalid_email"),
        ]
        assert [*results[0]] == ["identifier", "status", "code", "message"]
        assert results[0]["message"] == ""
        assert results[1]["message"] == "Not user with username 'nobody' found."
        json.dumps(results)
        assert {row.user for row in CourseEnrollment.objects.all()} == {ada, bob}

    def test_are_none_for_no_row(self, course):
        assert bulk_enroll() == bulk_enroll(action="unenroll") == []

    def test_keep_their_order_over_several_batches(self, course):
        users = make_users(bulk.ROWS_PER_BATCH + 3)
        names = names_of(users)
        names.insert(1, "nobody")

        results = bulk_enroll(*names)

        assert [result["identifier"] for result in results] == names
        expected = ["created", "error", *["created"] * (len(users) - 1)]
        assert statuses(results) == expected
        assert CourseEnrollment.objects.count() == len(users)

    @pytest.mark.parametrize(
        "given",
        [None, 5, 1.5, True, b"ada", [], {}, ("a",), "", "\x00", "\ud800", "x" * 10**5],
    )
    def test_of_good_rows_do_not_depend_on_bad_ones(self, course, given):
        for name in ("ada", "bob"):
            make_user(name)

        for action, good in (("enroll", "created"), ("unenroll", "deactivated")):
            results = bulk_enroll(
                username("ada"), given, emails=[given, "bob@example.org"], action=action
            )

            assert statuses(results) == [good, "error", "error", good]
            json.dumps(results)


class TestEnroll:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (None, ["created", "reactivated", "unchanged", "unchanged"]),
            ("verified", ["created", "reactivated", "unchanged", "mode_changed"]),
        ],
    )
    def test_creates_activates_and_changes_the_mode_if_it_is_given(
        self, asked, expected
    ):
        course = make_course(modes=["audit", "verified"])
        new, back, inside, other = make_users(4)
        for learner in (back, inside):
            CourseEnrollment.enroll(learner, COURSE_ID, "verified")
        CourseEnrollment.enroll(other, COURSE_ID)
        CourseEnrollment.unenroll(back, COURSE_ID)

        results = bulk_enroll(*names_of([new, back, inside, other]), mode=asked)

        mode = asked or "audit"
        assert statuses(results) == expected
        assert state_of(inside, course) == ("verified", True)
        assert {state_of(one, course) for one in (new, back, other)} == {(mode, True)}

    def test_leaves_a_learner_who_is_named_again(self, ada, course):
        results = bulk_enroll(username("ada"), username("ada"), emails=[SHOUTED])

        assert statuses(results) == ["created", "unchanged", "unchanged"]
        assert results[2]["identifier"] == SHOUTED
        assert event_types() == ["created"]

    def test_refuses_a_learner_again_who_is_named_again(self, ada):
        make_course(enrollment_end=NOON)

        results = bulk_enroll(username("ada"), emails=[SHOUTED])

        assert [one["code"] for one in results] == ["enrollment_closed"] * 2
        assert results[1]["identifier"] == SHOUTED
        assert results[0]["message"] == results[1]["message"] != ""

    def test_applies_the_learners_rules_unless_forced(self):
        make_course(invitation_only=True)
        invited, other = make_user("invited"), make_user("other")
        invite("invited@example.org")
        names = names_of([invited, other])

        assert statuses(bulk_enroll(*names)) == ["created", "error"]
        assert CourseEnrollmentAllowed.objects.get().user == invited
        assert statuses(bulk_enroll(*names, force=True)) == ["unchanged", "created"]

    def test_writes_actor_reason_and_moment_to_the_history(self, course):
        actor, *learners = make_users(3)

        bulk_enroll(*names_of(learners), actor=actor, reason="new term", at=NOON)

        events = EnrollmentEvent.objects.order_by("pk")
        assert [event.user_id for event in events] == [one.pk for one in learners]
        assert {
            (event.type, event.source, event.actor_id, event.reason, event.time)
            for event in events
        } == {("created", "bulk", actor.pk, "new term", NOON)}

    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_writes_what_single_calls_write(self, mode):
        users = make_users(5)
        in_bulk, single = (
            make_course(
                name, max_student_enrollments_allowed=3, modes=["audit", "honor"]
            )
            for name in ("bulk", "single")
        )
        for course_id in ("bulk", "single"):
            CourseEnrollment.enroll(users[1], course_id, "honor")
            CourseEnrollment.unenroll(users[1], course_id)

        results = api.bulk_enroll("bulk", names_of(users), mode=mode)
        refusals = []
        for user in users:
            try:
                api.add_enrollment(user.get_username(), "single", mode)
            except CourseEnrollmentError as error:
                refusals.append((user.get_username(), error.code))

        errors = [one for one in results if one["status"] == "error"]
        assert [(one["identifier"], one["code"]) for one in errors] == refusals
        for user in users[:3]:
            assert state_of(user, in_bulk) == state_of(user, single)
        for user in users:
            in_bulk_history = fold(user=user, course_id="bulk")
            assert in_bulk_history == fold(user=user, course_id="single")


@pytest.mark.parametrize("stream", [False, True])
class TestBeforeAnyRow:
    @pytest.fixture
    def rows(self):
        def never():
            raise AssertionError("A row was read.")
            yield

        return never()

    @pytest.mark.parametrize(
        "course_id", ["unknown", "", "not valid", None, [], "\x00"]
    )
    def test_an_unknown_course_is_refused(self, db, rows, course_id, stream):
        for action in bulk.ACTIONS:
            with pytest.raises(CourseNotFoundError):
                api.bulk_enroll(course_id, rows, action=action, stream=stream)

    @pytest.mark.parametrize("mode", ["verified", "", "x" * 300, 5, [], "\x00"])
    def test_a_mode_that_the_course_does_not_offer_is_refused(self, rows, mode, stream):
        make_course(modes=["audit"], expired=["verified"])

        with pytest.raises(CourseModeNotFoundError):
            api.bulk_enroll(COURSE_ID, rows, mode=mode, stream=stream)

    @pytest.mark.parametrize("action", ["", "Enroll", None, 5, [], "delete"])
    def test_an_unknown_action_is_refused(self, course, rows, action, stream):
        with pytest.raises(CourseEnrollmentError, match="neither enroll nor"):
            api.bulk_enroll(COURSE_ID, rows, action=action, stream=stream)

    @pytest.mark.parametrize("field", ["usernames", "emails"])
    @pytest.mark.parametrize("given", ["ada", b"ada"])
    def test_a_text_instead_of_a_list_is_refused(self, course, field, given, stream):
        with pytest.raises(TypeError, match="are lists"):
            api.bulk_enroll(COURSE_ID, **{field: given}, stream=stream)


class TestInvitations:
    def test_are_made_once_for_an_address_without_an_account(self, course):
        first = bulk_enroll(emails=["new@example.org", " NEW@example.org "], at=NOON)
        second = bulk_enroll(emails=["New@Example.ORG"])

        assert statuses([*first, *second]) == ["invited", "unchanged", "unchanged"]
        invitation = CourseEnrollmentAllowed.objects.get()
        assert (invitation.email, invitation.course_id) == (
            "new@example.org",
            COURSE_ID,
        )
        assert invitation.auto_enroll is True
        assert invitation.created == NOON
        assert event_types() == []

    def test_are_changed_if_unused_and_left_if_used(self, ada, course):
        invite("new@example.org")
        used = invite("former@example.org", user=ada)

        results = bulk_enroll(emails=["new@example.org", "former@example.org"])

        assert statuses(results) == ["invited", "unchanged"]
        changed = CourseEnrollmentAllowed.objects.get(email="new@example.org")
        assert changed.auto_enroll is True
        used.refresh_from_db()
        assert (used.user, used.auto_enroll) == (ada, False)

    def test_are_deleted_by_unenrolling_if_unused(self, ada, course):
        for email in ("new@example.org", "other@example.org", "ada@example.org"):
            invite(email)
        invite("former@example.org", user=ada)

        results = bulk_enroll(
            emails=[
                "NEW@example.org",
                "new@example.org",
                "never@example.org",
                "former@example.org",
                "ada@example.org",
            ],
            action="unenroll",
        )

        assert statuses(results) == [
            "uninvited",
            "unchanged",
            "unchanged",
            "unchanged",
            "uninvited",
        ]
        left = CourseEnrollmentAllowed.objects.values_list("email", flat=True)
        assert {*left} == {"other@example.org", "former@example.org"}
        assert not CourseEnrollment.is_enrolled(ada, COURSE_ID)


class TestUnenroll:
    def test_deactivates_whatever_the_mode(self, course):
        inside, left, never = make_users(3)
        for learner in (inside, left):
            CourseEnrollment.enroll(learner, COURSE_ID)
        CourseEnrollment.unenroll(left, COURSE_ID)

        results = bulk_enroll(
            *names_of([inside, left, never]),
            emails=[inside.email],
            mode="unheard-of",
            action="unenroll",
        )

        assert statuses(results) == ["deactivated", *["unchanged"] * 3]
        assert state_of(inside, course) == ("audit", False)


@pytest.mark.parametrize("action", bulk.ACTIONS)
def test_a_second_run_changes_nothing(action):
    make_course(modes=["audit", "honor"])
    names = names_of(make_users(3))
    request = {"emails": ["new@example.org"], "mode": "honor"}
    bulk_enroll(*names, **request)
    bulk_enroll(*names, **request, action=action)

    with nothing_written():
        results = bulk_enroll(*names, **request, action=action)

    assert statuses(results) == ["unchanged"] * 4


def counted_rows(names, taken):
    """Yield names one by one, and keep each that has been read."""
    for name in names:
        taken.append(name)
        yield name


@pytest.fixture
def _batches_of_three(monkeypatch):
    monkeypatch.setattr(bulk, "ROWS_PER_BATCH", 3)


@pytest.mark.usefixtures("_batches_of_three")
class TestSeats:
    @pytest.mark.rule("CAP-10")
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("before", [None, 5_000])
    def test_that_change_meanwhile_hold_from_the_next_batch_on(self, before, stream):
        course = make_course(max_student_enrollments_allowed=before)
        names = names_of(make_users(9))
        path = get_course_adapter().max_student_enrollments_allowed
        courses = type(course)._base_manager.filter(pk=course.pk)

        def rows():
            for number, name in enumerate(names):
                if number == bulk.ROWS_PER_BATCH:
                    courses.update(**{path: 5})
                yield name

        results = [*api.bulk_enroll(course_id_of(course), rows(), stream=stream)]

        codes = [result["code"] for result in results]
        assert codes == [None] * 5 + ["course_full"] * 4
        assert CourseEnrollment.objects.active().count() == 5


@pytest.mark.usefixtures("_batches_of_three")
class TestStream:
    @pytest.mark.parametrize("action", bulk.ACTIONS)
    def test_returns_what_the_list_returns(self, action):
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

    def test_does_nothing_until_a_result_is_read(self, course):
        taken = []
        names = names_of(make_users(1))

        with nothing_written():
            results = api.bulk_enroll(
                COURSE_ID, counted_rows(names, taken), stream=True
            )

        assert taken == []
        assert statuses([*results]) == ["created"]

    @pytest.mark.parametrize("field", ["usernames", "emails"])
    def test_reads_as_many_rows_as_a_batch_needs(self, course, field):
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

    def test_reads_rows_by_batches_for_a_list_too(self, course):
        names = names_of(make_users(7))
        inside = []

        def rows():
            for name in names:
                inside.append(CourseEnrollment.objects.count())
                yield name

        api.bulk_enroll(COURSE_ID, rows())

        assert inside == [0, 0, 0, 3, 3, 3, 6]

    def test_has_done_whole_batches_when_it_is_given_up(self, course):
        users = make_users(7)

        results = api.bulk_enroll(COURSE_ID, names_of(users), stream=True)
        for _ in range(4):
            next(results)
        del results

        inside = CourseEnrollment.objects.values_list("user", flat=True)
        assert {*inside} == {user.pk for user in users[:6]}
        assert event_types() == ["created"] * 6

    def test_has_done_whole_batches_when_a_row_cannot_be_read(self, course):
        names = names_of(make_users(5))

        def rows():
            yield from names
            raise OSError("The file has come to an early end.")

        results = api.bulk_enroll(COURSE_ID, rows(), stream=True)

        assert statuses([next(results) for _ in range(3)]) == ["created"] * 3
        with pytest.raises(OSError, match="early end"):
            next(results)
        assert CourseEnrollment.objects.count() == 3

    def test_leaves_a_learner_who_is_named_in_two_batches(self, course):
        (name, *others) = names_of(make_users(4))

        results = api.bulk_enroll(
            COURSE_ID, [name, *others, name], ["new@example.org"] * 5, stream=True
        )

        expected = ["created"] * 4 + ["unchanged", "invited"] + ["unchanged"] * 4
        assert statuses([*results]) == expected

    def test_reads_the_course_for_each_batch(self):
        course = make_course()
        names = names_of(make_users(9))

        results = api.bulk_enroll(COURSE_ID, names, stream=True)

        read = [next(results) for _ in range(3)]
        make_mode(course, "honor")
        read += [next(results) for _ in range(3)]
        course.delete()
        read += [*results]
        assert statuses(read) == ["created"] * 6 + ["error"] * 3
        assert {one["code"] for one in read[6:]} == {"course_not_found"}
        modes = CourseEnrollment.objects.order_by("pk").values_list("mode", flat=True)
        assert [*modes] == ["audit"] * 3 + ["honor"] * 3

    def test_has_an_error_for_each_row_after_a_mode_is_gone(self):
        course = make_course(modes=["audit", "honor"])
        names = names_of(make_users(6))

        results = api.bulk_enroll(COURSE_ID, names, mode="honor", stream=True)

        read = [next(results) for _ in range(3)]
        course.django_enrollments_coursemode_set.filter(mode_slug="honor").delete()
        read += [*results]
        assert [one["code"] for one in read] == [None] * 3 + ["mode_unavailable"] * 3

    def test_reads_the_clock_for_each_batch(self, course, monkeypatch):
        clock = iter(range(100))
        monkeypatch.setattr(datetimes, "now", lambda: NOON + next(clock) * HOUR)

        statuses([*api.bulk_enroll(COURSE_ID, names_of(make_users(6)), stream=True)])

        times = [event.time for event in EnrollmentEvent.objects.order_by("pk")]
        assert times[0] == times[2] < times[3] == times[5]

    def test_takes_a_given_moment_for_all_batches(self, course):
        names = names_of(make_users(6))

        results = api.bulk_enroll(COURSE_ID, names, stream=True, at=NOON)

        for _ in results:
            assert context.moment() != NOON
        assert {event.time for event in EnrollmentEvent.objects.all()} == {NOON}

    def test_is_offered_by_the_service_too(self):
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
    def test_commits_and_sends_signals_for_each_batch(self, course):
        names = names_of(make_users(7))

        with listening() as heard:
            for done, _ in enumerate(
                api.bulk_enroll(COURSE_ID, names, stream=True), start=1
            ):
                assert connection.get_autocommit()
                assert connection.run_on_commit == []
                assert len(heard) == min(7, -(-done // 3) * 3)

    @pytest.mark.django_db(transaction=True)
    def test_leaves_all_to_a_transaction_of_the_callers(self, course):
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
class TestFailure:
    def test_of_one_row_leaves_the_others(self, course):
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

    def test_of_one_row_takes_no_seat(self):
        make_course(max_student_enrollments_allowed=3)
        users = make_users(5)

        with refused_by_the_database(users[1]):
            results = api.bulk_enroll(COURSE_ID, names_of(users))

        codes = [one["code"] for one in results]
        assert codes == [None, "enrollment_error", None, None, "course_full"]

    def test_of_one_row_leaves_a_transaction_of_the_callers_usable(self, course):
        users = make_users(3)

        with refused_by_the_database(users[1]), transaction.atomic():
            results = api.bulk_enroll(COURSE_ID, names_of(users))

        assert statuses(results) == ["created", "error", "created"]
        assert CourseEnrollment.objects.count() == 2

    @pytest.mark.parametrize("action", bulk.ACTIONS)
    def test_in_a_filter_is_an_error_of_that_row_and_logged(
        self, course, settings, caplog, action
    ):
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

    def test_of_the_database_is_logged_without_its_message(
        self, course, settings, caplog
    ):
        names = names_of(make_users(2))
        error = DataError("Key (email)=(ada@example.org) is out of range.")
        settings.ENROLLMENTS_FILTERS = [failing_for({*names}, error)]

        results = api.bulk_enroll(COURSE_ID, names)

        assert {one["message"] for one in results} == {"Unexpected DataError."}
        assert "ada" not in caplog.text

    @pytest.mark.usefixtures("_batches_of_three")
    def test_to_get_a_lock_fails_one_batch_after_as_many_tries(
        self, course, settings, monkeypatch
    ):
        if connection.vendor == "mysql":
            pytest.skip("There, a lock wait time-out is a conflict, retried for a row.")
        names = names_of(make_users(9))
        tries = []

        def gone(action, *, user, **context):
            if user.get_username() == names[4]:
                tries.append(user)
                raise lock_error()

        settings.ENROLLMENTS_FILTERS = [gone]

        results = api.bulk_enroll(COURSE_ID, names, stream=True)

        expected = ["created"] * 3 + ["error"] * 3 + ["created"] * 3
        assert statuses([*results]) == expected
        # The pauses have been taken, and the batch has not been cut up.
        assert len(tries) == 3
        assert CourseEnrollment.objects.count() == 6

    @pytest.mark.usefixtures("_batches_of_three")
    @pytest.mark.parametrize("action", bulk.ACTIONS)
    def test_of_the_connection_between_batches_is_repaired(self, action):
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

    def test_that_breaks_a_transaction_of_the_callers_is_raised(self, course, settings):
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

    def test_that_rolls_back_a_transaction_of_the_callers_is_raised(
        self, course, settings
    ):
        names = names_of(make_users(3))

        def ask(action, **context):
            transaction.set_rollback(True)
            raise DataError("no")

        settings.ENROLLMENTS_FILTERS = [ask]

        with pytest.raises(DataError), transaction.atomic():
            api.bulk_enroll(COURSE_ID, names)

    def test_before_any_row_is_raised_after_as_many_tries(self, db):
        tries = []

        def fail(*arguments):
            tries.append(arguments)
            raise lock_error()

        with connection.execute_wrapper(fail), pytest.raises(OperationalError):
            api.bulk_enroll(COURSE_ID, stream=True)
        assert len(tries) == 3
