"""
What others change between deciding and writing (B-06, B-07, PERF-02, PERF-05).

A filter stands in for the others: it is asked after the enrollment has been read and
before anything is written.
"""

from __future__ import annotations

from functools import partial

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
from tests.factories import make_course, make_modes, make_user, make_users, username
from tests.watching import event_types, fold, row_of, state_of

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
    """Return a function that lets something happen while the next change is decided."""

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


@in_and_out_of_a_transaction
class TestEnrolling:
    @pytest.fixture
    def course(self, _in_and_out_of_a_transaction):
        course = make_course(max_student_enrollments_allowed=1)
        make_modes(course, "audit", "honor", "verified")
        return course

    @pytest.mark.rule("V1-ENR-28", "B-06")
    def test_who_is_enrolled_meanwhile_is_in(self, course, meanwhile):
        learner = make_user()
        meanwhile(lambda: CourseEnrollment.enroll(learner, COURSE_ID))

        with pytest.raises(CourseEnrollmentExistsError) as refusal:
            api.add_enrollment(username("ada"), COURSE_ID, "honor")

        assert refusal.value.enrollment["mode"] == "audit"
        assert event_types() == ["created"]

    @pytest.mark.rule("V1-ATTR-02")
    def test_nor_does_it_take_attributes(self, course, meanwhile):
        learner = make_user()
        meanwhile(lambda: CourseEnrollment.enroll(learner, COURSE_ID))

        EnrollmentsService().enroll(learner, course, "honor", attributes=[COLOR])

        assert api.get_enrollment_attributes(username("ada"), COURSE_ID) == []

    @pytest.mark.rule("B-06")
    def test_the_service_gives_the_one_that_is_there(self, course, meanwhile):
        learner = make_user()
        meanwhile(lambda: CourseEnrollment.enroll(learner, COURSE_ID))

        row = EnrollmentsService().enroll(learner, course, "honor")

        assert row == row_of(learner, course)
        assert row.mode == "audit"
        assert event_types() == ["created"]

    @pytest.mark.rule("B-06")
    def test_who_came_and_went_meanwhile_comes_back(self, course, meanwhile):
        learner = make_user()

        def come_and_go():
            CourseEnrollment.enroll(learner, COURSE_ID, "verified")
            CourseEnrollment.unenroll(learner, COURSE_ID)

        meanwhile(come_and_go)

        api.add_enrollment(username("ada"), COURSE_ID, "honor")

        assert state_of(learner, course) == fold(user=learner) == ("honor", True)
        assert event_types() == ["created", "deactivated", "activated", "mode_changed"]

    @pytest.mark.rule("B-15")
    def test_the_last_seat_taken_meanwhile_is_taken(self, course, meanwhile):
        learner, other = make_users(2)
        meanwhile(lambda: CourseEnrollment.enroll(other, COURSE_ID))

        with pytest.raises(CourseEnrollmentFullError):
            api.add_enrollment(learner.get_username(), COURSE_ID)

        assert CourseEnrollment.objects.get().user == other

    @pytest.mark.rule("ACC-10")
    def test_an_invitation_used_meanwhile_stays_with_who_used_it(self, meanwhile):
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
        course = make_course()
        make_modes(course, "audit", "honor", "verified")
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        return learner

    @pytest.mark.rule("PERF-05")
    def test_a_mode_is_not_lost_to_who_leaves_meanwhile(self, learner, meanwhile):
        meanwhile(lambda: CourseEnrollment.unenroll(learner, COURSE_ID))

        updated = api.update_enrollment(username("ada"), COURSE_ID, "honor")

        assert (updated["mode"], updated["is_active"]) == ("honor", False)
        assert fold() == ("honor", False)
        assert event_types() == ["created", "deactivated", "mode_changed"]

    @pytest.mark.rule("B-05")
    def test_what_somebody_did_meanwhile_is_not_done_twice(self, learner, meanwhile):
        meanwhile(lambda: CourseEnrollment.unenroll(learner, COURSE_ID))

        updated = api.update_enrollment(username("ada"), COURSE_ID, is_active=False)

        assert updated["is_active"] is False
        assert event_types() == ["created", "deactivated"]

    @pytest.mark.rule("PERF-05")
    def test_a_change_with_attributes_is_made_anew_as_a_whole(self, learner, meanwhile):
        row = CourseEnrollment.objects.get()
        meanwhile(lambda: row.change_mode("verified"))

        api.update_enrollment(
            username("ada"), COURSE_ID, "honor", enrollment_attributes=[COLOR]
        )

        assert fold() == ("honor", True)
        assert api.get_enrollment_attributes(username("ada"), COURSE_ID) == [COLOR]

    def test_changes_that_do_not_end_are_told(self, learner, meanwhile):
        modes = iter(["honor", "audit"] * 50)
        meanwhile(
            lambda: CourseEnrollment.objects.get().change_mode(next(modes)), times=100
        )

        with pytest.raises(CourseEnrollmentError, match="Too many changes at once"):
            api.update_enrollment(username("ada"), COURSE_ID, "verified")

        assert fold() == state_of(learner, CourseEnrollment.objects.get().course)

    def test_retirement_meanwhile_leaves_everybody_out(self, learner, meanwhile):
        meanwhile(lambda: api.unenroll_user_from_all_courses(username("ada")))

        (result,) = api.bulk_enroll(COURSE_ID, [username("ada")], action="unenroll")

        assert result["status"] == "unchanged"
        assert event_types() == ["created", "deactivated"]


