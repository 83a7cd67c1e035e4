"""Starts Chromium, for the tests and for the screenshots."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

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
    "--hide-scrollbars",
    "--window-size=1280,1000",
)

#: Marks a page whose form was sent, until the response takes the place of the page. The
#: back button may bring back the page as it was.
MARK_SENT = """
addEventListener("submit", (event) => {
    if (!event.defaultPrevented) window.isFormSent = true;
});
addEventListener("pageshow", () => { window.isFormSent = false; });
"""


class NotInstalledError(Exception):
    """Selenium, Chromium or its driver is missing."""


def _find(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise NotInstalledError(f"{names[0]} is not installed")


@contextmanager
def chromium() -> Iterator[Chrome]:
    """
    Start Chromium, and end it when the block ends.

    Raises:
        NotInstalledError: Selenium, Chromium or its driver is missing.
    """
    try:
        from selenium import webdriver
    except ImportError as error:
        raise NotInstalledError("selenium is not installed") from error
    options = webdriver.ChromeOptions()
    options.binary_location = _find("chromium", "chromium-browser", "google-chrome")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    for argument in ARGUMENTS:
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=_find("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.implicitly_wait(10)
        driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": MARK_SENT}
        )
        yield driver
    finally:
        driver.quit()
