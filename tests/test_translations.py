"""The catalogues: complete, compiled, and equal to the texts in the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("ar", "de", "es", "fr")
#: Folders with a ``locale``.
SOURCES = ("django_enrollments", "example_project")
#: As in ``make messages``.
IGNORED = ("*/migrations/*", "*/vendor/*", "data/*")
CATALOGUES = [
    pytest.param(
        ROOT / source / "locale" / language / "LC_MESSAGES", id=f"{source}-{language}"
    )
    for source in SOURCES
    for language in LANGUAGES
]
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}")


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


@pytest.fixture(scope="session", params=SOURCES)
def extracted(request, tmp_path_factory):
    """Extract the texts of a folder, as ``make messages`` does."""
    if shutil.which("xgettext") is None:
        if os.environ.get("CI"):
            pytest.fail("GNU gettext is not installed")
        pytest.skip("GNU gettext is not installed")
    source = request.param
    copy = tmp_path_factory.mktemp("messages") / source
    shutil.copytree(ROOT / source, copy, ignore=shutil.ignore_patterns("locale"))
    (copy / "locale").mkdir()
    ignored = [f"--ignore={pattern}" for pattern in IGNORED]
    command = [sys.executable, "-m", "django", "makemessages", "--locale", "de"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    subprocess.run(  # noqa: S603 - a command of Django
        [*command, *ignored],
        cwd=copy,
        env=environment,
        check=True,
        capture_output=True,
    )
    found = polib.pofile(str(copy / "locale/de/LC_MESSAGES/django.po"))
    return source, {(entry.msgctxt, entry.msgid, entry.msgid_plural) for entry in found}


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogues_contain_the_texts_of_the_code(extracted, language):
    source, texts = extracted
    stored = polib.pofile(
        str(ROOT / source / f"locale/{language}/LC_MESSAGES/django.po")
    )
    have = {
        (entry.msgctxt, entry.msgid, entry.msgid_plural)
        for entry in stored
        if not entry.obsolete
    }
    assert (sorted(map(str, texts - have)), sorted(map(str, have - texts))) == ([], [])


@pytest.mark.parametrize("folder", CATALOGUES)
class TestCatalogue:
    def test_is_complete(self, folder):
        catalogue = polib.pofile(str(folder / "django.po"))
        assert [entry.msgid for entry in catalogue.untranslated_entries()] == []
        assert [entry.msgid for entry in catalogue.fuzzy_entries()] == []
        assert [entry.msgid for entry in catalogue.obsolete_entries()] == []

    def test_has_all_plural_forms(self, folder):
        catalogue = polib.pofile(str(folder / "django.po"))
        forms = re.match(r"nplurals=(\d)", catalogue.metadata["Plural-Forms"])
        plurals = [entry for entry in catalogue if entry.msgid_plural]
        for entry in plurals:
            assert len(entry.msgstr_plural) == int(forms[1]), entry.msgid
            assert all(entry.msgstr_plural.values()), entry.msgid

    def test_keeps_placeholders(self, folder):
        for entry in polib.pofile(str(folder / "django.po")):
            if not entry.msgid_plural:
                assert placeholders(entry.msgstr) == placeholders(entry.msgid)
                continue
            # A form for one, two or none can leave the number out.
            allowed = set(placeholders(entry.msgid_plural))
            for text in entry.msgstr_plural.values():
                assert set(placeholders(text)) <= allowed, entry.msgid
            assert any(
                set(placeholders(text)) == allowed
                for text in entry.msgstr_plural.values()
            ), entry.msgid

    def test_is_compiled(self, folder):
        catalogue = polib.pofile(str(folder / "django.po"))
        compiled = polib.mofile(str(folder / "django.mo"))
        assert {
            (entry.msgctxt, entry.msgid): (entry.msgstr, entry.msgstr_plural)
            for entry in compiled
        } == {
            (entry.msgctxt, entry.msgid): (entry.msgstr, entry.msgstr_plural)
            for entry in catalogue.translated_entries()
        }
