"""The app's own views, and plain Django views that do the same work."""

from __future__ import annotations

from django.urls import include, path

from benchmarks import floor_views

urlpatterns = [
    path("api/enrollment/v1/", include("django_enrollments.urls")),
    path("floor/enrollment", floor_views.own_enrollments),
    path("floor/enrollments", floor_views.all_enrollments),
]
