"""What follows when users, courses and modes are saved."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.core.serializers import deserialize, serialize
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models.signals import post_save

from django_enrollments import api
from django_enrollments.apps import connect_receivers
from django_enrollments.datetimes import now
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    DAY,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
)
from tests.processes.calls import without_waiting
from tests.watching import listening, veto

ADDRESS = "ada@example.org"


def invite(course, email=ADDRESS, **fields):
    """Invite an address to a course, to be enrolled as soon as its account appears."""
    course_id = course if isinstance(course, str) else course_id_of(course)
    fields.setdefault("auto_enroll", True)
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=course_id, **fields
    )


def is_in(user, course):
    return EnrollmentsService().is_enrolled(user, course)


def change(user, update_fields=None, **values):
    """Save a user with other values."""
    for name, value in values.items():
        setattr(user, name, value)
    user.save(update_fields=update_fields)


def within(is_within):
    """Return a transaction, or a block without one."""
    return transaction.atomic() if is_within else nullcontext()


def fail(action, **context):
    raise ConnectionError("ada@example.org")


def fail_in_the_database(action, **context):
    get_user_model().objects.create(pk=context["user"].pk)


def veto_unless_open(action, course=None, **context):
    if course_id_of(course) != "open":
        veto(action)


class FailingBackend:
    """A permission backend that cannot be reached."""

    def has_perm(self, user, perm, course=None):
        raise ConnectionError(ADDRESS)


@pytest.mark.django_db
class TestNewAccount:
    @pytest.mark.rule("ACC-13")
    def test_is_enrolled_by_its_invitations_with_a_history(self):
        courses = [
            make_course("django-101", modes=["honor", "verified"]),
            make_course("edX/DemoX/2014T2", enrollment_end=now() - DAY),
            make_course("invited", invitation_only=True),
        ]
        invitations = [invite(course, "ADA@Example.org") for course in courses]

        ada = make_user("ada", email="Ada@example.ORG")

        assert all(is_in(ada, course) for course in courses)
        for invitation in invitations:
            invitation.refresh_from_db()
            assert invitation.user == ada
        event = EnrollmentEvent.objects.get(course_id="django-101")
        assert event.mode_after == "honor"
        assert (event.type, event.source) == ("created", "invitation")
        assert (event.user_id, event.actor_id) == (ada.pk, None)

    def test_is_enrolled_by_save_and_announced_after_commit(
        self, course, django_capture_on_commit_callbacks
    ):
        invite(course)

        with listening() as heard, django_capture_on_commit_callbacks(execute=True):
            assert is_in(make_user("ada"), course)
            assert heard == []

        assert [name for name, _ in heard] == ["created"]

    @pytest.mark.parametrize(
        ("invitation", "account"),
        [
            ({"auto_enroll": False}, {}),
            ({"user": "bob"}, {}),
            ({}, {"is_active": False}),
            ({"email": ""}, {"email": ""}),
        ],
    )
    def test_is_not_enrolled_otherwise(self, course, invitation, account):
        if "user" in invitation:
            invitation = {"user": make_user("bob")}
        invite(course, **invitation)

        assert not is_in(make_user("ada", **account), course)

    def test_is_not_enrolled_when_a_fixture_is_loaded(self, course):
        fixture = serialize("json", [make_user("ada")])
        get_user_model().objects.all().delete()
        invite(course)

        for one in deserialize("json", fixture):
            one.save()

        assert get_user_model().objects.count() == 1
        assert not CourseEnrollment.objects.exists()

    def test_takes_the_enrollment_with_it_when_it_is_rolled_back(self, course):
        invite(course)

        with transaction.atomic():
            make_user("ada")
            transaction.set_rollback(True)

        assert not CourseEnrollment.objects.exists()
        assert not EnrollmentEvent.objects.exists()
        assert CourseEnrollmentAllowed.objects.get().user is None

    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize(
        "refusal", ["course_full", "not_allowed", "course_not_found"]
    )
    def test_stays_invited_where_it_is_refused(self, refusal, settings, caplog):
        courses = {
            "course_full": make_course("full", max_student_enrollments_allowed=0),
            "not_allowed": make_course("vetoed"),
            "course_not_found": "course-v1:edX+Later+2030",
        }
        invitation = invite(courses[refusal])
        invite(make_course("open"))
        if refusal == "not_allowed":
            settings.ENROLLMENTS_FILTERS = [veto_unless_open]

        ada = make_user("ada")

        invitation.refresh_from_db()
        assert invitation.user is None
        assert is_in(ada, "open")
        assert not is_in(ada, invitation.course_id)
        assert caplog.messages == [
            f"User {ada.pk}, invited to course {invitation.course_id}, "
            f"was not enrolled: {refusal}."
        ]


@pytest.mark.django_db
class TestChangedAccount:
    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize(
        ("before", "values", "written", "expected"),
        [
            ({"name": "bob"}, {"email": ADDRESS}, None, True),
            ({"name": "bob"}, {"email": ADDRESS}, ["email"], True),
            ({"is_active": False}, {"is_active": True}, None, True),
            ({"is_active": False}, {"is_active": True}, {"is_active"}, True),
            (
                {"name": "bob", "is_active": False},
                {"email": ADDRESS, "is_active": True},
                ["is_active"],
                False,
            ),
            (
                {"name": "bob", "is_active": False},
                {"email": ADDRESS, "is_active": True},
                ["email"],
                False,
            ),
        ],
    )
    def test_is_enrolled_by_the_values_that_are_written(
        self, course, before, values, written, expected
    ):
        invite(course)
        user = make_user(**before)

        change(user, written, **values)

        assert is_in(user, course) is expected
        change(user, written, **values)
        assert EnrollmentEvent.objects.count() == expected

    @pytest.mark.rule("ACC-13")
    def test_is_enrolled_by_a_later_invitation(self, course):
        user = make_user("ada", email="Ada@example.org")
        invite(course)

        user.save()

        assert is_in(user, course)

    @pytest.mark.rule("ACC-13")
    def test_is_not_enrolled_again_in_a_course_it_left(self, course):
        user = make_user("ada")
        EnrollmentsService().enroll(user, course)
        EnrollmentsService().unenroll(user, course)
        invite(course)

        user.save()
        get_user_model().objects.get(pk=user.pk).save()

        assert not is_in(user, course)

    @pytest.mark.rule("ACC-13")
    def test_keeps_the_enrollment_that_it_has(self):
        course = make_course(modes=["verified"])
        user = make_user("bob")
        EnrollmentsService().enroll(user, course, "verified")
        invitation = invite(course)

        change(user, email=ADDRESS)

        invitation.refresh_from_db()
        assert invitation.user is None
        assert CourseEnrollment.objects.get().mode == "verified"
        assert EnrollmentEvent.objects.count() == 1

    def test_is_read_anew_after_a_save_that_failed(self, course):
        invite(course)
        user = make_user("bob")
        user.email = ADDRESS
        with pytest.raises(IntegrityError), transaction.atomic():
            user.save(force_insert=True)

        change(user, email="bob@example.org")

        assert not is_in(user, course)

    @pytest.mark.parametrize(
        ("is_active", "only", "written", "queries"),
        [
            (True, None, None, 2),
            (True, None, ["last_login"], 1),
            (True, "last_login", None, 1),
            (False, None, None, 1),
        ],
    )
    def test_costs_a_query_only_where_it_may_be_enrolled(
        self, django_assert_num_queries, is_active, only, written, queries
    ):
        user = make_user("ada", is_active=is_active)
        if only:
            user = get_user_model().objects.only(only).get()

        with django_assert_num_queries(queries):
            user.save(update_fields=written)

    @pytest.mark.rule("ACC-13")
    def test_has_no_use_for_an_invitation_while_inactive(self, course):
        closed = make_course("closed", invitation_only=True)
        user = make_user("ada", is_active=False)
        invitation = invite(course)
        invite(closed)

        EnrollmentsService().enroll(user, course)

        invitation.refresh_from_db()
        assert invitation.user is None
        assert EnrollmentsService().explain(user, closed)["reasons"]


@pytest.mark.django_db
class TestUserModel:
    def test_without_a_field_for_the_address_is_saved_as_ever(
        self, course, monkeypatch
    ):
        invite(course)
        monkeypatch.setattr(
            get_user_model(), "get_email_field_name", classmethod(lambda cls: "nowhere")
        )

        assert not is_in(make_user("ada"), course)

    @pytest.mark.rule("ACC-13")
    def test_may_be_saved_through_a_proxy(self, course):
        invite(course)
        user_model = get_user_model()

        class Alumna(user_model):
            class Meta:
                proxy = True
                app_label = "django_enrollments"

        try:
            connect_receivers()
            change(Alumna.objects.get(pk=make_user("bob").pk), email=ADDRESS)
        finally:
            forget_model(Alumna)

        assert is_in(user_model.objects.get(), course)


def forget_model(model):
    """Remove a model that was made for one test."""
    post_save.disconnect(sender=model, dispatch_uid="django_enrollments.enroll_invited")
    registry = model._meta.apps
    del registry.all_models[model._meta.app_label][model._meta.model_name]
    registry.clear_cache()


@pytest.mark.django_db(transaction=True)
class TestFailingInvitation:
    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("is_within", [False, True])
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("FILTERS", fail),
            ("FILTERS", fail_in_the_database),
            ("PERMISSION_BACKENDS", f"{__name__}.FailingBackend"),
        ],
    )
    def test_leaves_the_account_and_is_tried_again_at_the_next_save(
        self, name, value, is_within, settings, caplog
    ):
        course = make_course(invitation_only=True)
        invitation = invite(course)
        setattr(settings, f"ENROLLMENTS_{name}", [value])

        with within(is_within):
            ada = make_user("ada")

        assert get_user_model().objects.filter(pk=ada.pk).exists()
        assert not is_in(ada, course)
        text = f"User {ada.pk}, invited to course {course_id_of(course)}, was not"
        assert text in caplog.text
        assert ADDRESS not in caplog.text
        invitation.refresh_from_db()
        assert invitation.user is None
        delattr(settings, f"ENROLLMENTS_{name}")

        ada.save()

        assert is_in(ada, course)

    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("is_within", [False, True])
    def test_leaves_the_account_where_a_lock_cannot_be_had(
        self, is_within, settings, caplog, monkeypatch
    ):
        if is_within and connection.vendor == "sqlite":
            pytest.skip("Saving the account has taken SQLite's only lock already.")
        monkeypatch.setattr("django_enrollments.core.transactions.ATTEMPTS", 2)
        course = make_course(max_student_enrollments_allowed=5)
        invite(course)
        is_held, is_released = threading.Event(), threading.Event()

        def hold():
            courses = type(course)._base_manager
            try:
                with transaction.atomic():
                    courses.filter(pk=course.pk).update(id=course.pk)
                    is_held.set()
                    is_released.wait(60)
            finally:
                connection.close()

        holder = threading.Thread(target=hold)

        def hold_from_here_on(action, **context):
            if not is_held.is_set():
                holder.start()
                assert is_held.wait(60)

        settings.ENROLLMENTS_FILTERS = [hold_from_here_on]
        try:
            with within(is_within):
                ada = without_waiting(partial(make_user, "ada"))
        finally:
            is_released.set()
            holder.join()
            # It waits as long as ever from here on.
            connection.close()

        assert get_user_model().objects.filter(pk=ada.pk).exists()
        assert f"User {ada.pk}, invited to course" in caplog.text
        assert ADDRESS not in caplog.text
        if not is_within:
            assert not is_in(ada, course)

        ada.save()

        assert is_in(ada, course)

    @pytest.mark.rule("ACC-13")
    def test_does_not_hide_that_the_account_is_rolled_back(self, settings):
        invite(make_course())

        def deadlock(action, **context):
            # As MariaDB does, with all that the caller has written.
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
            raise OperationalError(1213, "Deadlock found when trying to get lock")

        settings.ENROLLMENTS_FILTERS = [deadlock]

        with pytest.raises(OperationalError), transaction.atomic():
            make_user("ada")

        assert not get_user_model().objects.exists()

    @pytest.mark.rule("ACC-13")
    def test_is_redeemed_after_commit_if_it_was_made_meanwhile(self):
        course = make_course()
        with transaction.atomic():
            ada = make_user("ada")
            invite(course)

        assert is_in(ada, course)


def slugs(course_id="django-101"):
    """List the modes that the cached course details show."""
    details = api.get_course_enrollment_details(course_id)
    return [mode["slug"] for mode in details["course_modes"]]


@pytest.mark.django_db(transaction=True)
class TestCourseDetails:
    @pytest.fixture
    def course(self):
        """Make a course whose details are cached."""
        course = make_course("django-101")
        slugs()
        return course

    @pytest.fixture
    def mode(self):
        """Make a mode that is shown by the cached details of its course."""
        mode = make_mode(make_course("django-101"), "honor")
        slugs()
        return mode

    @pytest.mark.rule("CACHE-03", "B-18")
    def test_are_cached_until_the_course_is_saved(
        self, course, django_assert_num_queries
    ):
        with django_assert_num_queries(0):
            slugs()

        setattr(course, "display_name" if is_default_host() else "title", "New name")
        course.save()

        details = api.get_course_enrollment_details("django-101")
        assert details["course_name"].endswith("New name")

    @pytest.mark.rule("B-18")
    def test_are_dropped_with_the_course(self, course):
        course.delete()

        with pytest.raises(CourseNotFoundError):
            slugs()

    @pytest.mark.rule("B-18")
    @pytest.mark.skipif(
        is_default_host(), reason="The id of a shipped course is its key."
    )
    def test_are_dropped_under_the_id_that_the_course_had_before(self, course):
        course.slug = "django-102"
        course.save()

        with pytest.raises(CourseNotFoundError):
            slugs("django-101")
        assert slugs("django-102") == ["audit"]

    @pytest.mark.rule("B-18")
    def test_show_a_mode_that_is_made_changed_and_deleted_at_once(self, course):
        mode = make_mode(course, "honor")
        assert slugs() == ["honor"]

        mode.mode_slug = "verified"
        mode.save()
        assert slugs() == ["verified"]

        CourseMode.objects.get(pk=mode.pk).delete()
        assert slugs() == ["audit"]

    @pytest.mark.rule("B-18")
    def test_show_a_mode_that_moves_to_another_course_at_once(self, mode):
        mode.course = make_course("django-102")
        slugs("django-102")

        mode.save()

        assert slugs("django-101") == ["audit"]
        assert slugs("django-102") == ["honor"]

    def test_show_the_modes_of_a_fixture_at_once(self, mode):
        fixture = serialize("json", [mode])
        CourseMode.objects.all().delete()
        slugs()

        for one in deserialize("json", fixture):
            one.save()

        assert slugs() == ["honor"]

    def test_may_be_loaded_after_their_modes(self, mode):
        fixture = serialize("json", [mode])
        mode.course.delete()

        # As loaddata does.
        with transaction.atomic(), connection.constraint_checks_disabled():
            for one in deserialize("json", fixture):
                one.save()
            assert CourseMode.objects.exists()
            transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
class TestAutocommitOff:
    """The transactions of a host that manages them itself."""

    @pytest.fixture(autouse=True)
    def _manual(self):
        yield
        transaction.rollback()
        transaction.set_autocommit(True)

    @pytest.mark.rule("B-18")
    def test_shows_what_is_saved_and_what_is_committed(self):
        course = make_course("django-101")
        slugs()
        transaction.set_autocommit(False)

        course.save()
        mode = make_mode(course, "honor")
        during = slugs()
        transaction.commit()
        transaction.set_autocommit(True)

        assert during == slugs() == ["honor"]
        transaction.set_autocommit(False)
        mode.delete()
        course.delete()
        transaction.commit()
        transaction.set_autocommit(True)
        with pytest.raises(CourseNotFoundError):
            slugs()

    @pytest.mark.rule("B-18")
    def test_shows_nothing_that_is_rolled_back(self):
        course = make_course("django-101")
        transaction.set_autocommit(False)

        make_mode(course, "honor")
        slugs()
        transaction.rollback()
        transaction.set_autocommit(True)

        assert slugs() == ["audit"]

    @pytest.mark.rule("B-17")
    def test_saves_a_course_in_spite_of_a_broken_cache(self, settings):
        backend = "django.core.cache.backends.db.DatabaseCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "missing"}}
        transaction.set_autocommit(False)

        course = make_course("django-101", modes=["honor"])
        transaction.commit()

        assert CourseMode.objects.filter(course=course).exists()

    @pytest.mark.rule("ACC-13")
    def test_enrolls_a_saved_account_by_its_invitation(self):
        course = make_course()
        invite(course)
        transaction.set_autocommit(False)

        with listening() as heard:
            ada = make_user("ada")
            transaction.commit()
            transaction.set_autocommit(True)

        assert is_in(ada, course)
        assert [name for name, _ in heard] == ["created"]

    @pytest.mark.rule("ACC-13")
    def test_undoes_the_enrollment_with_the_account(self):
        invite(make_course())
        transaction.set_autocommit(False)

        make_user("ada")
        transaction.rollback()

        assert not get_user_model().objects.exists()
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("filter_", [fail, fail_in_the_database])
    def test_saves_an_account_whose_invitation_fails(self, filter_, settings):
        course = make_course()
        invite(course)
        settings.ENROLLMENTS_FILTERS = [filter_]
        transaction.set_autocommit(False)

        ada = make_user("ada")
        transaction.commit()

        assert get_user_model().objects.filter(pk=ada.pk).exists()
        assert not is_in(ada, course)


@pytest.mark.django_db
class TestInvitationByBulk:
    def test_keeps_mode_actor_and_reason(self):
        course = make_course(modes=["audit", "verified"])
        actor = make_user("boss")
        api.bulk_enroll(
            course_id_of(course),
            emails=[ADDRESS],
            mode="verified",
            actor=actor,
            reason="Class of 2026",
        )

        make_user("ada")

        event = EnrollmentEvent.objects.get()
        assert event.mode_after == "verified"
        assert (event.actor_id, event.reason) == (actor.pk, "Class of 2026")
        assert event.source == "invitation"

    def test_changes_an_invitation_that_did_not_enroll_at_once(self, course):
        invitation = invite(course, auto_enroll=False)

        api.bulk_enroll(course_id_of(course), emails=[ADDRESS], reason="Late")
        api.bulk_enroll(course_id_of(course), emails=[ADDRESS], reason="Later")

        invitation.refresh_from_db()
        assert (invitation.auto_enroll, invitation.reason) == (True, "Late")

    def test_enrolls_an_account_that_appears_before_its_commit(
        self, course, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            api.bulk_enroll(course_id_of(course), emails=[ADDRESS])
            # Without a signal, as if it were seen too late.
            users = get_user_model().objects.filter(pk=make_user("bob").pk)
            users.update(email=ADDRESS)

        assert is_in(get_user_model().objects.get(email=ADDRESS), course)
