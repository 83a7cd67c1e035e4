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
from django.views.decorators.http import require_http_methods, require_safe

from django_enrollments import csv_import
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseMode
from team.access import can_force, course_team
from team.forms import ImportForm
from team.texts import error_text
from team.views import PAGE_SIZE, SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

    from catalog.models import CourseRun
    from django_enrollments.csv_import import ImportResult, RowResult

#: Time for which results can be shown and downloaded.
RESULT_SECONDS = 60 * 60


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


@require_http_methods(["GET", "HEAD", "POST"])
@course_team
def import_file(request: HttpRequest, course: CourseRun) -> HttpResponse:
    """Upload a file, show a preview of its results, and import it after that."""
    force = can_force(request)
    if request.method == "POST" and "token" in request.POST:
        return _confirm(request, course, _options(request, force=force))
    form = ImportForm(request.POST or None, request.FILES or None, can_force=force)
    if request.method == "POST" and form.is_valid():
        options = _options(request, force=force)
        try:
            preview = csv_import.preview(course, form.cleaned_data["file"], **options)
        except CourseEnrollmentError as error:
            form.add_error("file", error_text(error.code, str(error)))
        else:
            return _show_preview(request, course, preview)
    return render(request, "team/import.html", _form_context(course, form))


def _form_context(course: CourseRun, form: ImportForm) -> dict[str, Any]:
    modes = CourseMode.modes_for_course(course)
    return {"course": course, "form": form, "example_mode": modes[-1].mode_slug}


def _options(request: HttpRequest, *, force: bool) -> dict[str, Any]:
    return {
        "actor": request.user,
        "reason": request.POST.get("reason", "").strip(),
        "source": SOURCE,
        "force": force and bool(request.POST.get("force")),
    }


def _show_preview(
    request: HttpRequest,
    course: CourseRun,
    preview: csv_import.Preview,
    stale: str = "",
) -> HttpResponse:
    changed = sum(
        number
        for status, number in preview.counts.items()
        if status not in {"unchanged", "error"}
    )
    context = {
        "course": course,
        "preview": preview,
        "lines": _lines(preview.rows),
        "changed": changed,
        "stale": stale,
        "reason": request.POST.get("reason", ""),
        "force": request.POST.get("force", ""),
    }
    status = 409 if stale else 200
    return render(request, "team/import_preview.html", context, status=status)


def _confirm(
    request: HttpRequest, course: CourseRun, options: dict[str, Any]
) -> HttpResponse:
    """
    Import a file as its preview has shown.

    A form that is sent twice leads to the results of the first time.
    """
    token = request.POST["token"]
    key = sha256(token.encode()).hexdigest()[:32]
    if _find_results(request, course, key):
        return redirect("team:import-results", course.code, key)
    try:
        results = csv_import.apply(
            course, request.POST.get("file", ""), token, **options
        )
    except csv_import.StalePreview as stale:
        if _find_results(request, course, key):
            return redirect("team:import-results", course.code, key)
        return _show_preview(request, course, stale.preview, stale=str(stale))
    except CourseEnrollmentError as error:
        messages.error(request, error_text(error.code, str(error)))
        return redirect("team:import", course.code)
    cache.set(_cache_key(request, course, key), results, RESULT_SECONDS)
    number = len(results.rows)
    text = ngettext(
        "The file is imported: %(number)s row.",
        "The file is imported: %(number)s rows.",
        number,
    )
    messages.success(request, text % {"number": number})
    return redirect("team:import-results", course.code, key)


def _cache_key(request: HttpRequest, course: CourseRun, key: str) -> str:
    return f"team:import:{request.user.pk}:{course.pk}:{key}"


def _find_results(
    request: HttpRequest, course: CourseRun, key: str
) -> ImportResult | None:
    found: ImportResult | None = cache.get(_cache_key(request, course, key))
    return found


@require_safe
@course_team
def show_results(request: HttpRequest, course: CourseRun, key: str) -> HttpResponse:
    """Show the result of each row, or send them as a file."""
    results = _find_results(request, course, key)
    if results is None:
        text = _(
            "The results of this import are not kept any more. The history of each "
            "learner shows its changes."
        )
        messages.info(request, text)
        return redirect("team:import", course.code)
    if request.GET.get("format") == "csv":
        name = slugify(course.code) or "course"
        # With a mark, without which spreadsheets take another encoding than UTF-8.
        content = "\ufeff" + results.as_csv()
        response = HttpResponse(content, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{name}-import.csv"'
        return response
    page = Paginator(results.rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "course": course,
        "results": results,
        "page": page,
        "lines": _lines(page),
    }
    return render(request, "team/import_results.html", context)


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
