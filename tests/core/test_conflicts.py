"""
Changes by others between deciding and writing.

A filter makes them: it is called after the enrollment has been read and before anything
is written.
"""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from django_enrollments import api, data
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
    EnrollmentNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.enrolling import enroll_or_change, program
from tests.factories import make_course, make_user, make_users, username
from tests.watching import event_types, fold, row_of, state_of

ADA = username("ada")
COURSE_ID = "course-v1:edX+DemoX+Demo_Course"

COLOR = {"namespace": "host", "name": "color", "value": "red"}


@pytest.fixture(
    params=[
        pytest.param("caller's transaction", marks=pytest.mark.django_db),
        pytest.param("autocommit", marks=pytest.mark.django_db(transaction=True)),
    ]
)
def _in_and_out_of_a_transaction():
    """Run a test twice; the marks of the parameters make the difference."""


in_and_out_of_a_transaction = pytest.mark.usefixtures("_in_and_out_of_a_transaction")


@pytest.fixture
def meanwhile(settings):
    """Return a function whose argument is called while the next change is decided."""

    def arrange(happen, times=1):
        left = [times]

        def interfere(action, **context):
            if left[0] > 0 and action != "queryset":
                left[0] -= 1
                filters = settings.ENROLLMENTS_FILTERS
                settings.ENROLLMENTS_FILTERS = []
                happen()
                settings.ENROLLMENTS_FILTERS = filters

        settings.ENROLLMENTS_FILTERS = [interfere]

    return arrange


def delete(user):
    """Return a function that deletes a user."""
    return get_user_model().objects.filter(pk=user.pk).delete


@in_and_out_of_a_transaction
class TestEnrolling:
    @pytest.fixture
    def course(self, _in_and_out_of_a_transaction):
        return make_course(
            max_student_enrollments_allowed=1, modes=["audit", "honor", "verified"]
        )

    @pytest.mark.rule("V1-ENR-28", "B-06", "V1-ATTR-02")
    @pytest.mark.parametrize("by_service", [False, True])
    def test_finds_a_learner_who_is_enrolled_meanwhile(
        self, ada, course, meanwhile, by_service
    ):
        meanwhile(lambda: CourseEnrollment.enroll(ada, COURSE_ID))

        if by_service:
            row = EnrollmentsService().enroll(ada, course, "honor", attributes=[COLOR])
            assert row == row_of(ada, course)
        else:
            with pytest.raises(CourseEnrollmentExistsError) as refusal:
                api.add_enrollment(ADA, COURSE_ID, "honor")
            assert refusal.value.enrollment["mode"] == "audit"

        assert state_of(ada, course) == ("audit", True)
        assert event_types() == ["created"]
        assert api.get_enrollment_attributes(ADA, COURSE_ID) == []

    @pytest.mark.rule("B-06")
    def test_enrolls_again_a_learner_who_left_meanwhile(self, ada, course, meanwhile):
        def come_and_go():
            CourseEnrollment.enroll(ada, COURSE_ID, "verified")
            CourseEnrollment.unenroll(ada, COURSE_ID)

        meanwhile(come_and_go)

        api.add_enrollment(ADA, COURSE_ID, "honor")

        assert state_of(ada, course) == fold(user=ada) == ("honor", True)
        assert event_types() == ["created", "deactivated", "activated", "mode_changed"]

    @pytest.mark.rule("B-15")
    def test_refuses_the_last_seat_if_it_is_taken_meanwhile(self, course, meanwhile):
        learner, other = make_users(2)
        meanwhile(lambda: CourseEnrollment.enroll(other, COURSE_ID))

        with pytest.raises(CourseEnrollmentFullError):
            api.add_enrollment(learner.get_username(), COURSE_ID)

        assert CourseEnrollment.objects.get().user == other

    @pytest.mark.rule("B-06")
    def test_of_one_learner_meanwhile_fails_no_row_of_a_bulk(self, meanwhile):
        make_course("bulk")
        users = make_users(3)
        meanwhile(lambda: CourseEnrollment.enroll(users[2], "bulk", "verified"))

        results = api.bulk_enroll("bulk", [one.get_username() for one in users])

        assert [one["status"] for one in results] == ["created", "created", "unchanged"]
        assert event_types() == ["created"] * 3

    @pytest.mark.rule("ACC-10")
    def test_refuses_an_invitation_that_is_used_meanwhile(self, meanwhile):
        course = make_course("invited", invitation_only=True)
        learner, other = make_users(2)
        invitation = CourseEnrollmentAllowed.objects.create(
            email=learner.email, course_id="invited"
        )
        unused = CourseEnrollmentAllowed.objects.filter(pk=invitation.pk)
        meanwhile(lambda: unused.update(user=other))

        with pytest.raises(CourseEnrollmentError):
            EnrollmentsService().enroll(learner, course)

        assert not CourseEnrollment.objects.exists()
        invitation.refresh_from_db()
        assert invitation.user == other


