"""A browser, and the example project's site for it to open."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest
from django.conf import settings

from tests.browser.people import Person
from tests.example import Demo, address, make_slice
from tests.factories import is_default_host

#: Without a window, and without a word to anybody but the site.
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1280,1000",
)


def _do_without(what: str) -> NoReturn:
    """Skip, or fail where these tests are required."""
    if os.environ.get("ENROLLMENTS_TEST_BROWSER"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def _find(*names: str) -> str:
    return next(filter(None, map(shutil.which, names)), None) or _do_without(names[0])


@pytest.fixture(scope="session")
def browser():
    """Start Chromium, once for all tests."""
    try:
        from selenium import webdriver
    except ImportError:
        _do_without("selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = _find("chromium", "chromium-browser", "google-chrome")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=_find("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.implicitly_wait(10)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def site(browser, tmp_path_factory):
    """Run the example project with a slice of its data; return its address."""
    database = settings.DATABASES["default"]["ENGINE"]
    if not is_default_host() or database != "django.db.backends.sqlite3":
        pytest.skip("the example project brings its own host and database")
    demo = Demo(tmp_path_factory.mktemp("site"))
    demo.data.mkdir()
    make_slice(demo.data)
    with demo.serve() as (_, printed):
        yield address(printed).rstrip("/")


@pytest.fixture
def person(browser, site):
    """Yield a new visitor; at the end all their pages must have been without errors."""
    browser.get(site)
    browser.delete_all_cookies()
    browser.get_log("browser")
    person = Person(browser, site)
    yield person
    assert person.complaints() == []
