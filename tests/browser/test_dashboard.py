"""The dashboard of staff."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

NAMES = ("active", "movements", "modes", "courses", "refusals")

#: Returns the names of the charts that have been drawn.
DRAWN = """
return [...document.querySelectorAll("canvas")]
    .filter((one) => Chart.getChart(one))
    .filter((one) => one.getContext("2d")
        .getImageData(0, 0, one.width, one.height).data.some((value) => value > 0))
    .map((one) => one.id);
"""

#: Returns the numbers of a chart.
DATA = "return Chart.getChart(arguments[0]).data.datasets[0].data"

#: Returns a number as a chart writes it.
WRITTEN = "return Chart.getChart('modes').options.scales.x.ticks.callback(12345)"

#: Waits until a chart has another color, and returns it.
OTHER_COLOR = """
const [before, done] = arguments;
const look = () => {
    const now = Chart.getChart("active").data.datasets[0].borderColor;
    if (now === before) setTimeout(look, 20); else done(now);
};
look();
"""


@pytest.fixture(scope="module")
def refusals(demo):
    """Let learners be refused."""
    done = demo.manage(
        "shell",
        "--command",
        "from catalog.models import CourseRun;"
        "from catalog.refusals import record_refusal;"
        "record_refusal(CourseRun.objects.get(code='POTTERY-1'), ['course_full'])",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def staff(refusals, person):
    """Log a member of the staff in."""
    person.log_in("operator")
    return person


def cells(person, name: str) -> list[list[str]]:
    """Return the table below a chart."""
    figure = f"figure:has(#{name})"
    if not person.find(f"{figure} details").get_attribute("open"):
        person.find(f"{figure} summary").click()
    return [
        [cell.text for cell in row.find_elements("css selector", "th, td")]
        for row in person.find_all(f"{figure} tbody tr")
    ]


def test_learners_may_not_open_it(person):
    person.log_in("learner")

    person.open("/dashboard/")

    assert person.sees("You may not open this page", "h1")
    assert "403" in person.complaints()[0]


def test_draws_all_charts(staff):
    staff.click("Dashboard", "nav")

    assert sorted(staff.browser.execute_script(DRAWN)) == sorted(NAMES)


def test_has_the_numbers_of_each_chart_in_a_table(staff):
    staff.open("/dashboard/")

    for name in ("modes", "refusals"):
        numbers = [int(row[1].replace(",", "")) for row in cells(staff, name)]
        assert numbers == staff.browser.execute_script(DATA, name)
    assert cells(staff, "courses")[0][-1] == "100"
    moved = [
        value for value in staff.browser.execute_script(DATA, "movements") if value
    ]
    arrived = [int(row[1]) for row in cells(staff, "movements")[::-1]]
    assert [value for value in arrived if value] == moved
    assert staff.violations() == []


def test_shows_a_year(staff):
    staff.open("/dashboard/")

    staff.click("2013", ".chips")

    weeks = [row[0] for row in cells(staff, "movements")]
    assert weeks
    assert all(week.endswith("2013") for week in weeks)
    assert staff.find(".chips [aria-current]").text == "2013"


def test_writes_numbers_as_the_texts_do(staff):
    written = []

    for language in ("en", "de", "ar"):
        with staff.language(language):
            staff.open("/dashboard/")
            written.append(staff.browser.execute_script(WRITTEN))

    assert written == ["12,345", "12.345", "12.345"]


def test_shows_an_event_and_its_reason_at_once(staff, newcomer, demo):
    staff.open("/dashboard/")
    arrivals = "return document.querySelectorAll('.tiles dd')[2].textContent"
    before = int(staff.browser.execute_script(arrivals))
    staff.open("/team/DJANGO-101/enroll/")
    staff.find("[name=learner]").send_keys(newcomer)
    staff.find("[name=reason]").send_keys("Seen on the dashboard")
    staff.find("main .form button").click()
    assert staff.sees("is enrolled now", ".messages")

    staff.open("/dashboard/")

    assert int(staff.browser.execute_script(arrivals)) == before + 1
    staff.click("Show the numbers", "figure:has(#courses)")
    staff.click("DJANGO-101")
    staff.click(newcomer.capitalize())
    assert staff.sees("by Olga Operator · Seen on the dashboard", ".timeline")


def test_is_drawn_anew_when_the_scheme_changes(staff):
    staff.open("/dashboard/")
    color = "return Chart.getChart('active').data.datasets[0].borderColor"
    light = staff.browser.execute_script(color)

    with staff.scheme("dark"):
        dark = staff.browser.execute_async_script(OTHER_COLOR, light)

    assert light.startswith("rgb")
    assert dark.startswith("rgb")


def test_has_no_fault(staff):
    assert staff.faults_everywhere("/dashboard/") == []
    assert staff.faults_everywhere("/dashboard/?year=2026") == []
