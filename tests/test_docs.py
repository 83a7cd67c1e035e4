"""The commands and examples of the README and the documentation work."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from types import ModuleType

import django
import pytest
from django.conf import settings as django_settings

from django_enrollments import checks, conf
from django_enrollments.services import EnrollmentsService
from django_enrollments.views.errors import ERROR_RESPONSES
from tests.factories import is_default_host
from tests.pages import ROOT, Block, Reader, project, read_blocks, read_commands

DOCS = ROOT / "docs"

#: Pages that create a project.
PROJECT_PAGES = (
    "tutorial.md",
    "how-to/custom-user.md",
    "how-to/custom-course.md",
    "how-to/migrations.md",
    "how-to/change-course-model.md",
    "how-to/feed-receiver.md",
)
HOW_TO_PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for page in (DOCS / "how-to").glob("*.md")
    if page.relative_to(DOCS).as_posix() not in PROJECT_PAGES
)

#: Objects that the README assumes, and the expected result.
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

#: Libraries that pages need. Of some, a stand-in is enough.
NEEDS = {
    "how-to/feed-celery.md": "celery",
    "how-to/feed-tasks.md": "django.tasks"
    if django.VERSION >= (6,)
    else "django_tasks",
    "how-to/feed-tenants.md": "requests_hardened",
    "how-to/feed-webhooks.md": "requests_hardened",
    "how-to/feed-receiver.md": "standardwebhooks",
}

only_default_host = pytest.mark.skipif(
    not is_default_host(), reason="the pages use Django's user model and Course"
)
only_once = pytest.mark.skipif(
    not is_default_host()
    or django_settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
    reason="the pages create projects, on SQLite",
)


_HEADS = "Check|Class|Constant|Error|Function|Method|Setting|Signal|Type"


def read_reference(page: str) -> str:
    return (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")


def listed_names(page: str) -> set[str]:
    """Return the last part of each name in the first columns of a page's tables."""
    tables = re.findall(
        rf"^\| (?:{_HEADS}) \|.*\n\| ---.*\n((?:\|.*\n)+)",
        read_reference(page),
        re.MULTILINE,
    )
    return {*re.findall(r"^\| `(?:\w+\.)*(\w+)`", "".join(tables), re.MULTILINE)}


def documented_names(page: str) -> set[str]:
    """Return the names whose docstrings autodoc adds to a page."""
    text = read_reference(page)
    names = set()
    modules = r"^\.\. automodule:: (\S+)\n((?:   .*\n)*)"
    for module, options in re.findall(modules, text, re.MULTILINE):
        members = re.search(r":members:([^:]*)", options)
        if members:
            given = {*re.findall(r"\w+", members[1])}
            names |= given or public_names(import_module(module))
        left_out = re.search(r":exclude-members:([^:]*)", options)
        names -= {*re.findall(r"\w+", left_out[1])} if left_out else set()
    objects = r"^\.\. auto(?:class|data|function):: (?:\w+\.)*(\w+)"
    return names | {*re.findall(objects, text, re.MULTILINE)}


