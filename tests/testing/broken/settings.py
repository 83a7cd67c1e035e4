from __future__ import annotations

from tests.numbered.settings import *  # noqa: F403 - Differs only in what follows.
from tests.numbered.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS[:-1], "tests.testing.broken"]
AUTH_USER_MODEL = "auth.User"
MIGRATION_MODULES = {"broken": None}
RECEIVER = None
