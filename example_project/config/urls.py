"""URLs of the example project."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path
from django.utils.translation import gettext_lazy as _

from catalog import views
from team.dashboard import dashboard

admin.site.site_title = admin.site.site_header = _("Evening School")

urlpatterns = [
    path("", views.home, name="home"),
    # Course ids may contain slashes.
    path("courses/<path:course_id>/", views.course, name="course"),
    path("my/", views.my, name="my"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("team/", include("team.urls")),
    path("dashboard/", dashboard, name="dashboard"),
    path("admin/", admin.site.urls),
    path("api/enrollment/v1/", include("django_enrollments.urls")),
    # In production, a web server serves these files.
    path("static/<path:path>", serve, {"insecure": True}),
]

if settings.HAS_OPENAPI:
    from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

    urlpatterns += [
        path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
        path("api/docs/", SpectacularSwaggerView.as_view(), name="docs"),
    ]
