"""Events and the signals that tell of them (contract §8, B-05, B-06, B-07, B-20)."""

from __future__ import annotations

import dataclasses
import random
import uuid
from contextlib import suppress
from datetime import timezone

import pytest
from django.core import serializers
from django.core.serializers.base import DeserializedObject
from django.db import connection, transaction
from django.test.utils import isolate_apps

from django_enrollments import api, signals
from django_enrollments.context import Origin, attributed, moment, one_call
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
    make_modes,
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
    refused,
    state_of,
)

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


@pytest.fixture
def commit(django_capture_on_commit_callbacks):
    """Return a block at whose end the changes made inside count as committed."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def course():
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    return course


class TestEvents:
    @pytest.mark.rule("B-20", "EVT-01", "EVT-12")
    def test_creating_writes_one_event_with_the_final_state(self, course):
        learner, actor = make_users(2)

        row = EnrollmentsService().enroll(
            learner,
            course,
            "verified",
            actor=actor,
            reason="why",
            enterprise_uuid="acme",
            at=NOON,
        )

        event = EnrollmentEvent.objects.get()
        assert event.type == "created"
        assert (event.mode_before, event.mode_after) == (None, "verified")
        assert (event.active_before, event.active_after) == (None, True)
        assert event.enrollment_id == row.pk
        assert (event.user_id, event.username) == (learner.pk, learner.get_username())
        assert event.course_id == course_id_of(course)
        assert event.time == NOON
        assert (event.actor_id, event.source, event.reason, event.enterprise_uuid) == (
            actor.pk,
            "service",
            "why",
            "acme",
        )
        assert isinstance(event.event_id, uuid.UUID)
        assert str(event) == f"created: {learner.pk}, {COURSE_ID}"

    @pytest.mark.rule("B-20")
    def test_creating_inactive_is_created_and_nothing_else(self, course):
        make_user()

        api.add_enrollment(username("ada"), COURSE_ID, "honor", is_active=False)

        event = EnrollmentEvent.objects.get()
        assert (event.type, event.mode_after, event.active_after) == (
            "created",
            "honor",
            False,
        )

    @pytest.mark.rule("EVT-02")
    def test_each_event_changes_one_thing(self, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID, "verified")
        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)

        api.add_enrollment(username("ada"), COURSE_ID, "honor")

        steps = EnrollmentEvent.objects.order_by("pk").values_list(
            "type", "mode_before", "mode_after", "active_before", "active_after"
        )
        assert list(steps) == [
            ("created", None, "verified", None, True),
            ("deactivated", "verified", "verified", True, False),
            ("activated", "verified", "verified", False, True),
            ("mode_changed", "verified", "honor", True, True),
        ]

    @pytest.mark.rule("EVT-15", "EVT-09")
    def test_moving_there_and_back_is_one_event_each(self, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID)

        for mode in ("honor", "audit", "audit"):
            api.update_enrollment(username("ada"), COURSE_ID, mode)
        for _ in range(2):
            api.update_enrollment(username("ada"), COURSE_ID, is_active=False)

        assert event_types() == [
            "created",
            "mode_changed",
            "mode_changed",
            "deactivated",
        ]

    def test_one_that_changes_while_inactive_stays_so(self, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID, is_active=False)

        api.update_enrollment(username("ada"), COURSE_ID, "honor")

        event = EnrollmentEvent.objects.get(type="mode_changed")
        assert (event.active_before, event.active_after) == (False, False)

    def test_leaving_in_another_mode_is_two_events(self, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID)

        api.update_enrollment(username("ada"), COURSE_ID, "honor", is_active=False)

        assert event_types() == ["created", "deactivated", "mode_changed"]
        assert fold() == ("honor", False)

    def test_folding_any_history_gives_the_row(self, course):
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

        for _ in range(60):
            learner = dice.choice(learners)
            with suppress(CourseEnrollmentError):
                dice.choice(requests)(learner.get_username())

        for learner in learners:
            assert fold(user=learner) == state_of(learner, course)

    def test_two_courses_have_two_histories(self):
        learner = make_user()
        for course_id in ("one", "two"):
            make_course(course_id)
            CourseEnrollment.enroll(learner, course_id)
        CourseEnrollment.unenroll(learner, "one")

        assert fold(course_id="one") == ("audit", False)
        assert fold(course_id="two") == ("audit", True)


class TestAppendOnly:
    @pytest.fixture
    def event(self):
        CourseEnrollment.enroll(make_user(), course_id_of(make_course()))
        return EnrollmentEvent.objects.get()

    def test_saving_again_is_refused(self, event):
        event.reason = "second thoughts"

        with refused(TypeError, match="history"):
            event.save()
        with refused(TypeError, match="history"):
            event.save(update_fields=["reason"])

    def test_saving_over_it_is_refused(self, event):
        forged = EnrollmentEvent(
            pk=event.pk,
            type="created",
            time=NOON,
            enrollment_id=event.enrollment_id,
            user_id=event.user_id,
            username="forged",
            course_id="forged",
            mode_after="audit",
            active_after=True,
            source="api",
        )

        with refused(TypeError, match="history"):
            forged.save()

    def test_deleting_is_refused(self, event):
        with refused(TypeError, match="history"):
            event.delete()
        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.all().delete()
        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.filter(pk=event.pk).delete()

    def test_moving_to_another_enrollment_is_refused(self, event):
        other = EnrollmentsService().enroll(make_user("bob"), make_course("other-1"))

        with refused(TypeError, match="history"):
            other.events.add(event)
        with refused(TypeError, match="history"):
            EnrollmentEvent._base_manager.update(reason="second thoughts")

    def test_updating_is_refused(self, event):
        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.update(reason="second thoughts")
        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.bulk_update([event], ["reason"])
        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.bulk_create(
                [event],
                update_conflicts=True,
                update_fields=["reason"],
                unique_fields=["id"],
            )

    def test_updating_by_positional_arguments_is_refused(self, event):
        event.reason = "second thoughts"
        update = ([event], None, False, True, ["reason"], ["id"])

        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.bulk_create(*update)
        with refused(TypeError, match="history"):
            EnrollmentEvent.objects.update_or_create(
                pk=event.pk, defaults={"reason": "second thoughts"}
            )

    def test_loading_over_it_is_refused(self, event):
        event.reason = "second thoughts"
        dump = serializers.serialize("json", [event])

        for loaded in serializers.deserialize("json", dump):
            with refused(TypeError, match="history"):
                loaded.save()
        with refused(TypeError, match="history"):
            event.save_base()

    @isolate_apps("tests")
    def test_loading_over_it_as_a_proxy_model_is_refused(self, event):
        class Entry(EnrollmentEvent):
            class Meta:
                proxy = True
                app_label = "tests"

        values = EnrollmentEvent.objects.values().get()
        entry = Entry(**{**values, "reason": "second thoughts"})

        with refused(TypeError, match="history"):
            DeserializedObject(entry).save()

    def test_loading_into_an_empty_table_is_not(self, event):
        dump = serializers.serialize("json", [event])
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {EnrollmentEvent._meta.db_table}")  # noqa: S608

        for loaded in serializers.deserialize("json", dump):
            loaded.save()

        assert EnrollmentEvent.objects.get().event_id == event.event_id

    def test_saving_a_new_one_is_not(self, event):
        values = EnrollmentEvent.objects.values().get()
        values = {**values, "id": None, "event_id": uuid.uuid4()}

        EnrollmentEvent(**values).save()
        EnrollmentEvent.objects.bulk_create(
            [EnrollmentEvent(**{**values, "event_id": uuid.uuid4()})]
        )

        assert EnrollmentEvent.objects.count() == 3

    def test_erasure_blanks_name_and_reason_of_one_learner(self):
        ada, bob = make_user("ada"), make_user("bob")
        course = make_course()
        for learner in (ada, bob):
            EnrollmentsService().enroll(learner, course, reason="a private matter")

        erased = EnrollmentEvent.objects.erase_personal_data(ada.pk)

        assert erased == 1
        kept = EnrollmentEvent.objects.get(user=bob)
        blanked = EnrollmentEvent.objects.get(user=ada)
        assert (kept.username, kept.reason) == (username("bob"), "a private matter")
        assert (blanked.username, blanked.reason) == ("", "")
        assert fold(user=ada) == ("audit", True)

    def test_the_history_outlives_enrollment_user_and_course(self, event):
        CourseEnrollment.objects.all().delete()
        event.user.delete()

        assert EnrollmentEvent.objects.values("username", "course_id").get() == {
            "username": username("ada"),
            "course_id": COURSE_ID,
        }


class TestOrigin:
    def test_the_source_of_an_api_call_is_api(self, course):
        make_user()

        api.add_enrollment(username("ada"), COURSE_ID)

        event = EnrollmentEvent.objects.get()
        assert (event.source, event.actor_id, event.reason) == ("api", None, "")

    def test_what_is_attributed_is_remembered(self, course):
        learner, actor = make_users(2)
        name = learner.get_username()

        with attributed(Origin(actor.pk, "rest", "because")):
            api.add_enrollment(name, COURSE_ID)
            api.update_enrollment(name, COURSE_ID, "honor")
            CourseEnrollment.unenroll(learner, COURSE_ID)
        api.update_enrollment(name, COURSE_ID, is_active=True)

        origins = EnrollmentEvent.objects.order_by("pk").values_list(
            "actor", "source", "reason"
        )
        assert list(origins) == [
            (actor.pk, "rest", "because"),
            (actor.pk, "rest", "because"),
            (actor.pk, "rest", "because"),
            (None, "api", ""),
        ]

    def test_model_methods_add_what_they_are_told_to_what_is_attributed(self, course):
        learner, actor, other = make_users(3)

        with attributed(Origin(actor.pk, "admin", "because")):
            CourseEnrollment.enroll(learner, COURSE_ID, reason="by hand")
            CourseEnrollment.unenroll(learner, COURSE_ID, actor=other)
            CourseEnrollment.enroll(learner, COURSE_ID, source="command")

        origins = EnrollmentEvent.objects.order_by("pk").values_list(
            "actor", "source", "reason"
        )
        assert list(origins) == [
            (actor.pk, "admin", "by hand"),
            (other.pk, "admin", "because"),
            (actor.pk, "command", "because"),
        ]

    @pytest.mark.rule("V1-SIDE-08")
    @pytest.mark.parametrize("none", [None, "", "None"])
    def test_these_are_no_enterprise_customer(self, course, none):
        make_user()

        api.add_enrollment(username("ada"), COURSE_ID, enterprise_uuid=none)

        assert EnrollmentEvent.objects.get().enterprise_uuid == ""

    @pytest.mark.rule("V1-SIDE-08")
    def test_a_customer_is_any_text_or_uuid(self, course):
        ada, bob = make_users(2)
        key = uuid.uuid4()

        api.add_enrollment(ada.get_username(), COURSE_ID, enterprise_uuid="acme")
        CourseEnrollment.enroll(bob, COURSE_ID, enterprise_uuid=key)

        customers = EnrollmentEvent.objects.order_by("pk").values_list(
            "enterprise_uuid", flat=True
        )
        assert list(customers) == ["acme", str(key)]


class TestSignals:
    def test_nothing_is_sent_before_the_commit_and_once_after_it(self, course, commit):
        make_user()

        with listening() as heard, commit():
            api.add_enrollment(username("ada"), COURSE_ID)
            before = list(heard)

        assert before == []
        assert [name for name, _ in heard] == ["created"]

    @pytest.mark.rule("EVT-04")
    def test_each_carries_the_instance_and_the_record(self, course, commit):
        learner = make_user()

        with listening() as heard, commit():
            row = EnrollmentsService().enroll(learner, course, at=NOON)

        ((_, carried),) = heard
        assert carried["sender"] is CourseEnrollment
        assert carried["enrollment"] == row
        assert carried["enrollment"].user == learner
        event = carried["event"]
        stored = EnrollmentEvent.objects.get()
        assert isinstance(event, EventRecord)
        names = [field.name for field in dataclasses.fields(event)]
        assert names == [
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
        assert event == stored.as_record()
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.reason = "changed"

    def test_they_come_in_order_one_per_stored_event(self, course, commit):
        make_user()

        with listening() as heard, commit():
            api.add_enrollment(username("ada"), COURSE_ID)
            api.update_enrollment(username("ada"), COURSE_ID, is_active=False)
            api.add_enrollment(username("ada"), COURSE_ID, "honor")

        sent = [carried["event"] for _, carried in heard]
        assert [event.type for event in sent] == [name for name, _ in heard]
        assert sent == [event.as_record() for event in EnrollmentEvent.objects.all()]
        assert [event.type for event in sent] == [
            "created",
            "deactivated",
            "activated",
            "mode_changed",
        ]

    @pytest.mark.rule("EVT-03", "EVT-08")
    @pytest.mark.parametrize("skip_refund", [True, False])
    def test_deactivated_tells_whether_to_skip_the_refund(
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

        assert [carried["skip_refund"] for _, carried in heard] == [skip_refund] * 3

    @pytest.mark.rule("EVT-08")
    def test_only_deactivated_carries_it(self, course, commit):
        make_user()

        with listening() as heard, commit():
            api.add_enrollment(username("ada"), COURSE_ID)
            api.update_enrollment(username("ada"), COURSE_ID, "honor")

        assert all("skip_refund" not in carried for _, carried in heard)

    @pytest.mark.rule("EVT-14")
    def test_a_change_that_rolls_back_is_never_told(self, course, commit):
        make_user()

        def enroll_and_fail():
            with transaction.atomic():
                api.add_enrollment(username("ada"), COURSE_ID)
                raise ZeroDivisionError

        with listening() as heard, commit(), pytest.raises(ZeroDivisionError):
            enroll_and_fail()

        assert heard == []
        assert event_types() == []

    @pytest.mark.rule("EVT-10", "B-05")
    def test_a_request_that_changes_nothing_is_never_told(self, course, commit):
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)

        with listening() as heard, commit(), nothing_written():
            api.update_enrollment(username("ada"), COURSE_ID, "audit", is_active=True)
            EnrollmentsService().enroll(learner, course)
            CourseEnrollment.enroll(learner, COURSE_ID)
            api.bulk_enroll(COURSE_ID, [username("ada")])

        assert heard == []

    @pytest.mark.rule("B-07")
    def test_a_refusal_is_never_told(self, commit):
        make_course(max_student_enrollments_allowed=0)
        make_user()

        with (
            listening() as heard,
            commit(),
            nothing_written(),
            pytest.raises(CourseEnrollmentError),
        ):
            api.add_enrollment(username("ada"), COURSE_ID)

        assert heard == []

    @pytest.mark.rule("EVT-06")
    def test_a_receiver_that_raises_is_logged_and_disturbs_nobody(
        self,
        course,
        commit,
        caplog,
    ):
        make_user()

        def fail(**carried):
            raise RuntimeError("The mail server is down.")

        signals.enrollment_created.connect(fail)
        try:
            with listening() as heard, commit():
                added = api.add_enrollment(username("ada"), COURSE_ID)
                api.update_enrollment(username("ada"), COURSE_ID, "honor")
        finally:
            signals.enrollment_created.disconnect(fail)

        assert added["is_active"]
        assert [name for name, _ in heard] == ["created", "mode_changed"]
        assert "The mail server is down." in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_a_receiver_finds_the_change_stored_and_may_enroll_by_itself(self):
        course = make_course()
        follow_up = make_course("follow-up")
        learner = make_user()
        found = []

        def enroll_in_the_next(enrollment, **carried):
            found.append((moment(), EnrollmentEvent.objects.count()))
            make_mode(follow_up, "verified")
            EnrollmentsService().enroll(enrollment.user, "follow-up", "verified")

        signals.enrollment_created.connect(enroll_in_the_next)
        try:
            with one_call(NOON - 1000 * DAY):
                api.explain_enrollment(username("ada"), "follow-up")
                api.add_enrollment(username("ada"), course_id_of(course))
        finally:
            signals.enrollment_created.disconnect(enroll_in_the_next)

        # Neither what the call had read nor its moment holds for a receiver.
        assert state_of(learner, follow_up) == ("verified", True)
        assert found[0][1] == 1
        assert found[0][0] > NOON - DAY

    @pytest.mark.django_db(transaction=True)
    def test_a_receiver_may_change_the_enrollment_that_was_changed(self):
        course, learner = make_course(), make_user()
        make_modes(course, "audit", "honor", "verified")
        CourseEnrollment.enroll(learner, course_id_of(course))

        def change_again(enrollment, **carried):
            enrollment.change_mode("verified")

        signals.enrollment_mode_changed.connect(change_again)
        try:
            ask(
                make_user("boss", is_staff=True),
                course,
                user=learner.get_username(),
                mode="honor",
            )
        finally:
            signals.enrollment_mode_changed.disconnect(change_again)

        assert state_of(learner, course) == ("verified", True)

    def test_a_filter_may_change_the_enrollment_that_is_about_to_be_changed(
        self, settings
    ):
        course, learner = make_course(), make_user()
        make_modes(course, "audit", "honor", "verified")
        CourseEnrollment.enroll(learner, course_id_of(course))

        def come_back(action, mode="", **context):
            row = CourseEnrollment.objects.get()
            if mode == "honor" and row.mode == "audit":
                row.change_mode("verified")
                row.deactivate()
                row.activate()

        settings.ENROLLMENTS_FILTERS = [come_back]
        response = ask(
            make_user("boss", is_staff=True),
            course,
            user=learner.get_username(),
            mode="honor",
        )

        assert response.status_code == 200
        assert state_of(learner, course) == ("honor", True)
        assert event_types() == [
            "created",
            "mode_changed",
            "deactivated",
            "activated",
            "mode_changed",
        ]

    @pytest.mark.django_db(transaction=True)
    def test_without_a_transaction_of_the_hosts_each_call_tells_at_once(self):
        make_course()
        make_user()

        with listening() as heard:
            api.add_enrollment(username("ada"), COURSE_ID)
            told = len(heard)
            api.unenroll_user_from_all_courses(username("ada"))

        assert told == 1
        assert [name for name, _ in heard] == ["created", "deactivated"]

    def test_bulk_tells_one_by_one_in_order(self, course, commit):
        names = [user.get_username() for user in make_users(5)]

        with listening() as heard, commit():
            api.bulk_enroll(COURSE_ID, names)

        assert [carried["event"].username for _, carried in heard] == names
        for _, carried in heard:
            assert carried["enrollment"].pk is not None
            assert carried["enrollment"].user_id == carried["event"].user_id

    def test_the_time_of_a_record_is_aware(self, course, commit):
        make_user()

        with listening() as heard, commit():
            api.add_enrollment(username("ada"), COURSE_ID)

        assert heard[0][1]["event"].time.tzinfo is not None
        assert EnrollmentEvent.objects.get().as_record().time.tzinfo == timezone.utc

    @pytest.mark.rule("ACC-10")
    def test_using_up_an_invitation_is_no_event_of_its_own(self, course):
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=COURSE_ID
        )

        CourseEnrollment.enroll(make_user(), COURSE_ID)

        assert event_types() == ["created"]
