"""Functions that the tests of the kit share."""

from __future__ import annotations

import re
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, router
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from rest_framework.test import APIClient

from django_enrollments.course_model import get_course_adapter, get_course_model
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from django_enrollments.testing.factories import make_course, make_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import Model

#: Longest wait for another thread, in seconds.
PATIENCE_SECONDS = 60
#: Courses with more seats are not filled.
MOST_SEATS = 30

_CONTROL = re.compile(r"BEGIN|SAVEPOINT|RELEASE|COMMIT|ROLLBACK|UPDATE .* = 0$")
_LITERAL = re.compile(r"'[^']*'|\b[0-9a-f]{32}\b|\b\d+\b")


def expect(condition: object, message: str) -> None:
    """Fail with a message, without a traceback, unless the condition is true."""
    if not condition:
        pytest.fail(message, pytrace=False)


def has_path(name: str) -> bool:
    """Return whether the course adapter maps a name to a field."""
    return name in get_course_adapter().paths()


def course_with_seats(seats: int) -> tuple[Any, int]:
    """Return a new course with a few seats, and their number."""
    name = "max_student_enrollments_allowed"
    source = get_course_adapter().sources()[name]
    if source is None:
        pytest.skip(f"The course adapter maps {name} to None: no course has a limit.")
    if isinstance(source, str):
        return make_course(max_student_enrollments_allowed=seats), seats
    course = make_course()
    capacity = get_course_adapter().facts(course).max_student_enrollments_allowed
    if capacity is None or capacity > MOST_SEATS:
        pytest.skip(
            f"{name} of the course adapter is a method, and a new course has "
            f"{capacity} seats. Set its fields in factories.FIELD_VALUES so that it "
            f"has at most {MOST_SEATS}."
        )
    return course, capacity


def make_staff() -> Any:
    """Return a new user with ``is_staff``, or skip the test."""
    names = {field.name for field in get_user_model()._meta.concrete_fields}
    if "is_staff" not in names:
        pytest.skip("The user model has no field is_staff.")
    return make_user(is_staff=True)


def url_of(name: str, **arguments: Any) -> str:
    """Return a URL of the REST API, or skip the test if it is not mounted."""
    try:
        return reverse(f"django_enrollments:{name}", kwargs=arguments)
    except NoReverseMatch:
        pytest.skip("The REST API is not mounted: no URL includes its URLconf.")


def client_of(user: Any = None) -> APIClient:
    """Return a client that is authenticated as a user, whatever the classes are."""
    client = APIClient()
    if user is not None:
        if apps.is_installed("django.contrib.sessions"):
            client.force_login(user)
        client.force_authenticate(user)
    return client


def events_of(user: Any) -> list[EnrollmentEvent]:
    """Return the history of a user, in order."""
    return list(EnrollmentEvent.objects.filter(user_id=user.pk).order_by("pk"))


def expect_history_folds(user: Any) -> None:
    """Fail unless the history of a user results in the user's enrollments."""
    states: dict[Any, tuple[str | None, bool | None]] = {}
    for event in events_of(user):
        before = states.get(event.enrollment_id, (None, None))
        expect(
            (event.mode_before, event.active_before) == before,
            f"An event begins with {event.mode_before!r}, "
            f"active: {event.active_before}, but the event before it ended with "
            f"{before[0]!r}, active: {before[1]}.",
        )
        states[event.enrollment_id] = (event.mode_after, event.active_after)
    rows = CourseEnrollment.objects.filter(user=user.pk)
    found = {row.pk: (row.mode, row.is_active) for row in rows}
    expect(
        states == found,
        f"The history results in {states}, but the rows are {found}: code of this "
        "project changes enrollments without the service.",
    )


@contextmanager
def statements() -> Iterator[list[str]]:
    """Record the SQL statements on all databases, without transaction control."""
    found: list[str] = []
    with ExitStack() as stack:
        captures = [
            stack.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in connections
        ]
        yield found
    found += [
        query["sql"]
        for capture in captures
        for query in capture.captured_queries
        if not _CONTROL.match(query["sql"])
    ]


