from __future__ import annotations

from tests.numbered.settings import *  # noqa: F403 - Differs only in what follows.
from tests.numbered.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS[:-1], "tests.testing.inherited"]
AUTH_USER_MODEL = "inherited.Person"
ENROLLMENTS_COURSE_MODEL = "inherited.Run"
ENROLLMENTS_COURSE_ADAPTER = "tests.testing.inherited.models.RunAdapter"
MIGRATION_MODULES = {"inherited": None}
TIME_ZONE = "Europe/Berlin"
USE_TZ = False
