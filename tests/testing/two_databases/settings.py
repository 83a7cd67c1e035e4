from __future__ import annotations

from tests.numbered.settings import *  # noqa: F403 - Differs only in what follows.
from tests.numbered.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS[:-1], "tests.testing.two_databases"]
AUTH_USER_MODEL = "two_databases.Person"
MIGRATION_MODULES = {"two_databases": None}
DATABASES = {alias: DATABASES["default"].copy() for alias in ("default", "school")}
DATABASE_ROUTERS = ["tests.testing.two_databases.routers.SchoolRouter"]
