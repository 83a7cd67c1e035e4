from __future__ import annotations

from typing import Any, NoReturn

from django.core.cache.backends.locmem import LocMemCache


class ReadsFail(LocMemCache):
    """Of a cache server that takes everything and gives nothing back."""

    def get(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("The cache does not answer.")


class WritesFail(LocMemCache):
    """Of a cache server whose disk is full."""

    def set(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("The cache is full.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionError("The cache is read-only.")
