"""URLs of this host."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("api/enrollment/v1/", include("django_enrollments.urls"))]
