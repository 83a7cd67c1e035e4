"""A browser, and the example project's site for it to open."""

from __future__ import annotations

import os

import pytest
from django.conf import settings

from tests.browser.driver import NotInstalledError, chromium
from tests.browser.people import Person
from tests.example import Demo, address, make_slice
from tests.factories import is_default_host


@pytest.fixture(scope="session")
def browser():
    """Start Chromium once for all tests; skip them where it is missing."""
    try:
        with chromium() as driver:
            yield driver
    except NotInstalledError as error:
        # These tests are required where this variable is set.
        if os.environ.get("ENROLLMENTS_TEST_BROWSER"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def demo(browser, tmp_path_factory):
    """Run the example project with a slice of its data; yield its commands."""
    database = settings.DATABASES["default"]["ENGINE"]
    if not is_default_host() or database != "django.db.backends.sqlite3":
        pytest.skip("the example project brings its own host and database")
    demo = Demo(tmp_path_factory.mktemp("site"))
    demo.data.mkdir()
    make_slice(demo.data)
    with demo.serve() as (_, printed):
        demo.address = address(printed).rstrip("/")
        yield demo


@pytest.fixture(scope="session")
def site(demo):
    """Return the address of the site."""
    return demo.address


@pytest.fixture(scope="session")
def accounts(demo):
    """Create accounts that no other test uses; return their names, one by one."""
    names = [f"newcomer{number}" for number in range(60)]
    # One iteration per password, because sixty with Django's number take long.
    create = (
        "from accounts.models import User;"
        "from django.contrib.auth.hashers import PBKDF2PasswordHasher as Hasher;"
        "User.objects.bulk_create(User(username=name, email=f'{name}@example.org', "
        "name=name.capitalize(), password=Hasher().encode(f'demo-{name}', 'salt', 1)) "
        f"for name in {names})"
    )
    done = demo.manage("shell", "--command", create)
    assert done.returncode == 0, done.stderr
    return iter(names)


@pytest.fixture
def newcomer(accounts):
    """Return the name of an account without enrollments; see ``Person.log_in``."""
    return next(accounts)


@pytest.fixture
def person(browser, site):
    """
    Yield a new visitor.

    At the end, the browser must have had nothing to report, and must have sent no
    request to another host.
    """
    person = Person(browser, site)
    person.reset()
    browser.get(f"{site}/static/icon.svg")
    browser.delete_all_cookies()
    browser.get_log("browser")
    browser.get_log("performance")
    yield person
    person.reset()
    assert person.complaints() == []
    assert person.foreign_requests() == []
