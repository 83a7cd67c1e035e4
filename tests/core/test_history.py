"""The events of the history, and the signals that are sent with them."""

from __future__ import annotations

import dataclasses
import json
import random
import uuid
from contextlib import contextmanager, suppress
from datetime import timezone

import pytest
from django.core import serializers
from django.core.serializers.base import DeserializedObject
from django.db import connection, transaction
from django.test.utils import isolate_apps

from django_enrollments import api, signals
from django_enrollments.context import Origin, call_context, moment, override_origin
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import EventRecord
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.http import ask
from tests.watching import (
    event_types,
    fold,
    listening,
    nothing_written,
    raises_without_writes,
    state_of,
)

pytestmark = pytest.mark.django_db

ADA = username("ada")
KEY = uuid.UUID(int=7)
MODES = ("audit", "honor", "verified")
COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


@pytest.fixture
def commit(django_capture_on_commit_callbacks):
    """Return a block at whose end its changes count as committed."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def course(db):
    return make_course(modes=MODES)


def add(*args, **options):
    return api.add_enrollment(ADA, COURSE_ID, *args, **options)


def change(*args, **options):
    return api.update_enrollment(ADA, COURSE_ID, *args, **options)


def origins():
    """List actor, source and reason of the stored events."""
    events = EnrollmentEvent.objects.order_by("pk")
    return list(events.values_list("actor", "source", "reason"))


@contextmanager
def connected(signal, receiver):
    """Connect a receiver to a signal for a block."""
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


class TestEvents:
    @pytest.mark.rule("B-20", "EVT-01", "EVT-12")
    @pytest.mark.parametrize("is_active", [True, False])
    def test_of_a_new_enrollment_is_one_with_the_final_state(self, course, is_active):
        learner, actor = make_users(2)

        with override_origin(Origin(actor.pk, "rest", "because")), call_context(NOON):
            api.add_enrollment(
                learner.get_username(),
                COURSE_ID,
                "verified",
                is_active,
                enterprise_uuid="acme",
            )

        event = EnrollmentEvent.objects.get()
        row = CourseEnrollment.objects.get()
        assert isinstance(event.event_id, uuid.UUID)
        assert str(event) == f"created: {learner.pk}, {COURSE_ID}"
        assert {
            field.attname: getattr(event, field.attname)
            for field in event._meta.concrete_fields
            if field.name not in {"id", "event_id", "position"}
        } == {
            "type": "created",
            "time": NOON,
            "enrollment_id": row.pk,
            "user_id": learner.pk,
            "username": learner.get_username(),
            "course_id": course_id_of(course),
            "mode_before": None,
            "mode_after": "verified",
            "active_before": None,
            "active_after": is_active,
            "actor_id": actor.pk,
            "source": "rest",
            "reason": "because",
            "enterprise_uuid": "acme",
        }

    @pytest.mark.rule("EVT-02", "EVT-15", "EVT-09")
    def test_change_one_thing_each_and_there_and_back(self, ada, course):
        add("verified")
        change(is_active=False)
        change(is_active=False)
        add("honor")
        change("audit")
        change("audit")
        change("honor", is_active=False)
        change("audit")

        steps = EnrollmentEvent.objects.order_by("pk").values_list(
            "type", "mode_before", "mode_after", "active_before", "active_after"
        )
        assert list(steps) == [
            ("created", None, "verified", None, True),
            ("deactivated", "verified", "verified", True, False),
            ("activated", "verified", "verified", False, True),
            ("mode_changed", "verified", "honor", True, True),
            ("mode_changed", "honor", "audit", True, True),
            ("deactivated", "audit", "audit", True, False),
            ("mode_changed", "audit", "honor", False, False),
            ("mode_changed", "honor", "audit", False, False),
        ]
        assert fold() == ("audit", False)

    def test_add_up_to_the_row(self, course):
        # The same on every run.
        dice = random.Random(20260304)  # noqa: S311 - no secret.
        learners = make_users(3)
        requests = [
            lambda name: api.add_enrollment(name, COURSE_ID),
            lambda name: api.add_enrollment(name, COURSE_ID, "verified"),
            lambda name: api.add_enrollment(name, COURSE_ID, "honor", is_active=False),
            lambda name: api.update_enrollment(name, COURSE_ID, "honor"),
            lambda name: api.update_enrollment(name, COURSE_ID, is_active=False),
            lambda name: api.update_enrollment(name, COURSE_ID, "audit", True),
            lambda name: api.bulk_enroll(COURSE_ID, [name], mode="verified"),
            lambda name: api.bulk_enroll(COURSE_ID, [name], action="unenroll"),
            api.unenroll_user_from_all_courses,
        ]
        other = make_course("other")
        for learner in learners:
            CourseEnrollment.enroll(learner, "other")

        for _ in range(60):
            learner = dice.choice(learners)
            with suppress(CourseEnrollmentError):
                dice.choice(requests)(learner.get_username())

        for learner in learners:
            for one in (course, other):
                history = fold(user=learner, course_id=course_id_of(one))
                assert history == state_of(learner, one)

    @pytest.mark.rule("ACC-10")
    def test_are_not_made_for_using_an_invitation(self, ada, course):
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=COURSE_ID
        )

        CourseEnrollment.enroll(ada, COURSE_ID)

        assert event_types() == ["created"]


class TestAppendOnly:
    @pytest.fixture
    def event(self, ada, course):
        CourseEnrollment.enroll(ada, COURSE_ID)
        return EnrollmentEvent.objects.get()

    @isolate_apps("tests")
    def test_refuses_every_change_of_an_event(self, event):
        class Entry(EnrollmentEvent):
            class Meta:
                proxy = True
                app_label = "tests"

        other = EnrollmentsService().enroll(make_user("bob"), make_course("other-1"))
        values = {
            **EnrollmentEvent.objects.filter(pk=event.pk).values().get(),
            "reason": "changed",
        }
        events = EnrollmentEvent.objects
        event.reason = "changed"
        (loaded,) = serializers.deserialize(
            "json", serializers.serialize("json", [event])
        )

        for change_it in (
            event.save,
            lambda: event.save(update_fields=["reason"]),
            event.save_base,
            event.delete,
            loaded.save,
            EnrollmentEvent(**values).save,
            DeserializedObject(Entry(**values)).save,
            events.all().delete,
            events.filter(pk=event.pk).delete,
            lambda: events.update(reason="changed"),
            lambda: EnrollmentEvent._base_manager.update(reason="changed"),
            lambda: other.events.add(event),
            lambda: events.bulk_update([event], ["reason"]),
            lambda: events.bulk_create(
                [event],
                update_conflicts=True,
                update_fields=["reason"],
                unique_fields=["id"],
            ),
            lambda: events.bulk_create([event], None, False, True, ["reason"], ["id"]),
            lambda: events.update_or_create(
                pk=event.pk, defaults={"reason": "changed"}
            ),
        ):
            with raises_without_writes(TypeError, match="history"):
                change_it()

    def test_takes_new_events_and_a_dump_into_an_empty_table(self, event):
        dump = serializers.serialize("json", [event])
        values = {**EnrollmentEvent.objects.values().get(), "id": None}

        EnrollmentEvent(**{**values, "event_id": uuid.uuid4()}).save()
        EnrollmentEvent.objects.bulk_create(
            [EnrollmentEvent(**{**values, "event_id": uuid.uuid4()})]
        )
        assert EnrollmentEvent.objects.count() == 3

        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {EnrollmentEvent._meta.db_table}")  # noqa: S608
        for loaded in serializers.deserialize("json", dump):
            loaded.save()
        assert EnrollmentEvent.objects.get().event_id == event.event_id

    def test_erases_name_and_reason_of_one_learner(self, course):
        ada, bob = make_user("ada"), make_user("bob")
        for learner in (ada, bob):
            EnrollmentsService().enroll(learner, course, reason="a private matter")

        erased = EnrollmentEvent.objects.erase_personal_data(ada.pk)

        assert erased == 1
        kept = EnrollmentEvent.objects.get(user=bob)
        blanked = EnrollmentEvent.objects.get(user=ada)
        assert (kept.username, kept.reason) == (username("bob"), "a private matter")
        assert (blanked.username, blanked.reason) == ("", "")
        assert fold(user=ada) == ("audit", True)

    def test_outlives_enrollment_user_and_course(self, event, course):
        CourseEnrollment.objects.all().delete()
        event.user.delete()
        course.delete()

        assert EnrollmentEvent.objects.values("username", "course_id").get() == {
            "username": ADA,
            "course_id": COURSE_ID,
        }


class TestOrigin:
    def test_is_the_api_or_the_attributed_one(self, course):
        learner, actor = make_users(2)
        name = learner.get_username()

        with override_origin(Origin(actor.pk, "rest", "because")):
            api.add_enrollment(name, COURSE_ID)
            api.update_enrollment(name, COURSE_ID, "honor")
            CourseEnrollment.unenroll(learner, COURSE_ID)
        api.update_enrollment(name, COURSE_ID, is_active=True)

        assert origins() == [(actor.pk, "rest", "because")] * 3 + [(None, "api", "")]

    def test_is_the_attributed_one_with_arguments_of_methods(self, course):
        learner, actor, other = make_users(3)

        with override_origin(Origin(actor.pk, "admin", "because")):
            CourseEnrollment.enroll(learner, COURSE_ID, reason="by hand")
            CourseEnrollment.unenroll(learner, COURSE_ID, actor=other)
            CourseEnrollment.enroll(learner, COURSE_ID, source="command")

        assert origins() == [
            (actor.pk, "admin", "by hand"),
            (other.pk, "admin", "because"),
            (actor.pk, "command", "because"),
        ]

    @pytest.mark.rule("V1-SIDE-08")
    @pytest.mark.parametrize(
        ("given", "stored"),
        [(None, ""), ("", ""), ("None", ""), ("acme", "acme"), (KEY, str(KEY))],
    )
    def test_has_an_enterprise_customer_of_any_text_or_uuid(
        self, ada, course, given, stored
    ):
        add(enterprise_uuid=given)

        assert EnrollmentEvent.objects.get().enterprise_uuid == stored


class TestSignals:
    @pytest.mark.rule("EVT-04")
    def test_are_sent_once_after_commit_with_instance_and_record(
        self, ada, course, commit
    ):
        with listening() as heard, commit():
            row = EnrollmentsService().enroll(ada, course, at=NOON)
            assert heard == []

        ((name, sent),) = heard
        event = sent["event"]
        assert name == "created"
        assert sent["sender"] is CourseEnrollment
        assert sent["enrollment"] == row
        assert sent["enrollment"].user == ada
        assert isinstance(event, EventRecord)
        assert [field.name for field in dataclasses.fields(event)] == [
            "event_id",
            "type",
            "time",
            "user_id",
            "username",
            "course_id",
            "mode_before",
            "mode_after",
            "active_before",
            "active_after",
            "actor_id",
            "source",
            "reason",
            "enterprise_uuid",
        ]
        assert event == EnrollmentEvent.objects.get().as_record()
        assert event.time.tzinfo == timezone.utc
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.reason = "changed"

    def test_have_a_record_that_json_can_hold(self, course, commit):
        learner, actor = make_users(2)

        with listening() as heard, commit():
            EnrollmentsService().enroll(
                learner, course, actor=actor, source="shop", at=NOON
            )

        event = heard[0][1]["event"]
        plain = event.to_dict()
        assert json.loads(json.dumps(plain)) == plain
        assert plain.keys() == {field.name for field in dataclasses.fields(EventRecord)}
        assert uuid.UUID(plain["event_id"]) == event.event_id
        assert (plain["time"], plain["source"]) == ("2026-03-04T12:00:00Z", "shop")
        keys = [str(plain["user_id"]), str(plain["actor_id"])]
        assert keys == [str(learner.pk), str(actor.pk)]

    @pytest.mark.rule("EVT-08")
    def test_are_sent_in_order_one_for_each_event(self, ada, course, commit):
        with listening() as heard, commit():
            add()
            change(is_active=False)
            add("honor")

        sent = [one["event"] for _, one in heard]
        assert sent == [event.as_record() for event in EnrollmentEvent.objects.all()]
        assert [name for name, _ in heard] == [event.type for event in sent]
        assert [(name, "skip_refund" in one) for name, one in heard] == [
            ("created", False),
            ("deactivated", True),
            ("activated", False),
            ("mode_changed", False),
        ]

    @pytest.mark.rule("EVT-03", "EVT-08")
    @pytest.mark.parametrize("skip_refund", [True, False])
    def test_of_deactivation_have_whether_to_skip_the_refund(
        self, course, commit, skip_refund
    ):
        learners = make_users(3)
        for learner in learners:
            CourseEnrollment.enroll(learner, COURSE_ID)

        with listening() as heard, commit():
            CourseEnrollment.unenroll(learners[0], COURSE_ID, skip_refund=skip_refund)
            EnrollmentsService().unenroll(learners[1], course, skip_refund=skip_refund)
            api.bulk_enroll(
                COURSE_ID,
                [learners[2].get_username()],
                action="unenroll",
                skip_refund=skip_refund,
            )

        assert [sent["skip_refund"] for _, sent in heard] == [skip_refund] * 3

    @pytest.mark.rule("EVT-14")
    def test_are_not_sent_for_a_change_that_rolls_back(self, ada, course, commit):
        with listening() as heard, commit(), transaction.atomic():
            add()
            transaction.set_rollback(True)

        assert heard == []
        assert event_types() == []

    @pytest.mark.rule("EVT-10", "B-05", "B-07")
    def test_are_not_sent_where_nothing_changes_or_is_refused(
        self, ada, course, commit
    ):
        CourseEnrollment.enroll(ada, COURSE_ID)
        make_course("full", max_student_enrollments_allowed=0)

        with listening() as heard, commit(), nothing_written():
            change("audit", is_active=True)
            EnrollmentsService().enroll(ada, course)
            CourseEnrollment.enroll(ada, COURSE_ID)
            api.bulk_enroll(COURSE_ID, [ADA])
            with pytest.raises(CourseEnrollmentError):
                api.add_enrollment(ADA, "full")

        assert heard == []

    @pytest.mark.rule("EVT-06")
    def test_are_sent_in_spite_of_a_receiver_that_raises(
        self, ada, course, commit, caplog
    ):
        def fail(**sent):
            raise RuntimeError("The mail server is down.")

        failing = connected(signals.enrollment_created, fail)
        with failing, listening() as heard, commit():
            added = add()
            change("honor")

        assert added["is_active"]
        assert [name for name, _ in heard] == ["created", "mode_changed"]
        assert "The mail server is down." in caplog.text

    def test_are_sent_for_each_row_of_a_bulk_in_order(self, course, commit):
        names = [user.get_username() for user in make_users(5)]

        with listening() as heard, commit():
            api.bulk_enroll(COURSE_ID, names)

        assert [sent["event"].username for _, sent in heard] == names
        for _, sent in heard:
            assert sent["enrollment"].pk is not None
            assert sent["enrollment"].user_id == sent["event"].user_id

    @pytest.mark.django_db(transaction=True)
    def test_are_sent_at_the_end_of_each_call_outside_a_transaction(self):
        make_course()
        make_user()

        with listening() as heard:
            add()
            sent = len(heard)
            api.unenroll_user_from_all_courses(ADA)

        assert sent == 1
        assert [name for name, _ in heard] == ["created", "deactivated"]

    @pytest.mark.django_db(transaction=True)
    def test_let_a_receiver_read_and_enroll_by_itself(self):
        make_course()
        follow_up = make_course("follow-up")
        learner = make_user()
        found = []

        def enroll_in_the_next(enrollment, **sent):
            found.append((moment(), EnrollmentEvent.objects.count()))
            make_mode(follow_up, "verified")
            EnrollmentsService().enroll(enrollment.user, "follow-up", "verified")

        enrolling = connected(signals.enrollment_created, enroll_in_the_next)
        with enrolling, call_context(NOON - 1000 * DAY):
            api.explain_enrollment(ADA, "follow-up")
            add()

        # Neither what the call had read nor its moment holds for a receiver.
        assert state_of(learner, follow_up) == ("verified", True)
        assert found[0][1] == 1
        assert found[0][0] > NOON - DAY

    @pytest.mark.django_db(transaction=True)
    def test_let_a_receiver_change_the_enrollment_again(self):
        course, learner = make_course(modes=MODES), make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)

        def change_again(enrollment, **sent):
            enrollment.change_mode("verified")

        with connected(signals.enrollment_mode_changed, change_again):
            boss = make_user("boss", is_staff=True)
            ask(boss, course, user=learner.get_username(), mode="honor")

        assert state_of(learner, course) == ("verified", True)


def test_a_filter_may_change_the_enrollment_that_is_about_to_be_changed(
    settings, ada, course
):
    CourseEnrollment.enroll(ada, COURSE_ID)

    def come_back(action, mode="", **context):
        row = CourseEnrollment.objects.get()
        if mode == "honor" and row.mode == "audit":
            row.change_mode("verified")
            row.deactivate()
            row.activate()

    settings.ENROLLMENTS_FILTERS = [come_back]
    boss = make_user("boss", is_staff=True)
    response = ask(boss, course, user=ADA, mode="honor")

    assert response.status_code == 200
    assert state_of(ada, course) == ("honor", True)
    assert event_types() == [
        "created",
        "mode_changed",
        "deactivated",
        "activated",
        "mode_changed",
    ]
