"""Backends and settings of consumers for tests."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django_enrollments import api
from tests.factories import course_id_of, make_course, make_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_enrollments.delivery import Message

#: The messages that each consumer has taken, in order.
taken: dict[str, list[Message]] = defaultdict(list)
#: All calls of each consumer: positions.
called: dict[str, list[int]] = defaultdict(list)
#: What a consumer does with a message instead of taking it.
doing: dict[str, Callable[[Message], object]] = {}


class Recorder:
    """Records the messages in this process."""

    def __init__(self, consumer: str, personal: bool, note: str = "") -> None:
        self.consumer, self.personal, self.note = consumer, personal, note

    def deliver(self, message: Message) -> None:
        called[self.consumer].append(message.position)
        if self.consumer in doing:
            doing[self.consumer](message)
        taken[self.consumer].append(message)


def declare(*names: str, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the setting for consumers that record their messages."""
    backend = {"BACKEND": f"{__name__}.Recorder"}
    return dict.fromkeys(names, backend | options)


def positions(name: str) -> list[int]:
    """Return the positions that a consumer has taken, in order."""
    return [message.position for message in taken[name]]


def enroll(count: int = 1, prefix: str = "learner", course: Any = None) -> list[Any]:
    """Enroll new learners in a course; return them. Each writes one event."""
    if course is None:
        course = make_course()
    users = make_users(count, prefix)
    for user in users:
        api.add_enrollment(user.get_username(), course_id_of(course))
    return users


def toggle(user: Any, course: Any, count: int = 1) -> None:
    """Unenroll and enroll a learner in turn. Each writes one event."""
    for number in range(count):
        api.update_enrollment(
            user.get_username(), course_id_of(course), is_active=bool(number % 2)
        )


def failing_for(user: Any, error: Exception) -> Callable[[Message], object]:
    """Return an action that raises an error for one learner's messages."""

    def act(message: Message) -> None:
        if message.event.user_id == user.pk:
            raise error

    return act


def raising(error: Exception) -> Callable[[Message], object]:
    """Return an action that raises an error."""

    def act(message: Message) -> None:
        raise error

    return act


def forget() -> None:
    """Forget everything that was recorded."""
    for each in (taken, called, doing):
        each.clear()


def once(errors: Iterator[Exception | None]) -> Callable[[Message], object]:
    """Return an action that raises the next of some errors, if it is one."""

    def act(message: Message) -> None:
        error = next(errors, None)
        if error is not None:
            raise error

    return act
