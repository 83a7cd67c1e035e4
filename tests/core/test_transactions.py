"""A change is one transaction, repeated after a conflict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Barrier, Event

import pytest
from django.db import (
    DatabaseError,
    OperationalError,
    connection,
    transaction,
)
from django.test.utils import CaptureQueriesContext

from django_enrollments import api
from django_enrollments.core.transactions import (
    ATTEMPTS,
    Conflict,
    _retries,
    lazy_transaction,
    lock_enrollment,
    retry_on_conflict,
    write_alias,
    write_transaction,
)
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    course_id_of,
    make_course,
    make_user,
    make_users,
    username,
)
from tests.processes.calls import is_enrollment_locked, without_waiting
from tests.processes.concurrent import at_once
from tests.watching import listening, nothing_written

USING = write_alias()

autocommit = pytest.mark.django_db(transaction=True)


def only_on(*vendors):
    """Skip a test on other databases, with the reason."""
    reason = f"{connection.vendor} is none of: {', '.join(vendors)}"
    return pytest.mark.skipif(connection.vendor not in vendors, reason=reason)


def conflicting_attempt(times, *, error=None):
    """Make an attempt that has so many conflicts; it keeps a log."""

    def attempt(lock):
        attempt.locks.append(lock)
        if len(attempt.locks) <= times:
            raise error or Conflict
        return "done"

    attempt.locks = []
    return attempt


@contextmanager
def failing_on(beginning):
    """Let the database fail on the first statement that begins so."""

    def execute(proceed, sql, *rest):
        if sql.replace("`", '"').startswith(beginning):
            raise DatabaseError("No space left on device.")
        return proceed(sql, *rest)

    with connection.execute_wrapper(execute):
        yield


def in_another_thread(pool, work):
    """Start work that has a connection of its own, and leaves none behind."""

    def run():
        try:
            return work()
        finally:
            connection.close()

    return pool.submit(run)


def move(row, mode):
    """Change a row as a statement of another process would."""
    CourseEnrollment.objects.filter(pk=row.pk).update(mode=mode)


class TestUntilSettled:
    @autocommit
    def test_repeats_until_there_is_no_conflict(self):
        attempts = [conflicting_attempt(times) for times in (0, 1, ATTEMPTS - 1)]

        answers = [retry_on_conflict(attempt, using=USING) for attempt in attempts]

        assert answers == ["done"] * 3
        assert [attempt.locks for attempt in attempts] == [
            [False],
            [False] * 2,
            [False] * ATTEMPTS,
        ]

    @autocommit
    def test_raises_after_the_last_attempt(self):
        attempt = conflicting_attempt(ATTEMPTS)

        with pytest.raises(CourseEnrollmentError, match="Too many changes") as failure:
            retry_on_conflict(attempt, using=USING)

        assert failure.value.code == "enrollment_error"
        assert isinstance(failure.value.__cause__, Conflict)
        assert len(attempt.locks) == ATTEMPTS

    @pytest.mark.django_db
    def test_locks_from_the_third_attempt_on_in_a_callers_transaction(self):
        attempt = conflicting_attempt(4)

        retry_on_conflict(attempt, using=USING)

        assert attempt.locks == [False, False, True, True, True]

    @autocommit
    @pytest.mark.parametrize(
        "error",
        [
            OperationalError("server closed the connection"),
            CourseEnrollmentError("No."),
        ],
    )
    def test_raises_every_other_error_at_once(self, error):
        attempt = conflicting_attempt(1, error=error)

        with pytest.raises(type(error), match=str(error)):
            retry_on_conflict(attempt, using=USING)

        assert len(attempt.locks) == 1

    @autocommit
    def test_marks_repeated_attempts(self):
        repeated = []

        def attempt(_lock):
            repeated.append(bool(_retries.get()))
            if len(repeated) < 3:
                raise Conflict

        retry_on_conflict(attempt, using=USING)

        assert repeated == [False, True, True]
        assert not _retries.get()

    @autocommit
    def test_repeats_a_part_only_with_the_whole(self):
        log = []
        part = conflicting_attempt(2)

        def whole(_lock):
            log.append(len(part.locks))
            with write_transaction(USING):
                return retry_on_conflict(part, using=USING)

        answer = retry_on_conflict(whole, using=USING)

        assert answer == "done"
        assert log == [0, 1, 2]

    @autocommit
    def test_repeats_work_after_the_commit_by_itself(self):
        later = conflicting_attempt(3)

        def do_later():
            with transaction.atomic():
                retry_on_conflict(later, using=USING)

        def attempt(_lock):
            with write_transaction(USING):
                transaction.on_commit(do_later)

        retry_on_conflict(attempt, using=USING)

        assert len(later.locks) == 4

    @autocommit
    def test_takes_a_transaction_for_the_callers_where_autocommit_is_off(self):
        row = make_row()
        attempt = conflicting_attempt(1, error=deadlock())
        transaction.set_autocommit(False)
        try:
            move(row, "honor")

            with pytest.raises(OperationalError):
                retry_on_conflict(attempt, using=USING)

            transaction.commit()
        finally:
            transaction.set_autocommit(True)
        assert len(attempt.locks) == 1
        assert CourseEnrollment.objects.get().mode == "honor"

    @only_on("postgresql", "mysql")
    @autocommit
    def test_repeats_a_transaction_after_a_deadlock(self):
        first, second, log, crossed = make_crossing()

        with ThreadPoolExecutor(2) as pool:
            one = in_another_thread(
                pool, partial(retry_on_conflict, crossed(first, second), using=USING)
            )
            other = in_another_thread(
                pool, partial(retry_on_conflict, crossed(second, first), using=USING)
            )
            one.result()
            other.result()

        assert len(log) == 3

    @only_on("postgresql", "mysql")
    @autocommit
    def test_never_repeats_a_transaction_of_the_callers(self):
        first, second, log, crossed = make_crossing()

        def within(attempt):
            try:
                with transaction.atomic():
                    retry_on_conflict(attempt, using=USING)
            except OperationalError:
                return "ended"
            return "fine"

        with ThreadPoolExecutor(2) as pool:
            one = in_another_thread(pool, partial(within, crossed(first, second)))
            other = in_another_thread(pool, partial(within, crossed(second, first)))
            results = {one.result(), other.result()}

        assert results == {"ended", "fine"}
        assert len(log) == 2

    @only_on("mysql")
    @autocommit
    def test_repeats_a_transaction_after_a_lock_timeout(self):
        row = make_row()
        held, gone = Event(), Event()

        def hold():
            with transaction.atomic():
                move(row, "honor")
                held.set()
                gone.wait(300)

        attempts = []

        def attempt(_lock):
            attempts.append(bool(_retries.get()))
            if _retries.get():
                gone.set()
            with transaction.atomic():
                move(row, "verified")

        with ThreadPoolExecutor(1) as pool:
            holder = in_another_thread(pool, hold)
            held.wait(300)
            with connection.cursor() as cursor:
                cursor.execute("SET innodb_lock_wait_timeout = 1")
            retry_on_conflict(attempt, using=USING)
            holder.result()
        connection.close()

        assert attempts == [False, True]
        assert CourseEnrollment.objects.get().mode == "verified"

    @only_on("postgresql")
    @autocommit
    def test_repeats_at_read_committed_after_an_old_snapshot(self):
        row = make_row()
        levels = []

        def attempt(_lock):
            with write_transaction(USING), connection.cursor() as cursor:
                cursor.execute("SHOW transaction_isolation")
                levels.append(cursor.fetchone()[0])
                row.refresh_from_db()
                if not _retries.get():
                    with ThreadPoolExecutor(1) as pool:
                        in_another_thread(pool, partial(move, row, "honor")).result()
                move(row, "verified")

        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_isolation = 'repeatable read'")
        retry_on_conflict(attempt, using=USING)
        connection.close()

        assert levels == ["repeatable read", "read committed"]
        assert CourseEnrollment.objects.get().mode == "verified"


def make_row(name="ada"):
    course = make_course(f"course-v1:edX+{name}+R")
    return CourseEnrollment.objects.create(user=make_user(name), course=course)


def make_crossing():
    """Make two rows and what changes both, so that two in opposite order lock up."""
    barrier = Barrier(2)
    log = []

    def crossed(first, second):
        def attempt(_lock):
            log.append(first.pk)
            with transaction.atomic():
                move(first, "verified")
                if log.count(first.pk) == 1:
                    barrier.wait(300)
                move(second, "verified")

        return attempt

    return make_row("ada"), make_row("bob"), log, crossed


def deadlock():
    """Make the error that the database raises at a deadlock."""
    error = OperationalError(1213, "Deadlock found when trying to get lock")
    if connection.vendor == "postgresql":
        from psycopg.errors import DeadlockDetected

        error.__cause__ = DeadlockDetected("deadlock detected")
    return error


class TestWriteTransaction:
    @only_on("sqlite")
    @autocommit
    def test_is_the_only_writer_before_it_reads(self):
        course, user = make_course(), make_user()
        call = partial(api.add_enrollment, user.get_username(), course_id_of(course))

        with write_transaction(USING):
            (during,) = at_once([partial(without_waiting, call)])
            unseen = CourseEnrollment.objects.count()
        (after,) = at_once([partial(without_waiting, call)])

        assert (during.error, during.text) == (OperationalError, "database is locked")
        assert unseen == 0
        assert after.error is None

    @only_on("sqlite")
    @autocommit
    def test_leaves_the_lock_to_its_first_statement_where_that_writes(self):
        course, user = make_course(), make_user()
        call = partial(api.add_enrollment, user.get_username(), course_id_of(course))

        with write_transaction(USING, reads_first=False):
            (during,) = at_once([partial(without_waiting, call)])

        assert during.error is None

    @only_on("postgresql", "mysql")
    @autocommit
    def test_sends_nothing_of_its_own_but_begin_and_commit(self):
        with CaptureQueriesContext(connection) as captured, write_transaction(USING):
            pass

        sent = {query["sql"].split()[0] for query in captured.captured_queries}
        assert sent <= {"BEGIN", "COMMIT"}

    @only_on("postgresql")
    @pytest.mark.django_db
    def test_leaves_the_level_of_a_callers_transaction_alone(self):
        def attempt(lock):
            with write_transaction(USING):
                if not lock:
                    raise Conflict

        with CaptureQueriesContext(connection) as captured:
            retry_on_conflict(attempt, using=USING)

        assert not [one for one in captured.captured_queries if "LEVEL" in one["sql"]]


class TestLazyTransaction:
    @autocommit
    def test_begins_with_the_first_write_and_ends_with_the_block(self):
        row = make_row()

        with lazy_transaction(USING):
            before = connection.in_atomic_block
            with write_transaction(USING):
                move(row, "honor")
            between = connection.in_atomic_block

        assert (before, between, connection.in_atomic_block) == (False, True, False)
        assert CourseEnrollment.objects.get().mode == "honor"

    @autocommit
    def test_undoes_all_writes_when_something_is_raised(self):
        ada, bob = make_row("ada"), make_row("bob")

        def change():
            with lazy_transaction(USING):
                with write_transaction(USING):
                    move(ada, "honor")
                with lazy_transaction(USING), write_transaction(USING):
                    move(bob, "honor")
                raise Conflict

        with pytest.raises(Conflict):
            change()

        assert not CourseEnrollment.objects.filter(mode="honor").exists()
        assert not connection.in_atomic_block

    @autocommit
    def test_undoes_the_writes_of_a_part_that_its_block_leaves_out(self):
        ada, bob = make_row("ada"), make_row("bob")

        def change(row):
            with lazy_transaction(USING), write_transaction(USING):
                move(row, "honor")
                raise Conflict

        with lazy_transaction(USING):
            with pytest.raises(Conflict):
                change(ada)
            with write_transaction(USING):
                move(bob, "honor")

        assert CourseEnrollment.objects.get(mode="honor") == bob

    @autocommit
    def test_sends_no_statement_where_nothing_is_written(
        self, django_assert_num_queries
    ):
        with django_assert_num_queries(0), lazy_transaction(USING):
            pass

    @autocommit
    def test_is_repeated_as_a_whole(self):
        row = make_row()
        part = conflicting_attempt(2)

        def attempt(_lock):
            with lazy_transaction(USING):
                with write_transaction(USING):
                    move(row, f"mode{len(part.locks)}")
                retry_on_conflict(part, using=USING)

        retry_on_conflict(attempt, using=USING)

        assert part.locks == [False] * 3
        assert CourseEnrollment.objects.get().mode == "mode2"


class TestLockEnrollment:
    @only_on("postgresql", "mysql")
    @autocommit
    def test_keeps_one_enrollment_from_others_until_commit(self):
        rows = [make_row("ada"), make_row("bob")]
        ask = [partial(is_enrollment_locked, row.pk) for row in rows]

        with write_transaction(USING):
            lock_enrollment(rows[0], using=USING)
            during = at_once(ask)
        after = at_once(ask)

        assert [answer.value for answer in during] == [True, False]
        assert [answer.value for answer in after] == [False, False]


NO_SPACE = partial(pytest.raises, DatabaseError, match="No space")
ATTRIBUTES = [{"namespace": "order", "name": "number", "value": "7"}]

#: The beginning of every statement that writes when an invited learner enrolls.
WRITES = (
    'INSERT INTO "django_enrollments_courseenrollment"',
    'INSERT INTO "django_enrollments_courseenrollmentattribute"',
    'UPDATE "django_enrollments_courseenrollmentallowed"',
    'INSERT INTO "django_enrollments_enrollmentevent"',
)


def add(course, **options):
    return api.add_enrollment(username("ada"), course_id_of(course), **options)


def change(course, *args, **options):
    return api.update_enrollment(
        username("ada"), course_id_of(course), *args, **options
    )


class TestAllOrNothing:
    @pytest.fixture(autouse=True)
    def ada(self):
        return make_user("ada")

    @pytest.fixture
    def course(self):
        """Make a course with seats, modes, and an invitation for Ada."""
        course = make_course(
            max_student_enrollments_allowed=5, modes=["audit", "verified"]
        )
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id_of(course)
        )
        return course

    @pytest.fixture
    def nothing_happens(self, course):
        """Return a block that writes nothing and sends no signal."""

        @contextmanager
        def block(*managers):
            with listening() as heard, nothing_written(), ExitStack() as stack:
                for manager in managers:
                    stack.enter_context(manager)
                yield
            assert heard == []

        return block

    @pytest.mark.rule("B-07")
    @pytest.mark.parametrize("beginning", WRITES)
    @pytest.mark.parametrize(
        "by_service",
        [
            pytest.param(True, marks=pytest.mark.django_db(transaction=True)),
            pytest.param(False, marks=pytest.mark.django_db),
        ],
    )
    def test_a_failing_write_undoes_the_others(
        self, nothing_happens, ada, course, beginning, by_service
    ):
        with nothing_happens(NO_SPACE(), failing_on(beginning)):
            if by_service:
                EnrollmentsService().enroll(ada, course, attributes=ATTRIBUTES)
            else:
                add(course, enrollment_attributes=ATTRIBUTES)

    @pytest.mark.rule("B-07")
    @autocommit
    def test_a_failing_attribute_undoes_the_mode(self, nothing_happens, course):
        add(course)

        with nothing_happens(NO_SPACE(), failing_on(WRITES[1])):
            change(course, "verified", enrollment_attributes=ATTRIBUTES)

    @autocommit
    def test_a_failing_write_undoes_the_batch(self, nothing_happens, course):
        names = [user.get_username() for user in make_users(3)]

        with nothing_happens(failing_on(WRITES[3])):
            results = api.bulk_enroll(course_id_of(course), names)

        assert {result["status"] for result in results} == {"error"}

    @autocommit
    def test_a_rollback_by_the_caller_undoes_all(self, nothing_happens, course):
        with nothing_happens(transaction.atomic()):
            add(course, enrollment_attributes=ATTRIBUTES)
            change(course, "verified")
            transaction.set_rollback(True)

    @autocommit
    def test_a_refusal_leaves_the_rest_to_the_callers_commit(self, course):
        full = make_course("course-v1:edX+Full+R", max_student_enrollments_allowed=0)

        with listening() as heard, transaction.atomic():
            with pytest.raises(CourseEnrollmentError):
                add(full)
            add(course)
            early = list(heard)

        assert early == []
        assert [name for name, _ in heard] == ["created"]
        assert CourseEnrollment.objects.get().course_id == course.pk
