"""People and courses for the tests of the pages."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from catalog.models import CourseRun, School
from django_enrollments.models import CourseMode
from django_enrollments.services import EnrollmentsService

_numbers = count(1)


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Hash passwords quickly."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def make_user(username="", **fields):
    name = username or f"person{next(_numbers)}"
    fields.setdefault("email", f"{name}@example.org")
    return User.objects.create_user(name, password="secret", **fields)


def make_run(code="", *, modes=(), **fields):
    """Make a course run; modes are slugs with prices."""
    school, _ = School.objects.get_or_create(code="evening", name="Evening School")
    code = code or f"COURSE-{next(_numbers)}"
    fields.setdefault("title", f"Title of {code}")
    run = CourseRun.objects.create(school=school, code=code, **fields)
    CourseMode.objects.bulk_create(
        CourseMode(
            course=run,
            mode_slug=slug,
            mode_display_name=slug.title(),
            min_price=price,
            currency="eur",
        )
        for slug, price in modes
    )
    return run


def fill(run, number):
    """Enroll new learners."""
    for _ in range(number):
        EnrollmentsService().enroll(make_user(), run, force=True)


def days(number):
    return timezone.localdate() + timedelta(days=number)


def moment(number):
    return timezone.now() + timedelta(days=number)


def count_queries(call):
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


@pytest.fixture
def learner(db):
    return make_user("lena", name="Lena Learner")


@pytest.fixture
def visitor(client, learner):
    """Return a client in which the learner is logged in."""
    client.force_login(learner)
    return client
