"""What a person does with a browser."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

#: The codes of keys in the WebDriver standard. This module is also read where selenium
#: is not installed.
TAB, ENTER, ARROW_DOWN = "\ue004", "\ue007", "\ue015"

#: A script of a page that calls the API, and returns status and body.
FETCH = """
const [method, path, body, headers, done] = arguments;
const json = body === null ? {} : {"Content-Type": "application/json"};
fetch(path, {
    method,
    credentials: "same-origin",
    headers: {...json, ...headers},
    body: body === null ? undefined : JSON.stringify(body),
}).then(async (answer) => {
    const text = await answer.text();
    done({status: answer.status, body: text ? JSON.parse(text) : null});
}, (error) => done({status: 0, body: String(error)}));
"""

AXE = Path(__file__).parent / "axe" / "axe.min.js"

#: Runs axe-core, and returns what it found: rule, help, and the elements.
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
    (result) => done(result.violations.map((found) =>
        `${found.id}: ${found.help}: `
        + found.nodes.map((node) => `${node.html} (${node.failureSummary})`).join(" | ")
    )),
    (error) => done([String(error)]),
);
"""

#: Returns the sum of all layout shifts of the page so far.
SHIFTS = """
const done = arguments[arguments.length - 1];
let sum = 0;
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) sum += entry.value;
}).observe({type: "layout-shift", buffered: true});
setTimeout(() => done(sum), 100);
"""

#: The schemes of addresses that no host is asked for.
LOCAL = {"about", "blob", "chrome", "data", "devtools"}


