"""The REST API, version 1."""

from __future__ import annotations

from django.urls.resolvers import URLPattern

app_name = "django_enrollments"

urlpatterns: list[URLPattern] = []