def expect_constant(
    what: str, prepare: Callable[[int], None], call: Callable[[], Any]
) -> None:
    """
    Fail unless a call makes as many statements for 12 rows as for 3.

    Args:
        what: The call, as the subject of a sentence.
        prepare: Adds so many rows.
        call: Reads or changes the rows.
    """
    taken = []
    for added in (3, 9):
        prepare(added)
        with statements() as found:
            call()
        taken.append(found)
    few, many = taken
    if len(many) <= len(few):
        return
    forms = [Counter(_LITERAL.sub("?", sql) for sql in found) for found in taken]
    form, _ = (forms[1] - forms[0]).most_common(1)[0]
    pytest.fail(
        f"{what} makes {len(few)} SQL statements for 3 rows and {len(many)} for 12. "
        f"This statement is repeated:\n{form[:500]}",
        pytrace=False,
    )


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """
    Make each call in a thread with its own connection, all at the same time.

    Returns:
        The results in order; an exception for a call that raised one.
    """
    barrier = threading.Barrier(len(calls))

    def take_part(call: Callable[[], Any]) -> Any:
        try:
            with connections[router.db_for_write(CourseEnrollment)].cursor():
                pass  # It is connected.
            barrier.wait(PATIENCE_SECONDS)
            return call()
        except Exception as error:  # noqa: BLE001 - The test examines it.
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        parts = [partial(take_part, call) for call in calls]
        return list(pool.map(_and_disconnect, parts))


def commits(test: Callable[..., None]) -> Callable[..., None]:
    """
    Let a test commit rows, of which none remains afterwards.

    The test runs in a thread, with a connection outside the transaction of the fixture
    ``db``. On SQLite, it works on a copy of the test database in a temporary file,
    because threads cannot write to a database in memory at the same time. On a server,
    the rows are deleted.
    """

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        alias = router.db_for_write(CourseEnrollment)
        is_file = connections[alias].vendor == "sqlite"
        with (_copied if is_file else _removed)(alias):
            test(*args, **kwargs)

    @wraps(test)
    def run_in_thread(*args: Any, **kwargs: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_and_disconnect, partial(run, *args, **kwargs)).result()

    return run_in_thread


def _and_disconnect(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connections.close_all()


@contextmanager
def _copied(alias: str) -> Iterator[None]:
    connection: Any = connections[alias]
    database = settings.DATABASES[alias]
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        path = str(Path(folder) / "copy.sqlite3")
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [path])
        # Django's close() leaves connections to a database in memory open.
        connection.connection.close()
        del connections[alias]
        # Connections that are opened from here on open the copy.
        name, database["NAME"] = database["NAME"], path
        try:
            yield
        finally:
            connections[alias].close()
            database["NAME"] = name


@contextmanager
def _removed(alias: str) -> Iterator[None]:
    saved: list[Model] = []

    def remember(instance: Model, created: bool, using: str, **kwargs: Any) -> None:
        if created and using == alias:
            saved.append(instance)

    before = _count_rows(alias)
    post_save.connect(remember, weak=False)
    try:
        yield
    finally:
        post_save.disconnect(remember)
        users = [one.pk for one in saved if isinstance(one, get_user_model())]
        _delete_events(users, alias)
        rows = CourseEnrollment._base_manager.using(alias)
        rows.filter(user__in=users).delete()
        for instance in reversed(saved):
            manager = type(instance)._base_manager.using(alias)
            manager.filter(pk=instance.pk).delete()
    after = _count_rows(alias)
    left = {label for label in after if after[label] > before[label]}
    expect(not left, f"The kit could not delete rows that were made of: {left}.")


def _delete_events(users: Sequence[Any], alias: str) -> None:
    """Delete the history of users, which the ORM refuses."""
    connection = connections[alias]
    field: Any = EnrollmentEvent._meta.get_field("user")
    table, column = EnrollmentEvent._meta.db_table, field.column
    sql = f"DELETE FROM {table} WHERE {column} = %s"  # noqa: S608 - Only names.
    with connection.cursor() as cursor:
        for key in users:
            cursor.execute(sql, [field.get_db_prep_value(key, connection)])


def _count_rows(alias: str) -> dict[str, int]:
    return {
        model._meta.label: model._base_manager.using(alias).count()
        for model in apps.get_models()
        if model._meta.managed
        and not model._meta.proxy
        and router.allow_migrate_model(alias, model)
    }


def course_model_name() -> str:
    """Return the label of the course model."""
    return str(get_course_model()._meta.label)


def adapter_name() -> str:
    """Return the name of the class of the course adapter."""
    return type(get_course_adapter()).__name__
