"""What follows when users, courses and modes are saved."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.serializers import deserialize, serialize
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.models.signals import post_save

from django_enrollments import api
from django_enrollments.apps import connect_receivers
from django_enrollments.datetimes import now
from django_enrollments.errors import CourseNotFoundError, EnrollmentNotAllowed
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import enrollment_created
from tests.factories import (
    DAY,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
)
from tests.processes.calls import without_waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "ada@example.org"


def invite(course: Any, email: str = ADDRESS, **fields: Any) -> CourseEnrollmentAllowed:
    """Invite an address to a course, to be enrolled as soon as it appears."""
    course_id = course if isinstance(course, str) else course_id_of(course)
    fields.setdefault("auto_enroll", True)
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=course_id, **fields
    )


def is_in(user: Any, course: Any) -> bool:
    return EnrollmentsService().is_enrolled(user, course)


def veto(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed("Not today.")


@pytest.mark.django_db
class TestAccountThatAppears:
    @pytest.mark.rule("ACC-13")
    def test_is_enrolled_by_its_invitations(self):
        courses = [make_course("django-101"), make_course("edX/DemoX/2014T2")]
        invitations = [invite(course) for course in courses]

        ada = make_user("ada")

        assert all(is_in(ada, course) for course in courses)
        for invitation in invitations:
            invitation.refresh_from_db()
            assert invitation.user == ada

    @pytest.mark.rule("ACC-13")
    def test_gets_the_default_mode_and_a_history(self):
        course = make_course()
        make_mode(course, "honor")
        make_mode(course, "verified")
        invite(course)

        ada = make_user("ada")

        event = EnrollmentEvent.objects.get()
        assert CourseEnrollment.objects.get().mode == "honor"
        assert (event.type, event.source) == ("created", "invitation")
        assert (event.user_id, event.actor_id) == (ada.pk, None)

    @pytest.mark.rule("ACC-13")
    def test_ignores_the_case_of_the_address(self):
        course = make_course()
        invite(course, "ADA@Example.org")

        ada = make_user("ada", email="Ada@example.ORG")

        assert is_in(ada, course)

    @pytest.mark.rule("ACC-13")
    def test_comes_in_though_the_course_is_closed_to_others(self):
        course = make_course(invitation_only=True, enrollment_end=now() - DAY)
        invite(course)

        assert is_in(make_user("ada"), course)

    def test_is_enrolled_when_save_returns_and_announced_after_commit(
        self, django_capture_on_commit_callbacks
    ):
        course = make_course()
        invite(course)
        heard = []

        def hear(event: Any, **payload: Any) -> None:
            heard.append(event.type)

        enrollment_created.connect(hear)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                assert is_in(make_user("ada"), course)
                assert heard == []
        finally:
            enrollment_created.disconnect(hear)

        assert heard == ["created"]

    def test_is_left_alone_by_an_invitation_without_auto_enroll(self):
        course = make_course()
        invite(course, auto_enroll=False)

        assert not is_in(make_user("ada"), course)

    def test_is_left_alone_by_an_invitation_that_somebody_used(self):
        course = make_course()
        invite(course, user=make_user("bob"))

        assert not is_in(make_user("ada"), course)

    def test_is_left_alone_while_it_is_inactive(self):
        course = make_course()
        invite(course)

        assert not is_in(make_user("ada", is_active=False), course)

    def test_is_left_alone_without_an_address(self):
        invite(make_course(), "")

        make_user("ada", email="")

        assert not CourseEnrollment.objects.exists()

    def test_is_left_alone_when_a_fixture_is_loaded(self):
        course = make_course()
        fixture = serialize("json", [make_user("ada")])
        get_user_model().objects.all().delete()
        invite(course)

        for one in deserialize("json", fixture):
            one.save()

        assert get_user_model().objects.count() == 1
        assert not CourseEnrollment.objects.exists()

    def test_goes_when_the_hosts_save_is_rolled_back(self):
        invite(make_course())

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
    def test_waits_invited_when_it_is_refused(self, refusal, settings, caplog):
        course: Any = make_course(max_student_enrollments_allowed=0)
        if refusal == "not_allowed":
            settings.ENROLLMENTS_FILTERS = [veto]
        if refusal == "course_not_found":
            course = "course-v1:edX+Later+2030"
        invitation = invite(course)

        ada = make_user("ada")

        invitation.refresh_from_db()
        assert invitation.user is None
        assert not CourseEnrollment.objects.exists()
        assert caplog.messages == [
            f"User {ada.pk}, invited to course {invitation.course_id}, "
            f"was not enrolled: {refusal}."
        ]

    def test_a_refusal_does_not_stop_the_other_invitations(self):
        full, open_ = (
            make_course("full", max_student_enrollments_allowed=0),
            make_course("open"),
        )
        invite(full)
        invite(open_)

        ada = make_user("ada")

        assert (is_in(ada, full), is_in(ada, open_)) == (False, True)


@pytest.mark.django_db
class TestAccountThatChanges:
    @pytest.mark.rule("ACC-13")
    def test_to_an_invited_address_is_enrolled(self):
        course = make_course()
        invite(course)
        user = make_user("bob")

        user.email = ADDRESS
        user.save()

        assert is_in(user, course)

    @pytest.mark.rule("ACC-13")
    def test_to_an_invited_address_alone_is_enrolled(self):
        course = make_course()
        invite(course)
        user = make_user("bob")

        user.email = ADDRESS
        user.save(update_fields=["email"])

        assert is_in(user, course)

    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("update_fields", [None, ["is_active"], {"is_active"}])
    def test_to_active_is_enrolled(self, update_fields):
        course = make_course()
        invite(course)
        user = make_user("ada", is_active=False)

        user.is_active = True
        user.save(update_fields=update_fields)

        assert is_in(user, course)

    def test_to_an_address_that_is_not_written_is_left_alone(self):
        course = make_course()
        invite(course)
        user = make_user("bob", is_active=False)

        user.email, user.is_active = ADDRESS, True
        user.save(update_fields=["is_active"])

        assert not is_in(user, course)

    def test_to_active_that_is_not_written_is_left_alone(self):
        course = make_course()
        invite(course)
        user = make_user("bob", is_active=False)

        user.email, user.is_active = ADDRESS, True
        user.save(update_fields=["email"])

        assert not is_in(user, course)

    @pytest.mark.rule("ACC-13")
    def test_in_nothing_is_enrolled_by_an_invitation_that_still_waits(self):
        course = make_course()
        user = make_user("ada", email="Ada@example.org")
        invite(course)

        user.save()

        assert is_in(user, course)

    @pytest.mark.rule("ACC-13")
    def test_otherwise_is_not_put_back_into_a_course_it_left(self):
        course = make_course()
        user = make_user("ada")
        EnrollmentsService().enroll(user, course)
        EnrollmentsService().unenroll(user, course)
        invite(course)

        user.set_password("another")
        user.save()
        get_user_model().objects.get(pk=user.pk).save()

        assert not is_in(user, course)

    @pytest.mark.rule("ACC-13")
    def test_is_skipped_where_it_is_enrolled_already(self):
        course = make_course()
        user = make_user("bob")
        make_mode(course, "verified")
        EnrollmentsService().enroll(user, course, "verified")
        invitation = invite(course)

        user.email = ADDRESS
        user.save()

        invitation.refresh_from_db()
        assert invitation.user is None
        assert CourseEnrollment.objects.get().mode == "verified"
        assert EnrollmentEvent.objects.count() == 1

    def test_twice_is_enrolled_once(self):
        course = make_course()
        user = make_user("bob")
        invite(course)

        user.email = ADDRESS
        user.save()
        user.save()

        assert EnrollmentEvent.objects.count() == 1

    def test_after_a_save_that_failed_is_looked_at_anew(self):
        course = make_course()
        invite(course)
        user = make_user("bob")
        user.email = ADDRESS
        with pytest.raises(IntegrityError), transaction.atomic():
            user.save(force_insert=True)

        user.email = "bob@example.org"
        user.save()

        assert not is_in(user, course)


@pytest.mark.django_db
class TestOrdinarySave:
    def test_costs_one_query_more(self, django_assert_num_queries):
        user = make_user("ada")

        with django_assert_num_queries(2):
            user.save()

    def test_costs_nothing_when_other_fields_are_written(
        self, django_assert_num_queries
    ):
        user = make_user("ada")

        with django_assert_num_queries(1):
            user.save(update_fields=["last_login"])

    def test_costs_nothing_while_the_account_is_inactive(
        self, django_assert_num_queries
    ):
        user = make_user("ada", is_active=False)

        with django_assert_num_queries(1):
            user.save()

    def test_costs_nothing_when_what_matters_has_not_been_loaded(
        self, django_assert_num_queries
    ):
        make_user("ada")
        user = get_user_model().objects.only("last_login").get()

        with django_assert_num_queries(1):
            user.save()


@pytest.mark.django_db
class TestUserModelOfAnotherKind:
    def test_without_a_field_for_the_address_is_saved_as_ever(self, monkeypatch):
        course = make_course()
        invite(course)
        monkeypatch.setattr(
            get_user_model(), "get_email_field_name", classmethod(lambda cls: "nowhere")
        )

        assert not is_in(make_user("ada"), course)

    @pytest.mark.rule("ACC-13")
    def test_is_heard_through_a_proxy(self):
        course = make_course()
        invite(course)
        user_model = get_user_model()

        class Alumna(user_model):
            class Meta:
                proxy = True
                app_label = "django_enrollments"

        try:
            connect_receivers()
            user = Alumna.objects.get(pk=make_user("bob").pk)
            user.email = ADDRESS
            user.save()
        finally:
            forget_model(Alumna)

        assert is_in(user, course)


def forget_model(model: type[models.Model]) -> None:
    """Let a model that was made for one test vanish again."""
    post_save.disconnect(sender=model, dispatch_uid="django_enrollments.enroll_invited")
    registry = model._meta.apps
    del registry.all_models[model._meta.app_label][model._meta.model_name]
    registry.clear_cache()


@pytest.mark.django_db(transaction=True)
class TestCacheOfCourseDetails:
    @pytest.fixture(autouse=True)
    def _empty_cache(self):
        cache.clear()
        yield
        cache.clear()

    def slugs(self, course_id: str = "django-101") -> list[str]:
        details = api.get_course_enrollment_details(course_id)
        return [mode["slug"] for mode in details["course_modes"]]

    @pytest.mark.rule("CACHE-03")
    def test_spares_the_queries(self, django_assert_num_queries):
        make_course("django-101")
        self.slugs()

        with django_assert_num_queries(0):
            assert self.slugs() == ["audit"]

    @pytest.mark.rule("B-18")
    def test_shows_a_saved_course_at_once(self):
        course = make_course("django-101")
        self.slugs()

        setattr(course, "display_name" if is_default_host() else "title", "New name")
        course.save()

        details = api.get_course_enrollment_details("django-101")
        assert details["course_name"].endswith("New name")

    @pytest.mark.rule("B-18")
    def test_forgets_a_deleted_course_at_once(self):
        course = make_course("django-101")
        self.slugs()

        course.delete()

        with pytest.raises(CourseNotFoundError):
            self.slugs()

    @pytest.mark.rule("B-18")
    @pytest.mark.skipif(
        is_default_host(), reason="The id of a shipped course is its key."
    )
    def test_forgets_the_id_that_a_course_had_before(self):
        course = make_course("django-101")
        self.slugs()

        course.slug = "django-102"
        course.save()

        with pytest.raises(CourseNotFoundError):
            self.slugs("django-101")
        assert self.slugs("django-102") == ["audit"]

    @pytest.mark.rule("B-18")
    def test_shows_a_new_mode_at_once(self):
        course = make_course("django-101")
        self.slugs()

        make_mode(course, "honor")

        assert self.slugs() == ["honor"]

    @pytest.mark.rule("B-18")
    def test_shows_a_changed_mode_at_once(self):
        mode = make_mode(make_course("django-101"), "honor")
        self.slugs()

        mode.mode_slug = "verified"
        mode.save()

        assert self.slugs() == ["verified"]

    @pytest.mark.rule("B-18")
    def test_forgets_a_deleted_mode_at_once(self):
        mode = make_mode(make_course("django-101"), "honor")
        self.slugs()

        CourseMode.objects.get(pk=mode.pk).delete()

        assert self.slugs() == ["audit"]

    @pytest.mark.rule("B-18")
    def test_forgets_the_course_that_a_mode_is_taken_from(self):
        mode = make_mode(make_course("django-101"), "honor")
        other = make_course("django-102")
        self.slugs("django-101")
        self.slugs("django-102")

        mode.course = other
        mode.save()

        assert self.slugs("django-101") == ["audit"]
        assert self.slugs("django-102") == ["honor"]

    def test_a_fixture_of_modes_is_shown_at_once(self):
        mode = make_mode(make_course("django-101"), "honor")
        fixture = serialize("json", [mode])
        CourseMode.objects.all().delete()
        self.slugs()

        for one in deserialize("json", fixture):
            one.save()

        assert self.slugs() == ["honor"]

    def test_a_fixture_may_bring_modes_before_their_course(self):
        course = make_course("django-101")
        fixture = serialize("json", [make_mode(course, "honor")])
        course.delete()

        # As loaddata does.
        with transaction.atomic(), connection.constraint_checks_disabled():
            for one in deserialize("json", fixture):
                one.save()
            assert CourseMode.objects.exists()
            transaction.set_rollback(True)


@pytest.mark.django_db
class TestInactiveAccount:
    @pytest.mark.rule("ACC-13")
    def test_uses_no_invitation_up(self):
        course = make_course()
        user = make_user("ada", is_active=False)
        invitation = invite(course)

        EnrollmentsService().enroll(user, course)

        invitation.refresh_from_db()
        assert invitation.user is None

    @pytest.mark.rule("ACC-13")
    def test_is_not_let_in_by_an_unused_invitation(self):
        course = make_course(invitation_only=True)
        user = make_user("ada", is_active=False)
        invite(course)

        assert EnrollmentsService().explain(user, course)["reasons"]


def fail(action: str, **context: Any) -> None:
    raise ConnectionError("ada@example.org")


class FailingBackend:
    """Has no connection to what grants."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        raise ConnectionError(ADDRESS)