@in_and_out_of_a_transaction
class TestBulk:
    @pytest.mark.rule("B-06")
    def test_one_enrolled_meanwhile_spoils_no_batch(self, meanwhile):
        make_course()
        users = make_users(3)
        meanwhile(lambda: CourseEnrollment.enroll(users[2], COURSE_ID, "verified"))

        results = api.bulk_enroll(COURSE_ID, [one.get_username() for one in users])

        assert [one["status"] for one in results] == ["created", "created", "unchanged"]
        assert event_types() == ["created"] * 3


@pytest.mark.django_db(transaction=True)
class TestAUserDeletedMeanwhile:
    """Foreign keys are checked at commit, so there is no transaction around these."""

    def test_is_told_and_nothing_is_left(self, meanwhile):
        make_course()
        learner = make_user()
        meanwhile(lambda: get_user_model().objects.filter(pk=learner.pk).delete())

        with pytest.raises(UserNotFoundError):
            EnrollmentsService().enroll(learner, COURSE_ID)

        assert not CourseEnrollment.objects.exists()
        assert event_types() == []

    @pytest.mark.parametrize(
        "more", [{"enrollment_attributes": [COLOR]}, {"email_opt_in": True}]
    )
    def test_is_noticed_with_what_comes_with_an_enrollment(self, meanwhile, more):
        make_course()
        learner = make_user()
        meanwhile(lambda: get_user_model().objects.filter(pk=learner.pk).delete())

        with pytest.raises(UserNotFoundError):
            enroll_or_change(username("ada"), COURSE_ID, **more)

        assert not CourseEnrollment.objects.exists()
        assert event_types() == []

    def test_is_a_406_over_http(self, meanwhile, client):
        make_course()
        learner = make_user()
        client.force_login(make_user("root", is_staff=True))
        meanwhile(lambda: get_user_model().objects.filter(pk=learner.pk).delete())

        response = client.post(
            "/api/enrollment/v1/enrollment",
            {
                "user": username("ada"),
                "course_details": {"course_id": COURSE_ID},
                "enrollment_attributes": [COLOR],
                "email_opt_in": True,
            },
            "application/json",
        )

        assert response.status_code == 406

    def test_is_noticed_where_attributes_are_set(self, monkeypatch):
        make_course()
        learner = make_user()
        EnrollmentsService().enroll(learner, COURSE_ID)
        write_transaction = data.write_transaction

        def delete_before(using):
            get_user_model().objects.filter(pk=learner.pk).delete()
            return write_transaction(using)

        monkeypatch.setattr(data, "write_transaction", delete_before)

        with pytest.raises(UserNotFoundError):
            api.set_enrollment_attributes(username("ada"), COURSE_ID, [COLOR])

        assert not CourseEnrollmentAttribute.objects.exists()

    def test_spoils_no_batch(self, meanwhile):
        make_course()
        users = make_users(3)
        gone = get_user_model().objects.filter(pk=users[1].pk)
        meanwhile(gone.delete)

        results = api.bulk_enroll(COURSE_ID, [one.get_username() for one in users])

        assert [one["status"] for one in results] == ["created", "error", "created"]
        assert results[1]["code"] == "user_not_found"

    def test_spoils_no_batch_of_those_who_leave(self, meanwhile):
        make_course()
        users = make_users(3)
        names = [one.get_username() for one in users]
        api.bulk_enroll(COURSE_ID, names)
        gone = get_user_model().objects.filter(pk=users[1].pk)
        meanwhile(gone.delete)

        results = api.bulk_enroll(COURSE_ID, names, action="unenroll")

        assert [one["status"] for one in results] == [
            "deactivated",
            "error",
            "deactivated",
        ]
        assert results[1]["code"] == "user_not_found"

    def test_is_noticed_where_an_enrollment_is_changed(self, meanwhile):
        make_modes(make_course(), "audit", "honor")
        learner = make_user()
        calls = [
            partial(api.update_enrollment, username("ada"), COURSE_ID, "honor"),
            partial(api.update_enrollment, username("ada"), COURSE_ID, is_active=False),
            partial(CourseEnrollment.unenroll, learner, COURSE_ID),
            partial(EnrollmentsService().unenroll, learner, COURSE_ID),
            partial(EnrollmentsService().change_mode, learner, COURSE_ID, "honor"),
        ]
        for call in calls:
            learner.save()
            CourseEnrollment.enroll(learner, COURSE_ID, "audit")
            meanwhile(get_user_model().objects.filter(pk=learner.pk).delete)

            with pytest.raises(UserNotFoundError):
                call()

    def test_is_a_406_where_an_enrollment_is_changed(self, meanwhile, client):
        make_course()
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        client.force_login(make_user("root", is_staff=True))
        meanwhile(get_user_model().objects.filter(pk=learner.pk).delete)

        response = client.post(
            "/api/enrollment/v1/enrollment",
            {
                "user": username("ada"),
                "course_details": {"course_id": COURSE_ID},
                "is_active": False,
            },
            "application/json",
        )

        assert response.status_code == 406

    def test_is_told_from_an_enrollment_deleted_meanwhile(self, meanwhile):
        make_course()
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        meanwhile(CourseEnrollment.objects.filter(user=learner.pk).delete)

        with pytest.raises(EnrollmentNotFoundError):
            api.update_enrollment(username("ada"), COURSE_ID, is_active=False)


@in_and_out_of_a_transaction
class TestACourseDeletedMeanwhile:
    @pytest.mark.rule("MDL-01")
    def test_is_left_like_any_other(self, meanwhile):
        course = make_course()
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        meanwhile(get_course_model().objects.filter(pk=course.pk).delete)

        EnrollmentsService().unenroll(learner, course)

        assert event_types() == ["created", "deactivated"]


class CountingEnterprise:
    """An enterprise backend that counts its calls."""

    calls = 0

    def record_enrollment(self, user, course, **details):
        type(self).calls += 1


@pytest.mark.django_db(transaction=True)
def test_the_enterprise_backend_is_called_once_however_often_it_is_judged(
    meanwhile, settings
):
    settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.CountingEnterprise"
    CountingEnterprise.calls = 0
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    learner = make_user()
    service = EnrollmentsService()
    service.enroll(learner, course, "audit")
    meanwhile(lambda: service.change_mode(learner, course, "verified"))

    changed = enroll_or_change(
        username("ada"),
        COURSE_ID,
        mode="honor",
        enterprise_uuid="one",
        by=program(),
    )

    assert changed["mode"] == "honor"
    assert CountingEnterprise.calls == 1
