"""The page of rules has every id that the code and the tests refer to."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "rules.md"

#: Where ids of rules are referred to.
SOURCES = {
    "django_enrollments": "*.py",
    "tests": "*.py",
    "benchmarks": "*.py",
    "tools": "*.py",
    "example_project": "*.py",
    "docs": "*.md",
}

FAMILIES = (
    r"V[12]-[A-Z]+|ACC|API|AUD|B|BULK|CACHE|CAP|CMD|DATA|ERRS|EVT|MDL|MODE|NAM|NOTIF"
    r"|PERF|PROC|SEED-DIFF|SET|SVC|UTIL"
)

#: An id such as ``ACC-05``, or a range such as ``ACC-05…07``. What it is part of may be
#: the id of a course.
ID = re.compile(rf"(?<![\w-])({FAMILIES})-(\d\d)(?:…(\d\d))?(?![\w-])")

#: An id in the first column of a table.
ROW = re.compile(rf"^\| ((?:{FAMILIES})-\d\d) \| (.*) \|$", re.MULTILINE)


def ids_in(text):
    """
    Yield the ids that a text refers to, each one of a range.

    Args:
        text: Code or documentation.
    """
    for family, first, last in ID.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{family}-{number:02}"


def references():
    """Return the ids that the repository refers to, with the files that do."""
    found = {}
    for folder, pattern in SOURCES.items():
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path != PAGE:
                for one in ids_in(path.read_text(encoding="utf-8")):
                    found.setdefault(one, set()).add(str(path.relative_to(ROOT)))
    return found


#: The ids with which a test is marked.
MARK = re.compile(r"@pytest\.mark\.rule\(([^)]*)\)")


def marked_rules():
    """Return the ids that tests are marked with."""
    return {
        one
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for marks in MARK.findall(path.read_text(encoding="utf-8"))
        for one in ids_in(marks)
    }


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


class TestIds:
    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("May enroll (ACC-05).", ["ACC-05"]),
            ("See V1-POST-01 and B-26.", ["V1-POST-01", "B-26"]),
            ("The rules MODE-03…05.", ["MODE-03", "MODE-04", "MODE-05"]),
            ("SEED-DIFF-05, V2-EP-14", ["SEED-DIFF-05", "V2-EP-14"]),
            ("BULK-1, UTF-16, course-v1:B-01-x, SUB-01, POTTERY-01", []),
            ("test_acc_05_is_a_name", []),
        ],
    )
    def test_are_found_in_text(self, text, ids):
        assert list(ids_in(text)) == ids

    def test_are_referred_to_in_code_and_tests(self):
        files = {path for paths in references().values() for path in paths}

        assert {path.partition("/")[0] for path in files} >= {
            "django_enrollments",
            "tests",
        }


class TestRulesPage:
    def test_has_every_id_that_is_referred_to(self, page):
        listed = {one for one, _ in ROW.findall(page)}

        missing = {
            one: sorted(files)
            for one, files in references().items()
            if one not in listed
        }

        assert missing == {}

    def test_every_rule_that_is_offered_has_a_test(self, page):
        offered = {
            one
            for one, rule in ROW.findall(page)
            if not rule.startswith("Not offered.")
        }

        assert offered - marked_rules() == set()

    def test_has_every_id_once(self, page):
        counts = Counter(one for one, _ in ROW.findall(page))

        assert counts
        assert [one for one, count in counts.items() if count > 1] == []

    def test_has_no_row_that_is_not_an_id(self, page):
        rows = [line for line in page.splitlines() if line.startswith("|")]
        heads = [row for row in rows if row in {"| Id | Rule |", "| --- | --- |"}]

        assert len(rows) - len(heads) == len(ROW.findall(page))

    def test_numbers_every_family_from_1_without_a_gap(self, page):
        numbers = {}
        for one, _ in ROW.findall(page):
            family, _, number = one.rpartition("-")
            numbers.setdefault(family, []).append(int(number))

        assert {
            family: [*range(1, len(all_) + 1)] for family, all_ in numbers.items()
        } == {family: sorted(all_) for family, all_ in numbers.items()}

    def test_refers_to_no_id_that_it_lacks(self, page):
        listed = {one for one, _ in ROW.findall(page)}

        assert {*ids_in(page)} - listed == set()

    def test_lists_what_is_not_offered(self, page):
        _, _, end = page.partition("(rules-not-offered)=")
        marked = [
            one for one, rule in ROW.findall(page) if rule.startswith("Not offered.")
        ]

        assert list(ids_in(end)) == marked