def fail_in_the_database(action: str, **context: Any) -> None:
    get_user_model().objects.create(pk=context["user"].pk)


@pytest.mark.django_db(transaction=True)
class TestInvitationThatCannotBeRedeemed:
    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("is_within", [False, True])
    @pytest.mark.parametrize("filter_", [fail, fail_in_the_database])
    def test_costs_no_account_and_is_tried_at_the_next_save(
        self, filter_, is_within, settings, caplog
    ):
        course = make_course()
        invite(course)
        settings.ENROLLMENTS_FILTERS = [filter_]

        with transaction.atomic() if is_within else nullcontext():
            ada = make_user("ada")

        assert get_user_model().objects.filter(pk=ada.pk).exists()
        assert not is_in(ada, course)
        assert f"User {ada.pk}, invited to course" in caplog.text
        assert ADDRESS not in caplog.text
        settings.ENROLLMENTS_FILTERS = []

        ada.save()

        assert is_in(ada, course)

    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("is_within", [False, True])
    def test_costs_no_account_where_a_permission_backend_fails(
        self, is_within, settings, caplog
    ):
        course = make_course(invitation_only=True)
        invitation = invite(course)
        backends = [f"{__name__}.{FailingBackend.__name__}"]
        settings.ENROLLMENTS_PERMISSION_BACKENDS = backends

        with transaction.atomic() if is_within else nullcontext():
            ada = make_user("ada")

        assert get_user_model().objects.filter(pk=ada.pk).exists()
        assert not is_in(ada, course)
        text = f"course {course_id_of(course)}, was not enrolled: ConnectionError."
        assert text in caplog.text
        assert ADDRESS not in caplog.text
        invitation.refresh_from_db()
        assert invitation.user is None
        del settings.ENROLLMENTS_PERMISSION_BACKENDS

        ada.save()

        assert is_in(ada, course)

    @pytest.mark.rule("ACC-13")
    @pytest.mark.parametrize("is_within", [False, True])
    def test_costs_no_account_where_a_lock_cannot_be_had(
        self, is_within, settings, caplog, monkeypatch
    ):
        if is_within and connection.vendor == "sqlite":
            pytest.skip("Who saves the account has SQLite's only lock already.")
        monkeypatch.setattr("django_enrollments.core.transactions.ATTEMPTS", 2)
        course = make_course(max_student_enrollments_allowed=5)
        invite(course)
        is_held, is_released = threading.Event(), threading.Event()

        def hold() -> None:
            courses = type(course)._base_manager
            try:
                with transaction.atomic():
                    courses.filter(pk=course.pk).update(id=course.pk)
                    is_held.set()
                    is_released.wait(60)
            finally:
                connection.close()

        holder = threading.Thread(target=hold)

        def hold_from_here_on(action: str, **context: Any) -> None:
            if not is_held.is_set():
                holder.start()
                assert is_held.wait(10)

        settings.ENROLLMENTS_FILTERS = [hold_from_here_on]
        try:
            with transaction.atomic() if is_within else nullcontext():
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
        course = make_course()
        invite(course)

        def deadlock(action: str, **context: Any) -> None:
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


