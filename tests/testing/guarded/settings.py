from __future__ import annotations

from tests.numbered.settings import *  # noqa: F403 - Differs only in what follows.
from tests.numbered.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS[:-1], "guardian", "tests.testing.guarded"]
AUTH_USER_MODEL = "auth.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ENROLLMENTS_COURSE_MODEL = "guarded.Seminar"
ENROLLMENTS_PERMISSION_BACKENDS = [
    "django_enrollments.backends.permissions.DjangoAuthBackend",
    "django_enrollments.backends.permissions.CourseRoleBackend",
]
MIGRATION_MODULES = {"guarded": None}
