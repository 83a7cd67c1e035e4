"""What the README and the documentation tell people to type works as they say."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

import pytest
from django.conf import settings as django_settings

from django_enrollments import checks
from tests.factories import is_default_host
from tests.pages import ROOT, Block, Reader, project, read_blocks, read_commands

DOCS = ROOT / "docs"

#: Pages that make a project of their own.
PROJECT_PAGES = (
    "tutorial.md",
    "how-to/custom-user.md",
    "how-to/custom-course.md",
    "how-to/migrations.md",
    "how-to/change-course-model.md",
)
HOW_TO_PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for page in (DOCS / "how-to").glob("*.md")
    if page.relative_to(DOCS).as_posix() not in PROJECT_PAGES
)

#: What the README leaves to its reader, and what must be true in the end.
README_SETUP = """
from django.contrib.auth.models import User
from django_enrollments.models import Course
user = User.objects.create_user("ada")
Course.objects.create(id="course-id")
"""
README_OUTCOME = """
>>> user.django_enrollments_courseenrollment_set.get().is_active
True
"""

only_default_host = pytest.mark.skipif(
    not is_default_host(), reason="the pages speak of Django's own user and Course"
)
only_once = pytest.mark.skipif(
    not is_default_host()
    or django_settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
    reason="the pages make projects of their own, on SQLite whatever the host has",
)


@only_default_host
class TestHowToPages:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("page", HOW_TO_PAGES)
    def test_do_what_they_say(self, page, tmp_path, settings, monkeypatch):
        monkeypatch.chdir(tmp_path)
        reader = Reader(page, tmp_path, settings)
        common = read_blocks(DOCS / "how-to" / "index.md")
        blocks = read_blocks(DOCS / page) if page != "how-to/index.md" else []

        try:
            reader.follow(common + blocks)
        finally:
            reader.forget()


@only_once
@pytest.mark.slow
class TestProjectPages:
    @pytest.mark.parametrize("page", PROJECT_PAGES)
    def test_make_a_project_that_works(self, page, tmp_path):
        blocks = read_blocks(DOCS / page)

        with project(page, tmp_path) as made:
            made.follow(blocks)

        assert blocks


@only_once
@pytest.mark.slow
class TestReadme:
    def test_adds_the_app_to_a_project(self, tmp_path):
        *blocks, last = read_blocks(ROOT / "README.md")
        start = Block("console", "", "$ django-admin startproject mysite .\n", 0)
        makes_both = Block("python", "", README_SETUP, 0)
        look = Block("python", "", README_OUTCOME, 0)

        with project("README.md", tmp_path) as made:
            made.follow([start, *blocks, makes_both, last, look])

        assert "EnrollmentsService" in last.text

    def test_names_the_two_commands_first(self):
        first = read_blocks(ROOT / "README.md")[0]

        commands = [command for command, _ in read_commands(first.text)]

        assert commands == ["make demo", "make test"]

    def test_links_to_what_is_there(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)

        within = [link for link in links if not link.startswith("https://")]

        assert within
        assert [link for link in within if not (ROOT / link).exists()] == []


class TestReferencePages:
    def test_list_every_check_once(self):
        given = re.findall(r'id="django_enrollments\.(\w+)"', inspect.getsource(checks))
        listed = re.findall(r"^django_enrollments\.(\w+)", checks.__doc__, re.MULTILINE)

        assert listed == sorted({*given})

    def test_name_every_public_module(self):
        reference = "".join(
            page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md")
        )

        for name in ("api", "data", "errors", "models", "permissions", "services"):
            module = import_module(f"django_enrollments.{name}")
            assert module.__name__ in reference
