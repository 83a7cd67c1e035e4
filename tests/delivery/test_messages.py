"""The message, as CloudEvents 1.0."""

from __future__ import annotations

import json

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from django_enrollments import api
from django_enrollments.delivery import Message
from django_enrollments.models import EnrollmentEvent
from tests.delivery.consumers import enroll
from tests.factories import course_id_of, make_course


def make_message(position: int = 7) -> Message:
    course = make_course()
    (user,) = enroll(1, course=course)
    api.update_enrollment(user.get_username(), course_id_of(course), is_active=False)
    return Message(position, 1, EnrollmentEvent.objects.latest("pk").as_record())


@pytest.mark.django_db
class TestToCloudevent:
    def test_has_the_attributes_of_the_contract(self):
        message = make_message()
        event = message.event

        sent = message.to_cloudevent()

        key = f"{event.user_id}:{event.course_id}"
        assert {name: sent[name] for name in sent if name != "data"} == {
            "specversion": "1.0",
            "id": str(event.event_id),
            "source": "/enrollments",
            "type": "django_enrollments.enrollment.deactivated.v1",
            "subject": key,
            "partitionkey": key,
            "time": event.to_dict()["time"],
            "datacontenttype": "application/json",
            "sequence": "00000000000000000007",
        }

    def test_is_what_the_library_reads(self, settings):
        settings.ENROLLMENTS_EVENT_SOURCE = "https://lms.example.org/enrollments"
        sent = make_message().to_cloudevent()

        # It raises for attributes that are missing or malformed.
        read = JSONFormat().read(CloudEvent, json.dumps(sent))

        assert read.get_source() == "https://lms.example.org/enrollments"
        assert read.get_id() == sent["id"]
        assert read.get_extension("sequence") == sent["sequence"]
        assert read.get_extension("partitionkey") == sent["partitionkey"]
        assert read.get_data() == sent["data"]

    @pytest.mark.parametrize("personal", [True, False])
    def test_has_personal_data_on_request_alone(self, personal):
        message = make_message()

        data = message.to_cloudevent(personal=personal)["data"]

        everything = message.event.to_dict()
        left_out = set() if personal else {"username", "reason"}
        assert data.keys() == everything.keys() - left_out
        assert all(everything[name] == value for name, value in data.items())
        is_named = message.event.username in json.dumps(data)
        assert is_named is personal

    def test_of_an_erased_event_is_blank(self):
        message = make_message()
        EnrollmentEvent.objects.erase_personal_data(message.event.user_id)
        erased = EnrollmentEvent.objects.latest("pk").as_record()

        data = Message(7, 1, erased).to_cloudevent(personal=True)["data"]

        assert (data["username"], data["reason"]) == ("", "")
