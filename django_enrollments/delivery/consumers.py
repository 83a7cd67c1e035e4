"""The consumers that the setting ``ENROLLMENTS_CONSUMERS`` declares."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Declared:
    """
    A consumer as the setting declares it, with its backend.

    Attributes:
        token: Tells the worker that has loaded it from others, for its lease.
    """

    name: str
    token: str
    backend: Backend
    types: Collection[str] | None
    filter: Callable[[Message], object] | None
    personal: bool
    concurrency: int

    def wants(self, message: Message) -> bool:
        """
        Return whether a message is delivered, by its type and the filter (D-15).

        Raises:
            Exception: The filter raised it.
        """
        if self.types is not None and message.event.type not in self.types:
            return False
        return self.filter is None or bool(self.filter(message))


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


def load_consumer(name: str) -> Declared:
    """
    Return a consumer with a new instance of its backend.

    Raises:
        ValueError: There is no such consumer.
        CollaboratorNotLoaded: The backend or the filter cannot be imported.
        TypeError: The backend does not take the options, or is asynchronous.
        AttributeError: The backend has no ``deliver()``.
    """
    given = declaration(name)
    personal = given.get("PERSONAL", False)
    backend = load(_SETTING, given["BACKEND"])
    chosen = given.get("FILTER")
    if isinstance(chosen, str):
        chosen = load(_SETTING, chosen)
    instance = backend(consumer=name, personal=personal, **(given.get("OPTIONS") or {}))
    if iscoroutinefunction(instance.deliver) or iscoroutinefunction(chosen):
        raise TypeError("deliver() and FILTER must not be asynchronous.")
    return Declared(
        name=name,
        token=uuid4().hex,
        backend=instance,
        types=given.get("TYPES"),
        filter=chosen,
        personal=personal,
        concurrency=given.get("CONCURRENCY", 1),
    )


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