@in_and_out_of_a_transaction
class TestChanging:
    @pytest.fixture
    def learner(self, _in_and_out_of_a_transaction):
        make_course(modes=["audit", "honor", "verified"])
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        return learner

    @pytest.mark.rule("PERF-05")
    def test_the_mode_keeps_a_deactivation(self, learner, meanwhile):
        meanwhile(lambda: CourseEnrollment.unenroll(learner, COURSE_ID))

        updated = api.update_enrollment(ADA, COURSE_ID, "honor")

        assert (updated["mode"], updated["is_active"]) == ("honor", False)
        assert fold() == ("honor", False)
        assert event_types() == ["created", "deactivated", "mode_changed"]

    @pytest.mark.rule("B-05")
    def test_to_a_state_that_is_there_writes_nothing(self, learner, meanwhile):
        meanwhile(lambda: CourseEnrollment.unenroll(learner, COURSE_ID))

        updated = api.update_enrollment(ADA, COURSE_ID, is_active=False)

        assert updated["is_active"] is False
        assert event_types() == ["created", "deactivated"]

    @pytest.mark.rule("PERF-05")
    def test_mode_and_attributes_is_repeated_as_a_whole(self, learner, meanwhile):
        row = CourseEnrollment.objects.get()
        meanwhile(lambda: row.change_mode("verified"))

        api.update_enrollment(ADA, COURSE_ID, "honor", enrollment_attributes=[COLOR])

        assert fold() == ("honor", True)
        assert api.get_enrollment_attributes(ADA, COURSE_ID) == [COLOR]

    def test_is_refused_after_too_many_conflicts(self, learner, meanwhile):
        modes = iter(["honor", "audit"] * 50)
        meanwhile(
            lambda: CourseEnrollment.objects.get().change_mode(next(modes)), times=100
        )

        with pytest.raises(CourseEnrollmentError, match="Too many changes at once"):
            api.update_enrollment(ADA, COURSE_ID, "verified")

        assert fold() == state_of(learner, CourseEnrollment.objects.get().course)

    def test_by_bulk_finds_a_learner_who_is_retired(self, learner, meanwhile):
        meanwhile(lambda: api.unenroll_user_from_all_courses(ADA))

        (result,) = api.bulk_enroll(COURSE_ID, [ADA], action="unenroll")

        assert result["status"] == "unchanged"
        assert event_types() == ["created", "deactivated"]


def post(client, **fields):
    client.force_login(make_user("root", is_staff=True))
    body = {"user": ADA, "course_details": {"course_id": COURSE_ID}, **fields}
    return client.post("/api/enrollment/v1/enrollment", body, "application/json")


