"""A host's own word for where a change comes from, and events for its queues (§8)."""

from __future__ import annotations

import json
import uuid

import pytest

from django_enrollments.context import origin_of
from django_enrollments.models import EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import EventRecord, enrollment_created
from tests.factories import NOON, make_course, make_user

pytestmark = pytest.mark.django_db


class TestSource:
    @pytest.mark.parametrize("source", ["s", "a-b_9", "w" * 32])
    def test_may_be_a_word_of_the_hosts(self, source):
        EnrollmentsService().enroll(make_user(), make_course(), source=source)
        assert EnrollmentEvent.objects.get().source == source

    @pytest.mark.parametrize(
        "source", ["", "w" * 33, "Shop", "a b", "a.b", "\u00e9", "shop\n", 5, ["shop"]]
    )
    def test_must_be_a_plain_word(self, source):
        with pytest.raises(ValueError, match="is no source"):
            origin_of(source=source)


class TestToDict:
    def test_gives_what_json_holds(self, django_capture_on_commit_callbacks):
        heard = []

        def hear(sender, event, **kwargs):
            heard.append(event)

        ada, bob = make_user("ada"), make_user("bob")
        enrollment_created.connect(hear)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                EnrollmentsService().enroll(
                    ada, make_course(), actor=bob, source="shop", at=NOON
                )
        finally:
            enrollment_created.disconnect(hear)
        (event,) = heard
        told = event.to_dict()
        assert json.loads(json.dumps(told)) == told
        assert uuid.UUID(told["event_id"]) == event.event_id
        assert told["time"] == "2026-03-04T12:00:00Z"
        assert [str(told["user_id"]), str(told["actor_id"])] == [
            str(ada.pk),
            str(bob.pk),
        ]
        assert (told["source"], told["actor_id"] is None) == ("shop", False)
        assert told.keys() == EventRecord.__dataclass_fields__.keys()
