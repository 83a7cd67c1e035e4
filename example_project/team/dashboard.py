"""The dashboard of staff."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, get_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from catalog.models import RefusedAttempt
from team.access import staff_only
from team.consumers import list_consumers
from team.numbers import find_fullest, read_totals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from django.http import HttpRequest, HttpResponse
    from django.utils.functional import _StrPromise

    from team.numbers import Fullness, Totals, Week

#: The reasons of refusals, by the codes of ``EnrollmentsService.explain``.
REASONS: dict[str, _StrPromise] = {
    "already_enrolled": gettext_lazy("Already enrolled"),
    "enrollment_not_started": gettext_lazy("Registration not open yet"),
    "enrollment_ended": gettext_lazy("Registration closed"),
    "invitation_only": gettext_lazy("By invitation only"),
    "course_full": gettext_lazy("Course full"),
    "mode_unavailable": gettext_lazy("Mode not offered"),
    "not_allowed": gettext_lazy("Not allowed"),
}


@dataclass(frozen=True)
class Series:
    """
    Numbers that are drawn in one color.

    Attributes:
        label: The name in the legend.
        values: One number per label of the chart.
        color: Number of a color of the design, from 1.
    """

    label: str
    values: Sequence[int]
    color: int = 1


@dataclass(frozen=True)
class Drawing:
    """
    The data of a chart, for the script of the page.

    Attributes:
        kind: ``line``, ``bar`` or ``rows``, which are horizontal bars.
        labels: The label of each number.
        series: The numbers.
        unit: Text after each number.
        maximum: The end of the axis; ``None`` for the largest number.
    """

    kind: str
    labels: Sequence[str]
    series: Sequence[Series]
    unit: str = ""
    maximum: int | None = None


@dataclass(frozen=True)
class Cell:
    """
    A cell of a table.

    Attributes:
        value: A text, or a number.
        url: The page that the text links to, if any.
    """

    value: str | int
    url: str = ""


@dataclass(frozen=True)
class Chart:
    """
    A chart with its numbers as a table.

    Attributes:
        name: Its name in the page.
        title: Its heading.
        summary: A sentence with the most important number.
        drawing: The data for the script.
        headings: The headings of the table; the first column has the row headings.
        rows: The rows of the table.
        is_wide: Whether it takes the whole width.
    """

    name: str
    title: str
    summary: str
    drawing: Drawing
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    is_wide: bool = False


@staff_only
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show numbers about all courses."""
    totals = read_totals()
    weeks = totals.weeks()
    years = sorted({week.monday.year for week in weeks if _has_moved(week)})
    year = _read_year(request, years)
    shown = [week for week in weeks if week.monday.year in ([year] if year else years)]
    charts = [
        *_charts_of_weeks(shown),
        _chart_of_modes(totals),
        _chart_of_courses(find_fullest(totals)),
        _chart_of_refusals(totals.reasons(year), year),
    ]
    filled = [chart for chart in charts if chart.rows]
    context = {
        "numbers": _recent_numbers(totals),
        "years": years,
        "year": year,
        "leaves_out_years": not year and len(shown) < len(weeks),
        "charts": charts,
        "consumers": list_consumers(),
        "has_history": bool(weeks),
        "drawings": {chart.name: asdict(chart.drawing) for chart in filled},
        "separator": get_format("THOUSAND_SEPARATOR"),
    }
    return render(request, "team/dashboard.html", context)


def _read_year(request: HttpRequest, years: Sequence[int]) -> int | None:
    given = request.GET.get("year", "")
    return next((year for year in years if str(year) == given), None)


def _recent_numbers(totals: Totals) -> list[tuple[str, int]]:
    today = timezone.now().date()
    days = [today - timedelta(days=number) for number in range(7)]
    since = timezone.now() - timedelta(days=7)
    refused = RefusedAttempt.objects.order_by().filter(time__gt=since).count()
    return [
        (_("Active enrollments"), totals.active),
        (_("Former enrollments"), totals.former),
        (_("Arrivals in 7 days"), sum(totals.arrivals[day] for day in days)),
        (_("Departures in 7 days"), sum(totals.departures[day] for day in days)),
        (_("Refusals in 7 days"), refused),
    ]


def _has_moved(week: Week) -> bool:
    return bool(week.arrivals or week.departures)


def _name(monday: date) -> str:
    return date_format(monday, "DATE_FORMAT")


