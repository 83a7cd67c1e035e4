"""The example project, on the database that is measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "example_project"))

from config.settings import *  # noqa: F403 - the settings of a host.

from tests.databases import database

DATABASES = {
    "default": {
        **database(os.environ["ENROLLMENTS_BENCHMARK_DATABASE"]),
        "CONN_MAX_AGE": None,
    },
}
ALLOWED_HOSTS = ["testserver"]
# As on a server: templates are compiled once. The session is stored in the database.
DEBUG = False
