"""
Make the screenshots of the documentation: every page of the example project.

They go to ``docs/images/``, or to ``--folder``. With ``--all``, each page is taken in
light, dark, on a small screen and in Arabic. Without ``--site``, the demo runs with all
of its data in a database of its own, which takes a minute.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.browser.driver import chromium
from tests.browser.people import Person
from tests.example import DATA, Demo, address

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"

#: Higher pages are cut.
TALLEST = 2400


class Page(NamedTuple):
    """
    A page to take.

    Attributes:
        name: The name of the file.
        path: The path on the site.
        account: Who looks at it; empty for an anonymous visitor.
    """

    name: str
    path: str
    account: str = ""


class Variant(NamedTuple):
    """
    A way to look at a page.

    Attributes:
        suffix: The end of the file's name.
        scheme: ``light`` or ``dark``.
        language: The language code.
        width: The width of the screen in CSS pixels.
    """

    suffix: str = ""
    scheme: str = "light"
    language: str = "en"
    width: int = 1200


PAGES = (
    Page("catalogue", "/"),
    Page("catalogue-learner", "/", "learner"),
    Page("catalogue-empty", "/?q=zither", "learner"),
    Page("catalogue-team", "/?show=team", "teacher"),
    Page("course-anonymous", "/courses/SPANISH-A1/"),
    Page("course-enroll", "/courses/SPANISH-A1/", "learner"),
    Page("course-enrolled", "/courses/DJANGO-101/", "learner"),
    Page("course-leave", "/courses/DJANGO-101/?leave", "learner"),
    Page("course-full", "/courses/POTTERY-1/", "learner"),
    Page("course-later", "/courses/ASTRO-2/", "learner"),
    Page("course-invited", "/courses/CHOIR/", "learner"),
    Page("course-reasons", "/courses/BOOKS-1/", "learner"),
    Page("my", "/my/", "learner"),
    Page("my-empty", "/my/", "operator"),
    Page("login", "/accounts/login/?next=/my/"),
    Page("password", "/accounts/password_change/", "learner"),
    Page("password-reset", "/accounts/password_reset/"),
    Page("not-allowed", "/dashboard/", "learner"),
    Page("not-found", "/courses/NOWHERE/"),
    Page("team", "/team/SPANISH-A1/", "teacher"),
    Page("team-import", "/team/SPANISH-A1/import/", "teacher"),
    Page("dashboard", "/dashboard/", "operator"),
)

VARIANTS = (
    Variant(),
    Variant("-dark", scheme="dark"),
    Variant("-phone", width=360),
    Variant("-arabic", language="ar"),
)

#: What the documentation shows: pages, each with the suffixes of its variants.
SHOWN = {
    "catalogue": ("", "-dark", "-phone"),
    "course-enroll": ("", "-phone"),
    "course-full": ("",),
    "course-leave": ("",),
    "my": ("",),
    "team": ("", "-phone"),
    "team-import": ("",),
    "dashboard": ("", "-dark"),
}


def take(person: Person, page: Page, variant: Variant, file: Path) -> None:
    """Store a screenshot of a whole page."""
    with (
        person.scheme(variant.scheme),
        person.language(variant.language),
        person.screen(variant.width, 800),
    ):
        person.open(page.path)
        height = person.browser.execute_script(
            "for (const one of document.querySelectorAll('.records details')) {"
            "  one.open = true;"
            "}"
            "return document.documentElement.scrollHeight"
        )
        # Charts draw themselves within their first second.
        person.browser.execute_async_script("setTimeout(arguments[0], 1200)")
        # A screen as high as the page: a clip beyond the screen is shifted in Arabic.
        with person.screen(variant.width, min(height, TALLEST)):
            shot = person.browser.execute_cdp_cmd("Page.captureScreenshot", {})
    file.write_bytes(base64.b64decode(shot["data"]))
    print(file)


@contextmanager
def running_site(given: str | None) -> Iterator[str]:
    """Yield the address of a site that runs already, or of a new demo."""
    if given:
        yield given.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as name:
        demo = Demo(Path(name))
        demo.data = DATA
        with demo.serve() as (_, printed):
            yield address(printed).rstrip("/")


def _be_refused(person: Person) -> None:
    """Try to enroll in the full course, for the dashboard."""
    person.open("/static/icon.svg")
    person.browser.delete_all_cookies()
    person.log_in("learner")
    for _ in range(3):
        person.open("/courses/POTTERY-1/")
        person.click("Try to get a seat now")
        person.sees("Nothing was changed")


def main() -> None:
    """Take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", help="the address of a site that runs already")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--all", action="store_true", help="every page, four times")
    parser.add_argument("--only", help="only pages whose name begins with this")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with running_site(options.site) as site, chromium() as browser:
        person = Person(browser, site)
        _be_refused(person)
        account = None
        for page in PAGES:
            if options.only and not page.name.startswith(options.only):
                continue
            suffixes = SHOWN.get(page.name, ())
            if not (suffixes or options.all):
                continue
            if page.account != account:
                browser.get(f"{site}/static/icon.svg")
                browser.delete_all_cookies()
                account = page.account
                if account:
                    person.log_in(account)
            for variant in VARIANTS:
                if options.all or variant.suffix in suffixes:
                    file = options.folder / f"{page.name}{variant.suffix}.png"
                    take(person, page, variant, file)


if __name__ == "__main__":
    main()
