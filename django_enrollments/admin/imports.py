"""The import of a CSV file: upload, preview, confirmation, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

from django_enrollments import csv_import
from django_enrollments.admin.operations import ExceptionsForm
from django_enrollments.core.transactions import non_atomic
from django_enrollments.errors import CourseEnrollmentError, in_words

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from django_enrollments.admin.base import BaseAdmin as _Base
else:
    _Base = object


class UploadForm(ExceptionsForm):
    """A form with a file and the options."""

    file = forms.FileField(label=_("CSV file"))
    reason = forms.CharField(
        label=_("Reason"),
        max_length=1_000,
        help_text=_("It is stored in the history, with your name."),
    )

    field_order = ("file", "reason")


class ConfirmForm(UploadForm):
    """The same options, and the file as text, in hidden fields."""

    file = forms.CharField()  # type: ignore[assignment]  # replaces the upload.
    token = forms.CharField()


class ImportMixin(_Base):
    """The pages of the import."""

    def get_urls(self) -> list[Any]:
        """Return the URLs, with that of the import."""
        view = self.admin_site.admin_view(self.import_view)
        page = path("import/", view, name="django_enrollments_import")
        return [page, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the enrollments, with a button for those who may import."""
        context = {"may_import": self.may_import(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    # Decorated again, because it overrides a view.
    changelist_view = non_atomic(changelist_view)

    def may_import(self, request: HttpRequest) -> bool:
        """Return whether the operator may add and change enrollments."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    @non_atomic
    def import_view(self, request: HttpRequest) -> HttpResponse:
        """
        Show the form, then the preview, then the results.

        Raises:
            PermissionDenied: The operator may not add and change enrollments.
        """
        if not self.may_import(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, form=UploadForm())
        if "token" in request.POST:
            return self._import(request)
        form = UploadForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                preview = csv_import.preview(
                    None, form.cleaned_data["file"], **self._options(request, form)
                )
            except CourseEnrollmentError as error:
                form.add_error("file", str(error))
            else:
                return self._page(request, form=form, preview=preview)
        return self._page(request, form=form)

    def _import(self, request: HttpRequest) -> HttpResponse:
        form = ConfirmForm(request.POST)
        if not form.is_valid():
            return self._page(request, form=UploadForm())
        try:
            result = csv_import.apply(
                None,
                form.cleaned_data["file"],
                form.cleaned_data["token"],
                **self._options(request, form),
            )
        except csv_import.StalePreview as stale:
            self.message_user(request, str(stale), messages.WARNING)
            return self._page(request, form=form, preview=stale.preview)
        except CourseEnrollmentError as error:
            self.message_user(request, str(error), messages.ERROR)
            return self._page(request, form=UploadForm())
        return self._page(request, result=result)

    def _options(self, request: HttpRequest, form: Any) -> dict[str, Any]:
        names = ("reason", "force", "over_capacity")
        given = {name: form.cleaned_data[name] for name in names}
        return {**given, "actor": request.user, "source": "admin"}

    def _page(self, request: HttpRequest, **context: Any) -> HttpResponse:
        shown = context.get("result") or context.get("preview")
        title = _("Import enrollments")
        if "result" in context:
            title = _("Results of the import")
        elif "preview" in context:
            title = _("Preview of the import")
        site = self.admin_site
        context = {
            **site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "shown": shown,
            "rows": [
                (row, in_words(row.code, row.message))
                for row in (shown.rows if shown else ())
            ],
            "csv": quote(shown.as_csv()) if shown else "",
            "columns": ", ".join(csv_import.COLUMNS),
            "list_page": reverse(
                f"{site.name}:django_enrollments_courseenrollment_changelist"
            ),
            "import_page": reverse(f"{site.name}:django_enrollments_import"),
            **context,
        }
        template = "admin/django_enrollments/courseenrollment/import.html"
        return TemplateResponse(request, template, context)