def public_names(module: ModuleType) -> set[str]:
    """Return the functions, classes and commented constants of a module."""
    commented = r"^#:.*\n([A-Z]\w+)\b"
    constants = re.findall(commented, inspect.getsource(module), re.MULTILINE)
    return {*constants} | {
        name
        for name, value in vars(module).items()
        if name[0] != "_"
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


def make_kafka() -> ModuleType:
    """Return a library for Kafka that only remembers what was sent."""

    class Producer:
        def __init__(self, options):
            self.sent = []

        def produce(self, topic, on_delivery, **fields):
            self.sent.append({"topic": topic, **fields})
            on_delivery(None, fields)

        def flush(self, timeout):
            return 0

    module = ModuleType("confluent_kafka")
    module.Producer = Producer
    return module


@only_default_host
class TestHowToPages:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("page", HOW_TO_PAGES)
    def test_do_what_they_describe(self, page, tmp_path, settings, monkeypatch):
        if page in NEEDS:
            pytest.importorskip(NEEDS[page], reason="An extra is not installed.")
        monkeypatch.chdir(tmp_path)
        # Celery takes its broker from the environment first.
        monkeypatch.setenv("CELERY_BROKER_URL", "memory://")
        monkeypatch.setitem(sys.modules, "confluent_kafka", make_kafka())
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
    def test_create_a_working_project(self, page, tmp_path):
        if page in NEEDS:
            pytest.importorskip(NEEDS[page], reason="An extra is not installed.")
        blocks = read_blocks(DOCS / page)

        with project(page, tmp_path) as made:
            made.follow(blocks)

        assert blocks


def has_settings(page: str) -> bool:
    return any(
        block.file and block.file[0] == "school/settings.py"
        for block in read_blocks(DOCS / page)
    )


@only_once
@pytest.mark.slow
class TestSettingsOfHowToPages:
    @pytest.mark.parametrize(
        "page", [page for page in HOW_TO_PAGES if has_settings(page)]
    )
    def test_fit_a_new_project(self, page, tmp_path):
        needs = NEEDS | {"how-to/feed-kafka.md": "confluent_kafka"}
        if page in needs:
            pytest.importorskip(needs[page], reason="A library is not installed.")
        start = Block("console", "", "$ django-admin startproject school .\n", 0)
        added = "# school/settings.py, at the end\n"
        app = f'{added}INSTALLED_APPS += ["django_enrollments"]\n'
        check = "$ python manage.py check\nSystem check identified no issues ..."

        with project(page, tmp_path) as made:
            made.follow([start, Block("python", "", app, 0)])
            for block in read_blocks(DOCS / page):
                if block.file and block.language == "python":
                    path = block.file[0]
                    (tmp_path / path).touch()
                    made.keep_file(block, path, added=True)
            made.follow([Block("console", "", check, 0)])


@only_once
@pytest.mark.slow
class TestReadme:
    def test_adds_the_app_to_a_project(self, tmp_path):
        *blocks, last = read_blocks(ROOT / "README.md")
        start = Block("console", "", "$ django-admin startproject mysite .\n", 0)
        setup = Block("python", "", README_SETUP, 0)
        check = Block("python", "", README_OUTCOME, 0)

        with project("README.md", tmp_path) as made:
            made.follow([start, *blocks, setup, last, check])

        assert "EnrollmentsService" in last.text

    def test_names_the_two_commands_first(self):
        first = read_blocks(ROOT / "README.md")[0]

        commands = [command for command, _ in read_commands(first.text)]

        assert commands == ["make demo", "make test"]

    def test_links_to_files_that_exist(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)

        within = [link for link in links if not link.startswith("https://")]

        assert within
        assert [link for link in within if not (ROOT / link).exists()] == []


class TestReferencePages:
    """Tables list what autodoc adds, for those who read the source of a page."""

    @pytest.mark.parametrize(
        "page",
        [
            "api",
            "backends",
            "context",
            "data",
            "delivery",
            "errors",
            "models",
            "payloads",
            "permissions",
            "signals",
        ],
    )
    def test_list_every_documented_name(self, page):
        assert listed_names(page) == documented_names(page)

    def test_list_every_method_of_the_service(self):
        public = {name for name in vars(EnrollmentsService) if name[0] != "_"}

        assert listed_names("services") == public

    def test_list_every_setting(self):
        names = {name for name in dir(conf.Settings) if name.startswith("ENROLLMENTS_")}

        assert listed_names("settings") == names | documented_names("settings")

    def test_list_every_check(self):
        ids = re.findall(r'id="django_enrollments\.(\w+)"', inspect.getsource(checks))
        described = re.findall(
            r"^django_enrollments\.(\w+)", checks.__doc__, re.MULTILINE
        )

        assert listed_names("checks") == {*ids}
        assert described == sorted({*ids})

    def test_list_the_status_of_every_error(self):
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \|$", read_reference("http"), re.M)

        responses = [
            (kind.__name__, str(int(code))) for kind, code, _ in ERROR_RESPONSES
        ]

        assert rows == responses


class TestWhereEverythingIs:
    #: Folders that the page lists as a whole.
    FOLDERS = (
        "admin",
        "csv_import",
        "management/commands",
        "management/doctor",
        "migrations",
        "models",
    )

    def test_lists_every_module(self):
        text = (DOCS / "explanation/where-everything-is.md").read_text(encoding="utf-8")
        package = ROOT / "django_enrollments"
        modules = {
            module.relative_to(package)
            for module in package.rglob("*.py")
            if module.name != "__init__.py"
        }

        missing = [
            module
            for module in sorted(modules)
            if module.parent.as_posix() not in self.FOLDERS
            and f"`{module.as_posix()}`" not in text
            and f"`{module.name}`" not in text
        ]

        assert missing == []

    def test_lists_no_other_module(self):
        text = (DOCS / "explanation/where-everything-is.md").read_text(encoding="utf-8")
        listed = re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", text)

        known = {path.name for path in (ROOT / "django_enrollments").rglob("*.py")}

        assert {*listed} - known == set()