@pytest.mark.django_db(transaction=True)
class TestDeletedUser:
    """Foreign keys are checked at commit, so there is no transaction around these."""

    @pytest.mark.parametrize(
        "enroll",
        [
            lambda user: EnrollmentsService().enroll(user, COURSE_ID),
            lambda user: enroll_or_change(
                ADA, COURSE_ID, enrollment_attributes=[COLOR]
            ),
            lambda user: enroll_or_change(ADA, COURSE_ID, email_opt_in=True),
        ],
    )
    def test_is_not_enrolled(self, ada, course, meanwhile, enroll):
        meanwhile(delete(ada))

        with pytest.raises(UserNotFoundError):
            enroll(ada)

        assert not CourseEnrollment.objects.exists()
        assert event_types() == []

    def test_is_found_to_be_gone_where_attributes_are_set(
        self, ada, course, monkeypatch
    ):
        EnrollmentsService().enroll(ada, COURSE_ID)
        write_transaction = data.write_transaction

        def delete_before(using):
            delete(ada)()
            return write_transaction(using)

        monkeypatch.setattr(data, "write_transaction", delete_before)

        with pytest.raises(UserNotFoundError):
            api.set_enrollment_attributes(ADA, COURSE_ID, [COLOR])

        assert not CourseEnrollmentAttribute.objects.exists()

    @pytest.mark.parametrize(
        "change",
        [
            lambda user: api.update_enrollment(ADA, COURSE_ID, "honor"),
            lambda user: api.update_enrollment(ADA, COURSE_ID, is_active=False),
            lambda user: CourseEnrollment.unenroll(user, COURSE_ID),
            lambda user: EnrollmentsService().unenroll(user, COURSE_ID),
            lambda user: EnrollmentsService().change_mode(user, COURSE_ID, "honor"),
        ],
    )
    def test_is_found_to_be_gone_where_an_enrollment_is_changed(
        self, ada, meanwhile, change
    ):
        make_course(modes=["audit", "honor"])
        CourseEnrollment.enroll(ada, COURSE_ID)
        meanwhile(delete(ada))

        with pytest.raises(UserNotFoundError):
            change(ada)

    @pytest.mark.parametrize("is_active", [None, False])
    def test_is_a_406_over_http(self, ada, course, meanwhile, client, is_active):
        if is_active is None:
            fields = {"enrollment_attributes": [COLOR], "email_opt_in": True}
        else:
            CourseEnrollment.enroll(ada, COURSE_ID)
            fields = {"is_active": False}
        meanwhile(delete(ada))

        assert post(client, **fields).status_code == 406

    @pytest.mark.parametrize("action", ["enroll", "unenroll"])
    def test_fails_no_other_row_of_a_bulk(self, course, meanwhile, action):
        users = make_users(3)
        names = [one.get_username() for one in users]
        if action == "unenroll":
            api.bulk_enroll(COURSE_ID, names)
        meanwhile(delete(users[1]))

        results = api.bulk_enroll(COURSE_ID, names, action=action)

        done = {"enroll": "created", "unenroll": "deactivated"}[action]
        assert [one["status"] for one in results] == [done, "error", done]
        assert results[1]["code"] == "user_not_found"


@pytest.mark.django_db(transaction=True)
def test_a_deleted_enrollment_is_not_found(ada, course, meanwhile):
    CourseEnrollment.enroll(ada, COURSE_ID)
    meanwhile(CourseEnrollment.objects.filter(user=ada.pk).delete)

    with pytest.raises(EnrollmentNotFoundError):
        api.update_enrollment(ADA, COURSE_ID, is_active=False)


@pytest.mark.rule("MDL-01")
@in_and_out_of_a_transaction
def test_a_deleted_course_can_be_left(ada, course, meanwhile):
    CourseEnrollment.enroll(ada, COURSE_ID)
    meanwhile(get_course_model().objects.filter(pk=course.pk).delete)

    EnrollmentsService().unenroll(ada, course)

    assert event_types() == ["created", "deactivated"]


class CountingEnterprise:
    """An enterprise backend that counts its calls."""

    calls = 0

    def record_enrollment(self, user, course, **details):
        type(self).calls += 1


@pytest.mark.django_db(transaction=True)
def test_the_enterprise_backend_is_called_once_for_all_attempts(meanwhile, settings):
    settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.CountingEnterprise"
    CountingEnterprise.calls = 0
    course = make_course(modes=["audit", "honor", "verified"])
    learner = make_user()
    service = EnrollmentsService()
    service.enroll(learner, course, "audit")
    meanwhile(lambda: service.change_mode(learner, course, "verified"))

    changed = enroll_or_change(
        ADA, COURSE_ID, mode="honor", enterprise_uuid="one", by=program()
    )

    assert changed["mode"] == "honor"
    assert CountingEnterprise.calls == 1
