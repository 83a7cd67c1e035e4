"""The import of a CSV file: a preview, its confirmation, and the results."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.cache import cache
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from django_enrollments import csv_import
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseMode
from team.access import can_force, course_team
from team.forms import ImportForm
from team.texts import error_text
from team.views import PAGE_SIZE, SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest

    from catalog.models import CourseRun
    from django_enrollments.csv_import import ImportResult, Preview, RowResult

#: Time for which a preview can be confirmed, and results can be downloaded. On a server
#: with several processes, the cache must be one that they share.
KEPT_SECONDS = 60 * 60


@dataclass(frozen=True)
class Line:
    """
    A row of a preview or of results.

    Attributes:
        row: The row.
        text: The reason of a refusal as a sentence.
        tone: The class of its badge.
    """

    row: RowResult
    text: str
    tone: str


@dataclass(frozen=True)
class Upload:
    """
    An uploaded file.

    Attributes:
        preview: Its preview.
        options: Its reason, and whether the window is ignored.
        results: The results; ``None`` before it is confirmed.
    """

    preview: Preview
    options: dict[str, Any]
    results: ImportResult | None = None

    @property
    def key(self) -> str:
        """Its name in URLs."""
        return sha256(self.preview.token.encode()).hexdigest()[:32]


@require_http_methods(["GET", "HEAD", "POST"])
@course_team
def import_file(request: HttpRequest, course: CourseRun) -> HttpResponse:
    """Upload a file, and go on to the preview of its results."""
    force = can_force(request)
    form = ImportForm(request.POST or None, request.FILES or None, can_force=force)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        options = {"reason": given["reason"], "force": given.get("force", False)}
        try:
            preview = csv_import.preview(
                course, given["file"], actor=request.user, source=SOURCE, **options
            )
        except CourseEnrollmentError as error:
            form.add_error("file", error_text(error.code, str(error)))
        else:
            return _keep(request, course, Upload(preview, options))
    modes = CourseMode.modes_for_course(course)
    context = {"course": course, "form": form, "modes": modes}
    return render(request, "team/import.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@course_team
def show_import(request: HttpRequest, course: CourseRun, key: str) -> HttpResponse:
    """
    Show a preview and confirm it; after that, show the result of each row.

    A form that is sent twice, or again after the back button, leads to the results of
    the first time.
    """
    upload = _find(request, course, key)
    if upload is None:
        text = _(
            "This import is not kept any more. If it was confirmed, the histories of "
            "the learners show its changes."
        )
        messages.info(request, text)
        return redirect("team:import", course.code)
    if request.method == "POST" and upload.results is None:
        return _confirm(request, course, upload)
    if request.method == "POST":
        return redirect("team:import-file", course.code, key)
    if upload.results is None:
        return _show_preview(request, course, upload)
    if request.GET.get("format") == "csv":
        return _send_results(course, upload.results)
    page = Paginator(upload.results.rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "course": course,
        "results": upload.results,
        "page": page,
        "lines": _lines(page),
    }
    return render(request, "team/import_results.html", context)


def _confirm(request: HttpRequest, course: CourseRun, upload: Upload) -> HttpResponse:
    """Import a file as its preview has shown, or show a new preview."""
    preview = upload.preview
    try:
        results = csv_import.apply(
            course,
            preview.file,
            preview.token,
            actor=request.user,
            source=SOURCE,
            **upload.options,
        )
    except csv_import.StalePreview as stale:
        # The same form may have been sent twice, at the same time.
        confirmed = _find(request, course, upload.key)
        if confirmed and confirmed.results:
            return redirect("team:import-file", course.code, upload.key)
        text = _("Nothing was imported. %(reason)s") % {"reason": stale}
        messages.warning(request, text)
        return _keep(request, course, Upload(stale.preview, upload.options))
    except CourseEnrollmentError as error:
        messages.error(request, error_text(error.code, str(error)))
        return redirect("team:import", course.code)
    number = _count_changed(results.counts)
    text = ngettext(
        "The file is imported: %(number)s row.",
        "The file is imported: %(number)s rows.",
        number,
    )
    messages.success(request, text % {"number": number})
    return _keep(request, course, Upload(preview, upload.options, results))


def _keep(request: HttpRequest, course: CourseRun, upload: Upload) -> HttpResponse:
    """Keep an import for the next request, and go on to its page."""
    cache.set(_cache_key(request, course, upload.key), upload, KEPT_SECONDS)
    return redirect("team:import-file", course.code, upload.key)


def _find(request: HttpRequest, course: CourseRun, key: str) -> Upload | None:
    found: Upload | None = cache.get(_cache_key(request, course, key))
    return found


def _cache_key(request: HttpRequest, course: CourseRun, key: str) -> str:
    # Other users cannot see it.
    return f"team:import:{request.user.pk}:{course.pk}:{key}"


def _show_preview(
    request: HttpRequest, course: CourseRun, upload: Upload
) -> HttpResponse:
    preview = upload.preview
    context = {
        "course": course,
        "preview": preview,
        "lines": _lines(preview.rows),
        "changed": _count_changed(preview.counts),
    }
    return render(request, "team/import_preview.html", context)


def _send_results(course: CourseRun, results: ImportResult) -> HttpResponse:
    name = slugify(course.code) or "course"
    # With a mark, without which spreadsheets take another encoding than UTF-8.
    content = "\ufeff" + results.as_csv()
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}-import.csv"'
    return response


def _count_changed(counts: Mapping[str, int]) -> int:
    """Return the number of rows that change something, from those by status."""
    same = {"unchanged", "error"}
    return sum(n for status, n in counts.items() if status not in same)


def _lines(rows: Iterable[RowResult]) -> list[Line]:
    tones = {
        "error": "bad",
        "unchanged": "",
        "deactivated": "warn",
        "uninvited": "warn",
    }
    return [
        Line(
            row,
            error_text(row.code, row.message) if row.status == "error" else "",
            tones.get(row.status, "ok"),
        )
        for row in rows
    ]
