from __future__ import annotations

from typing import Any, NoReturn

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache


class ReadsFail(LocMemCache):
    """A cache that fails to read."""

    def get(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("The cache does not answer.")


class WritesFail(LocMemCache):
    """A cache that fails to write."""

    def set(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("The cache is full.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("The cache is read-only.")


class EverythingFails(BaseCache):
    """A cache that cannot be reached."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def _fail(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("Nobody answers.")

    add = get = set = touch = delete = clear = incr = has_key = _fail
    get_many = set_many = delete_many = _fail
