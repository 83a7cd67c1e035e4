"""The admin, as an operator clicks through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.people import AXE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.people import Person

pytestmark = pytest.mark.slow

ROOT = "/admin/django_enrollments/"
LIST = f"{ROOT}courseenrollment/"

#: Sends the form of the export button, and returns the beginning of the file.
EXPORT = """
const done = arguments[arguments.length - 1];
const form = document.querySelector(".enrollments-export");
fetch(location.href, {method: "POST", body: new FormData(form)})
    .then(async (answer) => done((await answer.text()).slice(0, 2000)));
"""

#: Returns whether a part of the list is outside of the screen.
IS_CUT = """
const results = document.querySelector(".results");
return results.scrollWidth > results.clientWidth;
"""

#: Runs axe-core on a part of the page; the rest is Django's, as is the text of a field
#: that completes what is typed, which has no name of its own.
RUN_AXE = """
const [selector, done] = arguments;
const context = {include: [selector], exclude: [".select2-selection__rendered"]};
axe.run(context, {resultTypes: ["violations"]}).then((result) => done(
    result.violations.map((found) =>
        `${found.id}: ` + found.nodes.map((node) => node.html).join(" | "))
), (error) => done([String(error)]));
"""

#: Returns how the path above the content looks.
LOOK = """
const {top, left} = document.querySelector(".breadcrumbs").getBoundingClientRect();
const style = getComputedStyle(document.querySelector(".breadcrumbs"));
const link = getComputedStyle(document.querySelector(".breadcrumbs a"));
return [top, left, style.backgroundColor, style.padding, link.color];
"""


@pytest.fixture
def operator(person: Person):
    person.log_in("operator")
    return person


def submit(person: Person):
    person.find("#content-main form .submit-row [type=submit]").click()


def press(person: Person, text: str):
    """Press a button above the content."""
    person.click(text, ".object-tools")


def open_enrollment(person: Person, name: str):
    person.open(f"{LIST}?q={name}")
    person.find("#result_list tbody th a").click()
    assert name in person.text(".breadcrumbs")


def assert_accessible(person: Person, selector: str = "#content-main"):
    for scheme in ("light", "dark"):
        with person.scheme(scheme):
            person.browser.execute_script(AXE.read_text(encoding="utf-8"))
            found = person.browser.execute_async_script(RUN_AXE, selector)
            assert found == [], scheme


def write_file(folder: Path, *lines: str) -> str:
    file = folder / "rows.csv"
    file.write_text("\n".join(["course,username,email", *lines]), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("width", [1280, 360])
def test_lists_are_not_cut(operator, width):
    cut = []
    names = ("courseenrollment", "enrollmentevent", "courseenrollmentallowed")
    for name in (*names, "courseaccessrole", "coursemode", "consumer"):
        with operator.screen(width):
            operator.open(f"{ROOT}{name}/")
            cut += [name] * operator.browser.execute_script(IS_CUT)

    assert cut == []


def test_an_enrollment_is_changed_with_reasons(operator, newcomer):
    operator.open(f"{LIST}add/")
    operator.choose("user", newcomer)
    operator.choose("course", "DJANGO-101")
    operator.find("[name=_save]").click()

    open_enrollment(operator, newcomer)
    assert_accessible(operator)
    press(operator, "UNENROLL")
    assert newcomer in operator.text("#content h2")
    assert_accessible(operator)
    submit(operator)
    assert operator.sees("This field is required.", ".errorlist")
    operator.find("[name=reason]").send_keys("Moved away")
    submit(operator)

    assert operator.sees("1 learner was unenrolled.", ".messagelist")
    assert operator.text(".field-state .readonly") == "Left"
    assert operator.sees("Moved away", ".enrollments-table")
    assert operator.sees("operator", ".enrollments-table")

    press(operator, "ENROLL AGAIN")
    operator.find("[name=reason]").send_keys("Came back")
    submit(operator)
    assert operator.text(".field-state .readonly") == "Enrolled"
    assert operator.sees("Came back", ".enrollments-table")


def test_several_enrollments_are_changed_with_one_reason(operator):
    operator.open(f"{LIST}?q=student6&state=enrolled")
    for box in operator.find_all(".action-select")[:2]:
        box.click()
    operator.find("[name=action] option[value=unenroll]").click()
    operator.find(".actions button").click()

    assert operator.sees("2 enrollments are selected.", "#content")
    operator.find("[name=reason]").send_keys("Course cancelled")
    submit(operator)

    assert operator.sees("2 learners were unenrolled.", ".messagelist")


def test_the_list_is_filtered_by_a_course_and_exported(operator):
    operator.open(LIST)
    assert_accessible(operator, ".enrollments-course-filter")
    assert_accessible(operator, ".object-tools")
    operator.find(".enrollments-course-filter .select2-selection").click()
    operator.find(".select2-search__field").send_keys("POTTERY")
    operator.find(".select2-results__option--highlighted")
    operator.sees("POTTERY", ".select2-results__options")
    operator.find(".select2-results__option--highlighted").click()
    operator.find(".enrollments-course-filter button").click()

    operator.sees("POTTERY", ".enrollments-course-filter p")
    assert operator.sees("POTTERY", "#result_list")
    assert "2014" not in operator.text("#result_list")
    lines = operator.browser.execute_async_script(EXPORT).splitlines()
    assert lines[0].startswith("username,email,course")
    assert all("POTTERY" in line for line in lines[1:])


def test_a_file_is_previewed_and_imported(operator, newcomer, tmp_path):
    operator.open(LIST)
    press(operator, "IMPORT CSV")
    assert_accessible(operator)
    file = write_file(tmp_path, f"DJANGO-101,{newcomer},", "NOWHERE,nobody,")
    operator.find("[name=file]").send_keys(file)
    operator.find("[name=reason]").send_keys("Autumn class")
    submit(operator)

    operator.sees("Nothing has been written yet.", "#content")
    assert_accessible(operator)
    submit(operator)

    operator.sees("Results of the import", "#content")
    assert_accessible(operator)
    rows = [row.text for row in operator.find_all(".enrollments-table tbody tr")]
    assert any(newcomer in row and "Enrolled" in row for row in rows)
    assert operator.has("a[download][href^='data:text/csv']")
    open_enrollment(operator, newcomer)
    assert operator.sees("Autumn class", ".enrollments-table")


def test_an_invitation_is_taken_back(operator):
    operator.open(f"{ROOT}courseenrollmentallowed/add/")
    operator.find("[name=email]").send_keys("guest@example.org")
    operator.find("[name=course_id]").send_keys("DJANGO-101")
    operator.find("[name=_save]").click()
    operator.sees("was added successfully", ".messagelist")
    operator.open(f"{ROOT}courseenrollmentallowed/?q=guest@example.org")
    operator.find(".action-select").click()
    operator.find("[name=action] option[value=take_back]").click()
    operator.find(".actions button").click()

    assert operator.sees("1 invitation was taken back.", ".messagelist")


def test_the_path_above_each_page_looks_as_on_the_pages_of_django(operator):
    operator.open(LIST)
    look = operator.browser.execute_script(LOOK)

    open_enrollment(operator, "student6")
    page = operator.path
    for path in (page, f"{page}unenroll/", f"{page}../history/", f"{LIST}import/"):
        operator.open(path)
        assert operator.browser.execute_script(LOOK) == look, path


def test_a_box_is_beside_its_label(operator):
    operator.open(f"{LIST}import/")
    box, label = operator.find_all(".checkbox-row")[0].find_elements(
        "css selector", "input, label"
    )
    assert abs(box.rect["y"] - label.rect["y"]) < box.rect["height"]
