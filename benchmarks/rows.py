"""The rows of the table: what is measured, and what it must reach."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
)
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import RequestFactory

from benchmarks import floor
from benchmarks.dataset import LIST_LENGTHS
from benchmarks.measuring import Goal, Work, limits
from django_enrollments import api
from django_enrollments.models import CourseEnrollment
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.dataset import DataSet

_LIST_GOALS = {
    1: Goal(2, ms=limits(3, 8)),
    10: Goal(2, ms=limits(3, 8)),
    100: Goal(2, ratio=limits(3.5, 4.5)),
    500: Goal(2, ratio=limits(3, 4)),
}
#: The session's user is one more statement in each view.
_HTTP_GOAL = Goal(3, ratio=limits(3.5, 3.5))
_ADMIN_GOAL = Goal(3, ratio=limits(2.5, 2.5))


def make_rows(data: DataSet) -> Iterator[Work]:
    """
    Yield all rows but the race for seats.

    Args:
        data: The data in the database.
    """
    yield from _lists(data)
    yield from _lists_over_http(data)
    yield from _changes(data)
    yield from _explanations(data)
    yield from _admin_lists(data)
    yield _retirement(data)
    yield from _examinees(data)
    yield _bulk(data)


def _lists(data: DataSet) -> Iterator[Work]:
    for length in LIST_LENGTHS:
        username = data.lister(length)
        yield Work(
            f"`get_enrollments`, {length}",
            partial(api.get_enrollments, username),
            partial(floor.list_enrollments, username),
            _LIST_GOALS[length],
        )


def _lists_over_http(data: DataSet) -> Iterator[Work]:
    for length in LIST_LENGTHS:
        ask = _Browser(data.lister(length)).get
        yield Work(
            f"`GET enrollment`, {length}",
            partial(ask, "/api/enrollment/v1/enrollment"),
            partial(ask, "/floor/enrollment"),
            _HTTP_GOAL,
            same=orjson.loads,
        )


def _changes(data: DataSet) -> Iterator[Work]:
    """Make changes of one learner in a course, each taken back afterwards."""
    name = data.newcomer
    learner = get_user_model().objects.get(username=name).pk
    open_course, seated_course = data.course_id(7), data.seated_course
    goal = Goal(7, ratio=limits(6, 10))
    for told, course_id, statements in (
        ("new", open_course, 7),
        ("new, seats counted", seated_course, 9),
    ):
        yield Work(
            f"`add_enrollment`, {told}",
            partial(api.add_enrollment, name, course_id),
            partial(floor.enroll, name, course_id, "audit"),
            Goal(statements, ratio=goal.ratio),
            undo=partial(_take_out, learner, course_id),
            same=_without_moments,
        )
    course_id = data.course_id(0)
    key = CourseEnrollment.objects.get(user=learner, course=course_id).pk
    put_back = partial(_put_back, key, "audit", True)
    leave = partial(_put_back, key, "audit", False)
    leave()
    yield Work(
        "`add_enrollment`, reactivated",
        partial(api.add_enrollment, name, course_id),
        partial(floor.enroll, name, course_id, "audit"),
        goal,
        undo=leave,
    )
    put_back()
    yield Work(
        "mode change",
        partial(api.update_enrollment, name, course_id, mode="honor"),
        partial(floor.change_mode, name, course_id, "honor"),
        Goal(5, ratio=limits(6, 8)),
        undo=put_back,
    )


def _explanations(data: DataSet) -> Iterator[Work]:
    learner = get_user_model().objects.get(username=data.newcomer).pk
    for count, goal in (
        (1, Goal(6, ms=limits(3, 8))),
        (50, Goal(6, ratio=limits(6, 4))),
    ):
        course_ids = [data.course_id(number) for number in range(1, count + 1)]
        yield Work(
            f"`explain_many`, {count}",
            partial(EnrollmentsService().explain_many, learner, course_ids),
            partial(floor.explain_many, learner, course_ids),
            goal,
        )


def _admin_lists(data: DataSet) -> Iterator[Work]:
    browser = _Browser(data.staff)
    deep = data.size * 3 // 4
    page = deep // 100
    place = CourseEnrollment.objects.order_by("-created", "-pk")[deep - 1]
    names = ",".join(data.username(number * 7) for number in range(100))
    for told, query in (
        ("first page", {}),
        (f"page {page:,}", {"cursor": place}),
        (f"by course of {data.in_large_course:,}", {"course_id": data.large_course}),
        ("by 100 usernames", {"username": names}),
    ):
        yield Work(
            f"admin list, {told}",
            partial(browser.get, "/api/enrollment/v1/enrollments/", _ours(query)),
            partial(browser.get, "/floor/enrollments", _floors(query)),
            _ADMIN_GOAL,
            same=lambda body: orjson.loads(body)["results"],
        )


def _ours(query: dict[str, Any]) -> dict[str, str]:
    from django_enrollments.paginators import Position

    if "cursor" in query:
        place = query["cursor"]
        return {"cursor": Position(place.created, place.pk).encode()}
    return query


def _floors(query: dict[str, Any]) -> dict[str, str]:
    from benchmarks.floor_views import encode_place

    if "cursor" in query:
        place = query["cursor"]
        return {"cursor": encode_place(place.created, place.pk)}
    return query


def _retirement(data: DataSet) -> Work:
    name = data.lister(100)
    learner = get_user_model().objects.get(username=name).pk
    return Work(
        "unenroll from 100 courses",
        partial(api.unenroll_user_from_all_courses, name),
        partial(floor.leave_all, name),
        Goal(5, ms=limits(25, 25)),
        undo=partial(_put_all_back, learner),
    )


def _examinees(data: DataSet) -> Iterator[Work]:
    for told, text, goal in (
        ("with a search", "learner12", Goal(2, ratio=limits(1.5, 1.5), plus_ms=2)),
        (f"all {data.in_exam_course:,}", None, Goal(2, ratio=limits(5.5, 3))),
    ):
        yield Work(
            f"proctored list, {told}",
            partial(_list_examinees, data.exam_course, text),
            partial(floor.list_examinees, data.exam_course, text),
            goal,
            same=lambda rows: [
                (
                    (row["id"], row["mode"], row["username"], row["email"])
                    if isinstance(row, dict)
                    else (row.pk, row.mode, row.user.username, row.user.email)
                )
                for row in rows
            ],
        )


def _list_examinees(course_id: str, text: str | None) -> list[CourseEnrollment]:
    service = EnrollmentsService()
    found = service.get_enrollments_can_take_proctored_exams(course_id, text)
    return list(found or ())


def _bulk(data: DataSet) -> Work:
    course_id = data.course_id(11)
    inside = CourseEnrollment.objects.in_course(course_id).values("user")
    users = get_user_model().objects.filter(username__startswith="learner")
    users = users.exclude(pk__in=inside).order_by("pk")[:2000]
    keys, names = zip(*users.values_list("pk", "username"), strict=True)
    return Work(
        "`bulk_enroll` of 2,000",
        partial(api.bulk_enroll, course_id, names),
        partial(floor.enroll_many, course_id, names, "audit"),
        Goal(40, ratio=limits(6, 6)),
        undo=partial(_take_out_all, keys, course_id),
        same=lambda result: result if isinstance(result, int) else len(result),
    )


class _Browser:
    """Somebody who is logged in and asks a server in this very process."""

    def __init__(self, username: str) -> None:
        user = get_user_model().objects.get(username=username)
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        cookies = {
            settings.SESSION_COOKIE_NAME: session.session_key,
            # As a browser sends it back.
            settings.CSRF_COOKIE_NAME: "c" * 32,
        }
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self._requests = RequestFactory(HTTP_COOKIE=cookie)
        self._serve = WSGIHandler()

    def get(self, path: str, query: dict[str, str] | None = None) -> bytes:
        """
        Ask for a page by what servers call, and give its body.

        Args:
            path: Path of the URL.
            query: Query of the URL.

        Raises:
            AssertionError: The answer is not 200.
        """
        environment = self._requests._base_environ(
            PATH_INFO=path, QUERY_STRING=urlencode(query or {}), REQUEST_METHOD="GET"
        )
        response = self._serve(environment, lambda status, headers: None)
        if response.status_code != 200:
            raise AssertionError(f"{path}: {response.status_code}")
        body = b"".join(response)
        response.close()
        return body


def _without_moments(enrollment: dict[str, Any]) -> dict[str, Any]:
    return {**enrollment, "created": None}


def _execute(statement: str, values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _take_out(learner: int, course_id: str) -> None:
    _take_out_all([learner], course_id)


def _take_out_all(learners: Any, course_id: str) -> None:
    """Delete new enrollments with their history."""
    marks = ", ".join(["%s"] * len(learners))
    for table in (floor.EVENT, floor.ENROLLMENT):
        _execute(
            f"DELETE FROM {table} WHERE user_id IN ({marks}) AND course_id = %s",
            [*learners, course_id],
        )


def _put_back(key: int, mode: str, is_active: bool) -> None:
    """Bring an enrollment back to what it was, its history to the one event it had."""
    _execute(
        f"UPDATE {floor.ENROLLMENT} SET mode = %s, is_active = %s WHERE id = %s",
        [mode, is_active, key],
    )
    _execute(
        f"DELETE FROM {floor.EVENT} WHERE enrollment_id = %s AND type <> 'created'",
        [key],
    )


def _put_all_back(learner: int) -> None:
    _execute(
        f"UPDATE {floor.ENROLLMENT} SET is_active = %s WHERE user_id = %s",
        [True, learner],
    )
    _execute(
        f"DELETE FROM {floor.EVENT} WHERE user_id = %s AND type <> 'created'",
        [learner],
    )
