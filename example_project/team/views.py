"""The pages of course teams."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from defusedcsv import csv as safe_csv  # type: ignore[import-untyped]
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.text import capfirst, slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import User
from catalog.histories import event_text
from catalog.refusals import record_refusal
from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseMode
from django_enrollments.services import EnrollmentsService
from team.access import can_force, course_team
from team.forms import EnrollForm, ModeForm, ReasonForm, RosterForm
from team.texts import error_text, refusal_text, result_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    from catalog.models import CourseRun
    from django_enrollments.models import CourseEnrollment
    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
    from django_enrollments.payloads import BulkOptions, BulkResultDict

#: The source in the history.
SOURCE = "team"

#: Learners, invitations or events on a page.
PAGE_SIZE = 50

#: The columns that sort the roster, by their name in the URL.
SORTS = {
    "learner": "user__username",
    "mode": "mode",
    "state": "is_active",
    "since": "created",
}


@dataclass(frozen=True)
class Heading:
    """
    A column heading that sorts the roster.

    Attributes:
        label: The name of the column.
        sort: The sort order that the link requests.
        direction: ``ascending``, ``descending``, or empty if another column sorts.
    """

    label: str
    sort: str
    direction: str


def mode_names(course: CourseRun) -> dict[str, str]:
    """Return the name of each mode of a course by slug, expired modes included."""
    modes = CourseMode.modes_for_course(
        course, include_expired=True, only_selectable=False
    )
    return {
        mode.mode_slug: mode.mode_display_name or capfirst(mode.mode_slug)
        for mode in modes
    }


def _offered(course: CourseRun) -> dict[str, str]:
    """Return the name of each mode that learners can have now, by slug."""
    return {
        mode.mode_slug: mode.mode_display_name or capfirst(mode.mode_slug)
        for mode in CourseMode.modes_for_course(course)
    }


@require_safe
@course_team
def list_learners(request: HttpRequest, course: CourseRun) -> HttpResponse:
    """Show the learners of a course."""
    modes = mode_names(course)
    form = RosterForm(request.GET, modes=modes)
    rows, sort = _sorted(_roster(course, form), request)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "course": course,
        "form": form,
        "page": page,
        "lines": [(row, modes.get(row.mode, capfirst(row.mode))) for row in page],
        "headings": _headings(sort),
        "sort": sort,
        "seats": EnrollmentsService().seats(course),
        "query": request.GET.urlencode(),
    }
    return render(request, "team/roster.html", context)


@require_safe
@course_team
def download(request: HttpRequest, course: CourseRun) -> StreamingHttpResponse:
    """Send the learners with the filters of the page as a CSV file, row by row."""
    modes = mode_names(course)
    rows, _sort = _sorted(
        _roster(course, RosterForm(request.GET, modes=modes)), request
    )
    response = StreamingHttpResponse(
        csv_lines(_cells(rows)), content_type="text/csv; charset=utf-8"
    )
    name = slugify(course.code) or "course"
    response["Content-Disposition"] = f'attachment; filename="{name}-learners.csv"'
    return response


class _Echo:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """
    Yield the lines of a CSV file that a spreadsheet opens without running formulas.

    Args:
        rows: The cells of each line.
    """
    # Spreadsheets take a file without this mark for another encoding than UTF-8.
    yield "\ufeff"
    writer: Any = safe_csv.writer(_Echo(), quoting=csv.QUOTE_MINIMAL)
    for row in rows:
        yield writer.writerow(row)


def _cells(rows: CourseEnrollmentQuerySet) -> Iterator[list[str]]:
    yield ["username", "name", "email", "mode", "state", "since"]
    found = rows.values_list(
        "user__username", "user__name", "user__email", "mode", "is_active", "created"
    )
    for *texts, is_active, created in found.iterator(chunk_size=2000):
        state = "active" if is_active else "former"
        yield [*texts, state, created.isoformat(timespec="seconds")]


def _roster(course: CourseRun, form: RosterForm) -> CourseEnrollmentQuerySet:
    return form.apply(EnrollmentsService().roster(course, search=form.search))


def _sorted(
    rows: CourseEnrollmentQuerySet, request: HttpRequest
) -> tuple[CourseEnrollmentQuerySet, str]:
    """Return the rows in the requested order, and the order; newest first if none."""
    sort = request.GET.get("sort", "")
    if sort.removeprefix("-") not in SORTS:
        sort = "-since"
    minus = "-" if sort.startswith("-") else ""
    column = SORTS[sort.removeprefix("-")]
    return rows.order_by(f"{minus}{column}", f"{minus}pk"), sort


def _headings(sort: str) -> list[Heading]:
    labels = {
        "learner": _("Learner"),
        "mode": _("Mode"),
        "state": _("State"),
        "since": _("Since"),
    }
    headings = []
    for name, label in labels.items():
        direction = ""
        if name == sort.removeprefix("-"):
            direction = "descending" if sort.startswith("-") else "ascending"
        wanted = f"-{name}" if direction == "ascending" else name
        headings.append(Heading(label, wanted, direction))
    return headings


@require_http_methods(["GET", "HEAD", "POST"])
@course_team
def show_learner(
    request: HttpRequest, course: CourseRun, user_id: int
) -> HttpResponseBase:
    """Show the history of a learner in a course, and change the enrollment."""
    service = EnrollmentsService()
    enrollment = service.roster(course).filter(user__pk=user_id).first()
    if enrollment is None:
        raise Http404
    names, offered = mode_names(course), _offered(course)

    def named(mode: str | None) -> str:
        return names.get(mode or "", capfirst(mode or ""))

    action = request.POST.get("action", "")
    data = request.POST if request.method == "POST" else None
    others = {slug: name for slug, name in offered.items() if slug != enrollment.mode}
    forms: dict[str, ReasonForm] = {
        "change": ModeForm(
            data if action == "change" else None,
            prefix="change",
            modes=offered,
            initial={"mode": next(iter(others), enrollment.mode)},
        ),
        "unenroll": ReasonForm(
            data if action == "unenroll" else None, prefix="unenroll"
        ),
        "enroll": ModeForm(
            data if action == "enroll" else None,
            prefix="enroll",
            modes=offered,
            initial={"mode": enrollment.mode},
        ),
    }
    if action in forms and forms[action].is_valid():
        _act(request, course, enrollment, action, forms[action].cleaned_data, names)
        return redirect("team:learner", course.code, user_id)
    events = Paginator(service.history(enrollment.user, course), PAGE_SIZE)
    page = events.get_page(request.GET.get("page"))
    context = {
        "course": course,
        "enrollment": enrollment,
        "learner": enrollment.user,
        "mode_name": named(enrollment.mode),
        "has_other_modes": bool(others),
        "page": page,
        "history": [
            (
                event,
                event_text(event, named(event.mode_before), named(event.mode_after)),
            )
            for event in page
        ],
        "forms": forms,
    }
    return render(request, "team/learner.html", context)


def _act(
    request: HttpRequest,
    course: CourseRun,
    enrollment: CourseEnrollment,
    action: str,
    given: dict[str, Any],
    modes: dict[str, str],
) -> None:
    """Change an enrollment, and say what happened; repeating it changes nothing."""
    service = EnrollmentsService()
    learner: Any = enrollment.user
    name = learner.get_full_name()
    origin = {"actor": request.user, "reason": given["reason"], "source": SOURCE}
    try:
        if action == "enroll":
            _enroll(request, course, learner, given, modes)
        elif action == "unenroll" and not enrollment.is_active:
            text = _("%(name)s is not enrolled. Nothing was changed.")
            messages.info(request, text % {"name": name})
        elif action == "unenroll":
            service.unenroll(learner, course, **origin)
            messages.success(request, result_text("deactivated", name, ""))
        elif enrollment.mode == given["mode"]:
            text = _("The mode is %(mode)s already. Nothing was changed.")
            messages.info(request, text % {"mode": modes[given["mode"]]})
        else:
            service.change_mode(learner, course, given["mode"], **origin)
            text = _("The mode of %(name)s is %(mode)s now.")
            mode = modes.get(given["mode"], given["mode"])
            messages.success(request, text % {"name": name, "mode": mode})
    except CourseEnrollmentError as error:
        messages.error(request, error_text(error.code, str(error)))


@require_http_methods(["GET", "HEAD", "POST"])
@course_team
def enroll(request: HttpRequest, course: CourseRun) -> HttpResponseBase:
    """Enroll a learner by username, or enroll or invite one by e-mail address."""
    modes = _offered(course)
    form = EnrollForm(request.POST or None, modes=modes, can_force=can_force(request))
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        learner = _find_account(given["learner"])
        if _enroll(request, course, learner or given["learner"], given, modes):
            return redirect("team:roster", course.code)
    context = {
        "course": course,
        "form": form,
        "seats": EnrollmentsService().seats(course),
    }
    return render(request, "team/enroll.html", context)


def _find_account(name: str) -> User | None:
    normalized = User.normalize_username(name)
    return User.objects.filter(username=normalized).first()


def _enroll(
    request: HttpRequest,
    course: CourseRun,
    learner: User | str,
    given: dict[str, Any],
    modes: dict[str, str],
) -> bool:
    """
    Enroll an account, or the address of one, and say what happened.

    Returns:
        Whether the learner is enrolled or invited now.
    """
    options: BulkOptions = {
        "actor": request.user,
        "reason": given["reason"],
        "source": SOURCE,
        "force": bool(given.get("force")),
    }
    try:
        result = _enroll_one(course, learner, given["mode"], options)
    except CourseEnrollmentError as error:
        messages.error(request, error_text(error.code, str(error)))
        return False
    name = learner if isinstance(learner, str) else learner.get_full_name()
    if result["status"] == "error":
        text = error_text(result["code"], result["message"])
        if isinstance(learner, User):
            explained = EnrollmentsService().explain(learner, course, given["mode"])
            record_refusal(course, [one["code"] for one in explained["reasons"]])
            text = refusal_text(course, explained) or text
        failed = _("%(name)s cannot be enrolled.") % {"name": name}
        messages.error(request, f"{failed} {text}")
        return False
    is_new = result["status"] != "unchanged"
    text = result_text(result["status"], name, modes.get(given["mode"], given["mode"]))
    messages.add_message(request, messages.SUCCESS if is_new else messages.INFO, text)
    return True


def _enroll_one(
    course: CourseRun, learner: User | str, mode: str, options: BulkOptions
) -> BulkResultDict:
    results: list[BulkResultDict]
    if isinstance(learner, User):
        results = EnrollmentsService().bulk_enroll(course, [learner], mode, **options)
    elif "@" in learner:
        results = api.bulk_enroll(course.code, (), [learner], mode, **options)
    else:
        results = api.bulk_enroll(course.code, [learner], (), mode, **options)
    return results[0]


@require_http_methods(["GET", "HEAD", "POST"])
@course_team
def list_invitations(request: HttpRequest, course: CourseRun) -> HttpResponseBase:
    """Show the open invitations to a course, and take them back."""
    invitations = EnrollmentsService().open_invitations(course)
    if request.method == "POST":
        key = request.POST.get("invitation", "")
        # An invitation that was used meanwhile is not open any more, and stays.
        is_key = key.isdecimal() and len(key) < 20
        taken = invitations.filter(pk=key if is_key else 0)
        email = taken.values_list("email", flat=True).first()
        deleted, _rows = taken.order_by().delete()
        if email and deleted:
            messages.success(request, result_text("uninvited", email, ""))
        else:
            text = _("This invitation is not open any more. Nothing was changed.")
            messages.info(request, text)
        return redirect("team:invitations", course.code)
    page = Paginator(invitations.order_by("-pk"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    names = mode_names(course)
    context = {
        "course": course,
        "page": page,
        "lines": [(one, names.get(one.mode, capfirst(one.mode))) for one in page],
    }
    return render(request, "team/invitations.html", context)
