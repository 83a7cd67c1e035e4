"""What a person does with a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

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
        self.browser.get(self.site + path)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements("css selector", selector)

    def text(self, selector: str = "body") -> str:
        return self.find(selector).text

    def log_in(self, name: str):
        self.open("/accounts/login/")
        self.find("[name=username]").send_keys(name)
        self.find("[name=password]").send_keys(f"demo-{name}")
        self.find("main button, main [type=submit]").click()
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

    def complaints(self) -> list[str]:
        """What the browser has complained about since it was last asked."""
        messages = [
            entry["message"]
            for entry in self.browser.get_log("browser")
            if entry["level"] == "SEVERE"
        ]
        # Django's admin has no icon, and browsers ask every site for one.
        return [message for message in messages if "/favicon.ico" not in message]