def _charts_of_weeks(weeks: Sequence[Week]) -> list[Chart]:
    labels = [_name(week.monday) for week in weeks]
    moved = [week for week in reversed(weeks) if _has_moved(week)]
    arrivals = sum(week.arrivals for week in weeks)
    departures = sum(week.departures for week in weeks)
    most = max((week.active for week in weeks), default=0)
    peak = next((week for week in weeks if week.active == most), None)
    return [
        Chart(
            "active",
            _("Active enrollments over time"),
            ngettext(
                "The largest number was %(number)s, in the week of %(week)s.",
                "The largest number was %(number)s, in the week of %(week)s.",
                most,
            )
            % {"number": _grouped(most), "week": _name(peak.monday) if peak else ""},
            Drawing(
                "line",
                labels,
                [Series(_("Active enrollments"), [week.active for week in weeks])],
            ),
            [_("Week of"), _("Active enrollments")],
            [[Cell(_name(week.monday)), Cell(week.active)] for week in moved],
            is_wide=True,
        ),
        Chart(
            "movements",
            _("Arrivals and departures by week"),
            _("%(arrivals)s arrivals and %(departures)s departures in this period.")
            % {"arrivals": _grouped(arrivals), "departures": _grouped(departures)},
            Drawing(
                "bar",
                labels,
                [
                    Series(_("Arrivals"), [week.arrivals for week in weeks], 3),
                    Series(_("Departures"), [-week.departures for week in weeks], 2),
                ],
            ),
            [_("Week of"), _("Arrivals"), _("Departures")],
            [
                [Cell(_name(week.monday)), Cell(week.arrivals), Cell(week.departures)]
                for week in moved
            ],
            is_wide=True,
        ),
    ]


def _chart_of_modes(totals: Totals) -> Chart:
    # The catalogues of django-enrollments have the names of the usual modes.
    modes = [
        (_(capfirst(slug.replace("-", " "))), number)
        for slug, number in totals.modes.most_common()
    ]
    return Chart(
        "modes",
        _("Active enrollments by mode"),
        _("%(mode)s has the most, %(percent)s %%.")
        % {
            "mode": modes[0][0] if modes else "",
            "percent": 100 * modes[0][1] // totals.active if modes else 0,
        },
        Drawing(
            "rows",
            [name for name, _number in modes],
            [Series(_("Active enrollments"), [number for _name, number in modes])],
        ),
        [_("Mode"), _("Active enrollments")],
        [[Cell(name), Cell(number)] for name, number in modes],
    )


def _chart_of_courses(courses: Sequence[Fullness]) -> Chart:
    full = sum(one.taken >= one.capacity for one in courses)
    return Chart(
        "courses",
        _("Fullest courses"),
        ngettext(
            "%(number)s of these courses is full.",
            "%(number)s of these courses are full.",
            full,
        )
        % {"number": full},
        Drawing(
            "rows",
            [one.run.code for one in courses],
            [Series(_("Seats taken"), [one.percent for one in courses], 4)],
            unit=" %",
            maximum=max([100, *(one.percent for one in courses)]),
        ),
        [_("Course"), _("Seats taken"), _("Seats"), _("Percent")],
        [
            [
                Cell(str(one.run), reverse("team:roster", args=[one.run.code])),
                Cell(one.taken),
                Cell(one.capacity),
                Cell(one.percent),
            ]
            for one in courses
        ],
    )


def _chart_of_refusals(refusals: Sequence[tuple[str, int]], year: int | None) -> Chart:
    named = [(str(REASONS.get(code, code)), number) for code, number in refusals]
    total = sum(number for _name, number in named)
    if year:
        text = ngettext(
            "%(number)s refusal in %(year)s, counted once for each reason.",
            "%(number)s refusals in %(year)s, counted once for each reason.",
            total,
        )
    else:
        text = ngettext(
            "%(number)s refusal in all, counted once for each reason.",
            "%(number)s refusals in all, counted once for each reason.",
            total,
        )
    return Chart(
        "refusals",
        _("Refused attempts by reason"),
        text % {"number": _grouped(total), "year": year},
        Drawing(
            "rows",
            [name for name, _number in named],
            [Series(_("Refused attempts"), [number for _name, number in named], 5)],
        ),
        [_("Reason"), _("Refused attempts")],
        [[Cell(name), Cell(number)] for name, number in named],
    )


def _grouped(number: int) -> str:
    """Return a number with the separators of the language."""
    return number_format(number, force_grouping=True)
