"""Consumers of the feed, and events that are set aside."""

from __future__ import annotations

import pytest
from django.urls import reverse

from django_enrollments.models import Consumer, EnrollmentEvent, FeedCounter, SetAside
from tests.admin.pages import make_clerk, shown, texts, url

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def consumers(settings, db):
    backend = "django_enrollments.delivery.backends.CallBackend"
    settings.ENROLLMENTS_CONSUMERS = {
        "crm": {"BACKEND": backend, "OPTIONS": {"function": "builtins.repr"}}
    }


@pytest.fixture
def crm():
    FeedCounter.objects.update_or_create(pk=FeedCounter.ONLY, defaults={"last": 10})
    return Consumer.objects.create(
        name="crm", position=7, state="down", last_error="HTTP 503"
    )


@pytest.fixture
def rows(crm):
    return [
        SetAside.objects.create(
            consumer=crm,
            position=number,
            partition=f"{number}:x",
            state=state,
            error="HTTP 400",
        )
        for number, state in ((3, "dead"), (4, "retrying"))
    ]


def act(client, model, action: str, *rows):
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(url(model, "changelist"), data)


class TestConsumers:
    def test_are_listed_with_lag_state_and_error(self, admin_client, rows):
        page = admin_client.get(url(Consumer, "changelist"))

        (found,) = page.context["cl"].result_list
        listed = page.context["cl"].model_admin
        assert listed.lag(found) == 3
        assert (listed.retrying(found), listed.dead(found)) == (1, 1)
        assert "crm down 3 1 1" in shown(page)
        assert "HTTP 503" in shown(page)

    def test_are_paused_and_resumed(self, admin_client, crm):
        resumed = act(admin_client, Consumer, "resume", crm)
        crm.refresh_from_db()
        assert crm.state == "active"

        paused = act(admin_client, Consumer, "pause", crm)
        crm.refresh_from_db()

        assert crm.state == "paused"
        assert texts(resumed)[-1] == "1 consumer is resumed."
        assert texts(paused)[-1] == "1 consumer is paused."

    def test_that_the_setting_does_not_have_are_refused(self, admin_client):
        old = Consumer.objects.create(name="old", position=0)

        response = act(admin_client, Consumer, "pause", old)

        assert "no consumer 'old'" in texts(response)[0]

    def test_need_the_permission_to_change(self, client, crm):
        client.force_login(make_clerk("view_consumer"))

        act(client, Consumer, "resume", crm)

        crm.refresh_from_db()
        assert crm.state == "down"


class TestEvents:
    def test_are_retried(self, admin_client, rows):
        response = act(admin_client, SetAside, "retry", *rows)

        assert {*SetAside.objects.values_list("state", flat=True)} == {"retrying"}
        assert texts(response) == ["2 events are tried again."]

    def test_are_discarded_for_a_reason(self, admin_client, rows, operator, caplog):
        asked = act(admin_client, SetAside, "discard", rows[0])
        without = admin_client.post(
            asked.context["form_url"], {"keys": asked.context["keys"]}
        )
        assert SetAside.objects.count() == 2

        response = admin_client.post(
            asked.context["form_url"],
            {"keys": asked.context["keys"], "reason": "A test"},
        )

        assert "It is never delivered." in shown(asked)
        assert "reason" in without.context["form"].errors
        assert SetAside.objects.get() == rows[1]
        assert texts(response) == ["1 event was discarded."]
        assert f"A test (user {operator.pk})" in caplog.text

    def test_have_a_page_in_words(self, admin_client, rows):
        page = admin_client.get(url(SetAside, "change", rows[0].pk))

        assert page.context["subtitle"] == "Event 3 for crm"
        assert not EnrollmentEvent.objects.exists()

    def test_need_the_permission_to_change(self, client, rows):
        client.force_login(make_clerk("view_setaside"))
        address = reverse("admin:django_enrollments_discard")

        act(client, SetAside, "retry", *rows)
        response = client.post(address, {"keys": str(rows[0].pk), "reason": "x"})

        assert response.status_code == 404
        assert SetAside.objects.filter(state="dead").count() == 1

    @pytest.mark.parametrize("keys", ["", "0", "x", "a\x00b"])
    def test_must_exist(self, keys, admin_client, rows):
        address = reverse("admin:django_enrollments_discard")

        response = admin_client.post(address, {"keys": keys, "reason": "x"})

        assert response.status_code == 404

    def test_are_limited(self, admin_client, rows, monkeypatch):
        monkeypatch.setattr("django_enrollments.admin.feed.EVENTS_CHANGED", 1)

        for name in ("retry", "discard"):
            response = act(admin_client, SetAside, name, *rows)
            assert texts(response)[-1] == "Select at most 1 event."
        assert SetAside.objects.filter(state="dead").count() == 1