@dataclass
class Person:
    """
    A person at a browser.

    Attributes:
        browser: The browser.
        site: The address of the site.
    """

    browser: Chrome
    site: str

    def open(self, path: str):
        self._wait_for_response()
        self.browser.get(self.site + path)

    def _wait_for_response(self):
        """Wait until a form that was sent is gone; another page would cancel it."""
        sent = "return window.isFormSent === true"
        self.wait_until(lambda: not self.browser.execute_script(sent), "a response")

    def find(self, selector: str) -> WebElement:
        self._wait_for_response()
        return self.browser.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[WebElement]:
        self._wait_for_response()
        return self.browser.find_elements("css selector", selector)

    def text(self, selector: str = "body") -> str:
        return self.wait_until(lambda: [self.find(selector).text])[0]

    def sees(self, text: str, selector: str = "main") -> bool:
        """Return whether a part of the page has this text, now or within seconds."""
        self.wait_until(lambda: text in self.text(selector), text)
        return True

    def wait_until(self, look: Callable[[], Any], text: str = "") -> Any:
        """Return the first true result; elements of a former page do not count."""
        from selenium.common.exceptions import (
            NoSuchElementException,
            StaleElementReferenceException,
        )
        from selenium.webdriver.support.wait import WebDriverWait

        gone = [NoSuchElementException, StaleElementReferenceException]
        wait = WebDriverWait(self.browser, 10, ignored_exceptions=gone)
        return wait.until(lambda _: look(), f"{text!r} at {self.browser.current_url}")

    def has(self, selector: str) -> bool:
        """Return whether the page has an element now, without waiting for it."""
        self.browser.implicitly_wait(0)
        try:
            return bool(self.find_all(selector))
        finally:
            self.browser.implicitly_wait(10)

    def click(self, text: str, selector: str = "main"):
        """Click the first link, button or label that begins with this text."""

        def click() -> bool:
            for element in self.find(selector).find_elements(
                "css selector", "a, button, label, summary"
            ):
                if " ".join(element.text.split()).startswith(text):
                    element.click()
                    return True
            return False

        self.wait_until(click, text)

    @property
    def path(self) -> str:
        """The path of the page under view, without the query."""
        return urlsplit(self.browser.current_url).path

    def log_in(self, name: str):
        self.open("/accounts/login/")
        self.find("[name=username]").send_keys(name)
        self.find("[name=password]").send_keys(f"demo-{name}")
        self.find("main form button").click()
        # Not before the answer is there, which brings the session.
        self.find("nav form[action='/accounts/logout/']")

    def choose(self, field: str, text: str):
        """Choose from a field of the admin that completes what is typed."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        def take(_: Chrome) -> bool:
            options = self.find_all("li.select2-results__option")
            wanted = [option for option in options if text in option.text]
            for option in wanted[:1]:
                option.click()
            return bool(wanted)

        self.find(f".field-{field} .select2-selection").click()
        self.find(".select2-search__field").send_keys(text)
        # The list is made anew with each letter.
        stale = [StaleElementReferenceException]
        WebDriverWait(self.browser, 10, ignored_exceptions=stale).until(take)

    def ask(
        self, method: str, path: str, body=None, *, shows_token: bool = True
    ) -> tuple[int, Any]:
        """Let a script of the page under view ask the API."""
        token = self.browser.get_cookie("csrftoken")
        headers = {"X-CSRFToken": token["value"]} if token and shows_token else {}
        answer = self.browser.execute_async_script(FETCH, method, path, body, headers)
        return answer["status"], answer["body"]

    @contextmanager
    def screen(self, width: int, height: int = 900) -> Iterator[None]:
        """Use a screen of this size, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": width < 700}
        )
        try:
            yield
        finally:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    @contextmanager
    def scheme(self, name: str) -> Iterator[None]:
        """Prefer the scheme ``dark`` or ``light``."""
        self._prefer_scheme(name)
        try:
            yield
        finally:
            self._prefer_scheme("light")

    def _prefer_scheme(self, name: str):
        feature = {"name": "prefers-color-scheme", "value": name}
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [feature]}
        )

    @contextmanager
    def language(self, code: str) -> Iterator[None]:
        """Read the site in a language, as the switch of the footer stores it."""
        self.browser.add_cookie({"name": "django_language", "value": code})
        try:
            yield
        finally:
            self.browser.delete_cookie("django_language")

    def reset(self):
        """Return to a large screen and the light scheme."""
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self._prefer_scheme("light")

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong with the page under view."""
        self.browser.execute_script(AXE.read_text(encoding="utf-8"))
        return self.browser.execute_async_script(RUN_AXE)

    def faults_everywhere(self, path: str) -> list[str]:
        """
        Open a page in light, dark, German and Arabic, on large and small screens.

        Afterwards it is open as before.

        Returns:
            What axe-core finds, contents wider than the screen, and layout shifts.
        """
        faults = []
        for scheme, code, width in (
            ("light", "en", 1280),
            # German has the longest words.
            ("dark", "de", 360),
            ("light", "ar", 1280),
            ("dark", "ar", 360),
        ):
            with self.scheme(scheme), self.language(code), self.screen(width):
                self.open(path)
                # First, because axe-core scrolls.
                found = [*self.misfits(), *self.violations()]
                faults += [f"{path} {scheme} {code} {width}: {one}" for one in found]
        self.open(path)
        return faults

    def misfits(self) -> list[str]:
        """Return whether the page is wider than the screen, or has shifted."""
        wide, screen = self.browser.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        shifts = self.browser.execute_async_script(SHIFTS)
        return [
            *([f"{wide} px wide on a screen of {screen}"] if wide > screen else []),
            *([f"layout shifts of {shifts:.3f}"] if shifts > 0.001 else []),
        ]

    def complaints(self) -> list[str]:
        """Return what the browser has reported since it was last asked."""
        messages = [entry["message"] for entry in self.browser.get_log("browser")]
        # Django's admin has no icon, and browsers ask every site for one.
        return [message for message in messages if "/favicon.ico" not in message]

    def foreign_requests(self) -> list[str]:
        """Return the requests to other hosts since it was last asked."""
        urls = [
            message["params"]["request"]["url"]
            for entry in self.browser.get_log("performance")
            if (message := json.loads(entry["message"])["message"])["method"]
            == "Network.requestWillBeSent"
        ]
        return [
            url
            for url in urls
            if urlsplit(url).scheme not in LOCAL and not url.startswith(self.site)
        ]
