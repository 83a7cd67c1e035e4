"""Writers and workers that are killed at random, on all databases at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.db import connection

from tests.databases import SERVERS
from tests.factories import is_default_host
from tools.run_tests import find_fault

#: For how long; 1200 for a long run.
SECONDS = float(os.environ.get("ENROLLMENTS_TEST_KILL_SECONDS") or 60)

#: On all databases together, so that a small machine gets to deliver in between.
KILLS_PER_SECOND = 10

LEVELS = {
    "sqlite": [""],
    "postgres": ["", "repeatable read"],
    "mariadb": ["", "repeatable read"],
}


@pytest.mark.slow
def test_nothing_is_lost_doubled_or_out_of_order_when_processes_are_killed():
    if connection.vendor != "sqlite" or not is_default_host():
        pytest.skip("The run on SQLite does it for all databases.")
    started = {
        (name, level): subprocess.Popen(  # noqa: S603 - It is as written here.
            [
                *(sys.executable, "-m", "tests.delivery.killing", name, level),
                *("--seconds", str(SECONDS)),
                *("--kills", str(KILLS_PER_SECOND / 5)),
            ],
            env=os.environ
            | {
                "ENROLLMENTS_TEST_DATABASE": name,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, levels in LEVELS.items()
        # A server that is named must respond.
        if name not in SERVERS or SERVERS[name][0] in os.environ or not find_fault(name)
        for level in levels
    }
    outputs = {key: process.communicate() for key, process in started.items()}

    for key, process in started.items():
        assert process.returncode == 0, (key, outputs[key][1])
        figures = json.loads(outputs[key][0].splitlines()[-1])
        print(figures)  # noqa: T201 - shown with -s.
        assert figures["killed"] > SECONDS / 4
        assert figures["events"] > SECONDS / 4
        # On a busy machine, few live long enough.
        assert sum(
            number for name, number in figures.items() if name.startswith("calls of")
        )
