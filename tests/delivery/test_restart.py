"""A worker goes on after its database server was restarted."""

from __future__ import annotations

import time
from functools import partial

import pytest
from django.core.management import call_command
from django.db import connection

from tests.delivery.calls import deliver_to_file, follow, lines
from tests.delivery.consumers import enroll
from tests.factories import make_course
from tests.processes.concurrent import PATIENCE_SECONDS
from tests.processes.controlled import Controlled
from tests.processes.servers import SERVERS, find_program, serving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def prepare_database(path: str) -> None:
    call_command("migrate", verbosity=0)
    deliver_to_file(path)


def enroll_some(prefix: str) -> None:
    enroll(3, prefix, course=make_course(prefix))


def test_follow_goes_on_after_crashes_and_restarts(tmp_path):
    if connection.vendor not in SERVERS:
        pytest.skip("SQLite has no server.")
    kind = SERVERS[connection.vendor]
    missing = [name for name in kind.programs if find_program(name) is None]
    if missing:
        pytest.skip(f"There is no {' and no '.join(missing)} here.")
    path = tmp_path / "record"
    path.touch()

    def wait_for(number: int) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while len({position for _, position, _ in lines(str(path))}) < number:
            assert time.monotonic() < give_up, lines(str(path))
            time.sleep(0.05)

    with serving(kind) as server:
        start = partial(Controlled, database=server.settings())
        start(partial(prepare_database, str(path))).answer().unwrap()
        worker = start(partial(follow, str(path)))
        try:
            for number, how in enumerate((kind.crash, kind.stop, None), start=1):
                start(partial(enroll_some, f"round{number}x")).answer().unwrap()
                wait_for(3 * number)
                if how:
                    server.end(how)
                    time.sleep(1)
                    server.start()
        finally:
            worker.kill()

    positions = [*dict.fromkeys(position for _, position, _ in lines(str(path)))]
    assert positions == [str(number) for number in range(1, 10)]
