"""The page of the example project that shows its API, and lets people try it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("drf_spectacular_sidecar") is None,
        reason="The extra openapi is not installed.",
    ),
]

RESOURCES = "return performance.getEntriesByType('resource').map(one => one.name)"


class TestApiDocs:
    def test_are_linked_from_the_home_page(self, person):
        person.open("/")

        person.find("[href='/api/docs/']").click()

        assert person.find(".info .title").text.startswith("Evening School")
        assert len(person.find_all(".opblock")) == 12

    def test_come_from_this_site_alone(self, person):
        person.open("/api/docs/")
        person.find(".opblock")

        loaded = person.browser.execute_script(RESOURCES)

        assert any("swagger-ui-bundle" in url for url in loaded)
        assert [url for url in loaded if not url.startswith(person.site)] == []

    @pytest.mark.parametrize(
        ("operation", "text"),
        [("enroll", '"user": "learner"'), ("describe_course", "Django for teachers")],
    )
    def test_let_a_learner_try_a_call(self, person, operation, text):
        person.log_in("learner")
        person.open("/api/docs/")
        call = f"[id^=operations-][id$=-{operation}]"
        person.find(f"{call} .opblock-summary-control").click()

        person.find(f"{call} .try-out__btn").click()
        person.find(f"{call} .execute").click()

        answer = f"{call} .live-responses-table tbody"
        assert person.text(f"{answer} .response-col_status").startswith("200")
        assert text in person.text(f"{answer} .response-col_description")
