"""URLs of course teams. A course id may contain slashes, so the roster comes last."""

from __future__ import annotations

from django.urls import path

from team import imports, views

app_name = "team"

urlpatterns = [
    path(
        "<path:course_id>/learners/<int:user_id>/", views.show_learner, name="learner"
    ),
    path("<path:course_id>/enroll/", views.enroll, name="enroll"),
    path("<path:course_id>/invitations/", views.list_invitations, name="invitations"),
    path(
        "<path:course_id>/import/<slug:key>/",
        imports.show_import,
        name="import-file",
    ),
    path("<path:course_id>/import/", imports.import_file, name="import"),
    path("<path:course_id>/download/", views.download, name="download"),
    path("<path:course_id>/", views.list_learners, name="roster"),
]
