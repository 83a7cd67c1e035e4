"""The consumers that the setting ``ENROLLMENTS_CONSUMERS`` declares."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django_enrollments.conf import conf
from django_enrollments.core.transactions import write_alias
from django_enrollments.delivery.sequencer import last_position, sequence_all
from django_enrollments.importing import load
from django_enrollments.models import Consumer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from django_enrollments.delivery.messages import Backend, Message

_SETTING = "ENROLLMENTS_CONSUMERS"


def declaration(name: str) -> Mapping[str, Any]:
    """
    Return the dictionary of a consumer in the setting.

    Raises:
        ValueError: There is no such consumer.
    """
    found = conf.ENROLLMENTS_CONSUMERS.get(name)
    if found is None:
        raise ValueError(f"{_SETTING} has no consumer {name!r}.")
    return found


class Declared:
    """
    A consumer as the setting declares it, with a new instance of its backend.

    Attributes:
        token: Tells the worker that has loaded it from others, for its lease.

    Raises:
        ValueError: There is no such consumer.
        SettingLoadError: The backend or the filter cannot be imported.
        TypeError: The backend does not take the options, or is asynchronous.
        AttributeError: The backend has no ``deliver()``.
    """

    def __init__(self, name: str) -> None:
        given = declaration(name)
        self.name, self.token = name, uuid4().hex
        self.types: Collection[str] | None = given.get("TYPES")
        self.filter: Callable[[Message], object] | None = given.get("FILTER")
        if isinstance(self.filter, str):
            self.filter = load(_SETTING, self.filter)
        self.personal: bool = given.get("PERSONAL", False)
        self.concurrency: int = given.get("CONCURRENCY", 1)
        self.backend: Backend = load(_SETTING, given["BACKEND"])(
            consumer=name, personal=self.personal, **(given.get("OPTIONS") or {})
        )
        if any(map(iscoroutinefunction, (self.backend.deliver, self.filter))):
            raise TypeError("deliver() and FILTER must not be asynchronous.")


def registered(name: str) -> Consumer:
    """
    Return the stored progress of a consumer; a new one starts at the end of the feed.

    Raises:
        ValueError: There is no such consumer.
    """
    declaration(name)
    rows = Consumer.objects.using(write_alias())
    row = rows.filter(pk=name).first()
    if row is None:
        sequence_all()
        end = {"position": last_position()}
        row, _ = rows.get_or_create(name=name, defaults=end)
    return row
