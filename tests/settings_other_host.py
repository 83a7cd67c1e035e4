"""A host in which everything that can be swapped is swapped."""

from __future__ import annotations

from tests.settings import *  # noqa: F403 - This host differs only in what follows.
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.other_host"]

AUTH_USER_MODEL = "other_host.Member"
ENROLLMENTS_COURSE_MODEL = "other_host.Seminar"
ENROLLMENTS_COURSE_ADAPTER = "tests.other_host.adapters.SeminarAdapter"
