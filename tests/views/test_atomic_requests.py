"""A host with ``ATOMIC_REQUESTS``: the views of the app open their own transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.db import connection
from django.urls import reverse

from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
)
from tests.factories import make_course, make_mode, make_user
from tests.http import ROOT, client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

COURSE_ID = "django-101"


@pytest.fixture(autouse=True)
def reads_in_transaction(monkeypatch: Any) -> Iterator[set[bool]]:
    """Collect whether statements that read were made within a transaction."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    seen = set()

    def note(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("SELECT"):
            seen.add(connection.in_atomic_block)
        return execute(sql, *args)

    with connection.execute_wrapper(note):
        yield seen


@pytest.mark.parametrize(
    "path",
    [
        "enrollment",
        "enrollments/",
        f"enrollment/{COURSE_ID}",
        f"course/{COURSE_ID}",
        f"course/{COURSE_ID}/eligibility",
        "roles/",
        "enrollment_allowed/",
    ],
)
def test_reading_the_api_opens_no_transaction(
    path: str, reads_in_transaction: set[bool]
) -> None:
    make_course(COURSE_ID)
    client = client_of(make_user("boss", is_staff=True, is_superuser=True))
    reads_in_transaction.clear()

    assert client.get(f"{ROOT}{path}").status_code == 200

    assert reads_in_transaction == {False}


def test_the_shown_pages_of_the_admin_open_no_transaction(
    reads_in_transaction: set[bool],
) -> None:
    make_course(COURSE_ID)
    row = CourseEnrollment.enroll(make_user("ada"), COURSE_ID)
    client = client_of(make_user("boss", is_staff=True, is_superuser=True))
    pages = [
        reverse(f"admin:django_enrollments_{model._meta.model_name}_changelist")
        for model in admin.site._registry
        if model._meta.app_label == "django_enrollments"
    ]
    name = "admin:django_enrollments_courseenrollment"
    pages += [reverse(f"{name}_add"), reverse(f"{name}_history", args=[row.pk])]
    reads_in_transaction.clear()

    statuses = {client.get(page).status_code for page in pages}

    assert statuses == {200}
    assert reads_in_transaction == {False}


def test_an_admin_page_that_fails_writes_nothing(monkeypatch: Any) -> None:
    mode = make_mode(make_course(COURSE_ID), "audit")
    client = client_of(make_user("boss", is_staff=True, is_superuser=True))
    client.raise_request_exception = False

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    kind = type(admin.site._registry[CourseMode])
    monkeypatch.setattr(kind, "log_change", fail)
    path = reverse("admin:django_enrollments_coursemode_change", args=[mode.pk])
    fields = {
        "course": mode.course_id,
        "mode_slug": "audit",
        "mode_display_name": "Changed",
        "min_price": 0,
        "currency": "usd",
    }

    assert client.post(path, fields).status_code == 500
    mode.refresh_from_db()
    assert mode.mode_display_name == "Audit"
