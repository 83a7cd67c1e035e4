"""Caches that several processes share, and requests that fill them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import django
from django.apps import apps

if not apps.ready:
    # In another process, before anything that needs the models.
    django.setup()

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BACKENDS = "django.core.cache.backends"

NAMED_REDIS = os.environ.get("ENROLLMENTS_TEST_REDIS_URL")
#: Database 15 is rarely used.
REDIS_URL = NAMED_REDIS or "redis://127.0.0.1:6379/15"


@contextmanager
def shared_cache(kind: str, directory: Path) -> Iterator[dict[str, Any]]:
    """
    Return the configuration of an empty cache that processes share.

    Args:
        kind: ``file``, ``database`` or ``redis``; a test is skipped where no Redis
            answers, unless one is named.
        directory: An empty directory.
    """
    if kind == "file":
        yield {"BACKEND": f"{BACKENDS}.filebased.FileBasedCache", "LOCATION": directory}
    elif kind == "redis":
        _need_redis()
        # A prefix of its own, since the cache is not cleared.
        prefix = uuid4().hex
        yield {
            "BACKEND": f"{BACKENDS}.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": prefix,
        }
    else:
        table = "tests_shared_cache"
        configuration = {"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": table}
        with override_settings(CACHES={"default": configuration}):
            call_command("createcachetable", verbosity=0)
        try:
            yield configuration
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {table}")


def _need_redis():
    redis = pytest.importorskip("redis", reason="The package redis is not installed.")
    try:
        with redis.Redis.from_url(REDIS_URL, socket_connect_timeout=10) as server:
            server.ping()
    except redis.RedisError as error:
        if NAMED_REDIS:
            raise
        pytest.skip(f"No Redis answers at {REDIS_URL}: {error}")


def request_often(caches: Mapping[str, Any], path: str, times: int) -> list[int]:
    """
    Request a page several times; return the status of each response.

    Args:
        caches: The setting ``CACHES``.
        path: The page.
        times: How often it is requested.
    """
    # Other processes do not have the hosts that the test runner allows.
    with override_settings(CACHES=caches, ALLOWED_HOSTS=["testserver"]):
        client = Client()
        return [client.get(path).status_code for _ in range(times)]