@pytest.mark.django_db(transaction=True)
class TestAutocommitOff:
    """A host that manages its transactions itself can save what the app observes."""

    @pytest.fixture(autouse=True)
    def _manual(self) -> Iterator[None]:
        yield
        transaction.rollback()
        transaction.set_autocommit(True)

    @pytest.mark.rule("B-18")
    def test_shows_what_is_saved_and_what_is_committed(self):
        course = make_course("django-101")
        api.get_course_enrollment_details("django-101")
        transaction.set_autocommit(False)

        course.save()
        mode = make_mode(course, "honor")
        within = api.get_course_enrollment_details("django-101")
        transaction.commit()
        transaction.set_autocommit(True)
        after = api.get_course_enrollment_details("django-101")

        assert within == after
        assert [one["slug"] for one in after["course_modes"]] == ["honor"]
        transaction.set_autocommit(False)
        mode.delete()
        course.delete()
        transaction.commit()
        transaction.set_autocommit(True)
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("django-101")

    @pytest.mark.rule("B-18")
    def test_shows_nothing_that_is_rolled_back(self):
        course = make_course("django-101")
        transaction.set_autocommit(False)

        make_mode(course, "honor")
        api.get_course_enrollment_details("django-101")
        transaction.rollback()
        transaction.set_autocommit(True)

        details = api.get_course_enrollment_details("django-101")
        assert [one["slug"] for one in details["course_modes"]] == ["audit"]

    @pytest.mark.rule("B-17")
    def test_a_broken_cache_costs_no_course(self, settings):
        backend = "django.core.cache.backends.db.DatabaseCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "missing"}}
        transaction.set_autocommit(False)

        course = make_course("django-101")
        make_mode(course, "honor")
        transaction.commit()

        assert CourseMode.objects.filter(course=course).exists()

    @pytest.mark.rule("ACC-13")
    def test_enrolls_a_saved_account_by_its_invitation(self):
        course = make_course()
        invite(course)
        heard = []

        def hear(event, **kwargs):
            heard.append(event.type)

        enrollment_created.connect(hear)
        transaction.set_autocommit(False)
        try:
            ada = make_user("ada")
            transaction.commit()
            transaction.set_autocommit(True)
        finally:
            enrollment_created.disconnect(hear)

        assert is_in(ada, course)
        assert heard == ["created"]

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
    def test_an_invitation_that_fails_costs_no_account(self, filter_, settings):
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
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified")
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

    def test_gives_its_terms_to_an_invitation_that_did_not_enroll_at_once(self):
        course = make_course()
        invitation = invite(course, auto_enroll=False)

        api.bulk_enroll(course_id_of(course), emails=[ADDRESS], reason="Late")
        api.bulk_enroll(course_id_of(course), emails=[ADDRESS], reason="Later")

        invitation.refresh_from_db()
        assert (invitation.auto_enroll, invitation.reason) == (True, "Late")

    def test_enrolls_an_account_that_appears_before_its_commit(
        self, django_capture_on_commit_callbacks
    ):
        course = make_course()

        with django_capture_on_commit_callbacks(execute=True):
            api.bulk_enroll(course_id_of(course), emails=[ADDRESS])
            bob = make_user("bob")
            # Without a signal, as if seen too late.
            get_user_model().objects.filter(pk=bob.pk).update(email=ADDRESS)

        assert is_in(get_user_model().objects.get(email=ADDRESS), course)
