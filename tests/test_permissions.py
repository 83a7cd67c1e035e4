"""Who may do what (contract §6, rules V1-AUTH-17, V1-AUTH-18, V1-LIST-06…12)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from guardian.shortcuts import assign_perm

from django_enrollments import api, permissions
from django_enrollments.backends.permissions import CourseRoleBackend, DjangoAuthBackend
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    EnrollmentNotAllowed,
)
from django_enrollments.models import CourseAccessRole, get_course_model
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
    decide,
    has_perm,
)
from django_enrollments.policies import Requester
from tests.factories import (
    NOON,
    course_id_of,
    make_course,
    make_user,
    make_users,
    username,
)
from tests.stranger.auth import ObjectPermissions, Rules
from tests.stranger.permissions import GuestList
from tests.watching import nothing_written, state_of

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
OURS = "django_enrollments.backends.permissions.CourseRoleBackend"
AUTH = "django_enrollments.backends.permissions.DjangoAuthBackend"
STRANGER = "tests.stranger.permissions"

EVERY = (
    ENROLL_IN_COURSE,
    VIEW_ENROLLMENT_DATA,
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    RETIRE_USER,
)


@pytest.fixture(autouse=True)
def _nobody_on_any_list() -> None:
    GuestList.guests = []
    GuestList.asked = []
    ObjectPermissions.granted = set()
    Rules.granted = set()


class TestNames:
    def test_contract_6_are_these(self) -> None:
        assert EVERY == (
            "django_enrollments.enroll_in_course",
            "django_enrollments.view_enrollment_data",
            "django_enrollments.create_enrollment",
            "django_enrollments.deactivate_enrollment",
            "django_enrollments.retire_user",
        )


class ContractOfABackend:
    """What every permission backend keeps, ours and a stranger's."""

    #: Dotted path of the backend under test.
    path = ""

    def grant(self, user: Any, perm: str, course: Any) -> None:
        """Make the backend grant a permission."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _alone(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [self.path]

    def test_it_answers_with_a_boolean(self) -> None:
        course = make_course(invitation_only=True)
        user = make_user()
        (backend,) = permissions.get_backends()

        for perm in EVERY:
            for where in (None, course):
                assert backend.has_perm(user, perm, where) is False
                assert backend.has_perm(AnonymousUser(), perm, where) is False

    def test_nobody_gets_into_a_course_that_it_does_not_grant(self) -> None:
        make_course(invitation_only=True)
        make_user()

        with nothing_written(), pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(username("ada"), COURSE_ID)

    def test_whom_it_grants_a_course_gets_in(self) -> None:
        course = make_course(invitation_only=True)
        other = make_course("another", invitation_only=True)
        ada, _bob = make_user(), make_user("bob")
        self.grant(ada, ENROLL_IN_COURSE, course)

        api.add_enrollment(username("ada"), COURSE_ID)

        assert state_of(ada, course) == ("audit", True)
        with pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(username("bob"), COURSE_ID)
        assert has_perm(ada, ENROLL_IN_COURSE, course)
        assert self.reaches_all_courses or not has_perm(ada, ENROLL_IN_COURSE, other)

    def test_many_are_answered_as_each_by_itself(self) -> None:
        course = make_course(invitation_only=True)
        users = make_users(4)
        for user in users[1::2]:
            self.grant(user, ENROLL_IN_COURSE, course)

        together = decide(users, ENROLL_IN_COURSE, course)

        assert [one.granted for one in together] == [False, True, False, True]
        assert together == [decide([one], ENROLL_IN_COURSE, course)[0] for one in users]

    def test_a_bulk_asks_it_too(self) -> None:
        course = make_course(invitation_only=True)
        users = make_users(3)
        self.grant(users[1], ENROLL_IN_COURSE, course)

        results = api.bulk_enroll(COURSE_ID, [user.get_username() for user in users])

        assert [one["status"] for one in results] == ["error", "created", "error"]

    #: Whether a grant cannot be confined to one course.
    reaches_all_courses = False


class TestCourseRoleBackendKeepsTheContract(ContractOfABackend):
    path = OURS

    def grant(self, user: Any, perm: str, course: Any) -> None:
        CourseAccessRole.objects.create(
            user=user, course_id=course_id_of(course), role="staff"
        )


class TestGuestListKeepsTheContract(ContractOfABackend):
    path = f"{STRANGER}.GuestList"
    reaches_all_courses = True

    def grant(self, user: Any, perm: str, course: Any) -> None:
        GuestList.guests.append(user)


class TestQuickGuestListKeepsTheContract(TestGuestListKeepsTheContract):
    path = f"{STRANGER}.QuickGuestList"


class TestDjangoAuthBackendKeepsTheContract(ContractOfABackend):
    path = AUTH

    @pytest.fixture(autouse=True)
    def _object_permissions(self, settings: Any) -> None:
        settings.AUTHENTICATION_BACKENDS = [
            "django.contrib.auth.backends.ModelBackend",
            "tests.stranger.auth.ObjectPermissions",
        ]

    def grant(self, user: Any, perm: str, course: Any) -> None:
        codename = perm.rpartition(".")[2]
        ObjectPermissions.granted.add((user.pk, codename, course.pk))


class TestOrder:
    def test_the_first_that_grants_decides(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"{STRANGER}.Nobody",
            f"{STRANGER}.Everybody",
            f"{STRANGER}.Bouncer",
        ]

        assert has_perm(make_user(), CREATE_ENROLLMENT)

    def test_a_veto_ends_it_whatever_comes_after(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"{STRANGER}.Bouncer",
            f"{STRANGER}.Everybody",
        ]

        assert not has_perm(make_user(), CREATE_ENROLLMENT)

    def test_nobody_asks_those_after_it(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"{STRANGER}.Everybody",
            f"{STRANGER}.GuestList",
        ]

        assert has_perm(make_user(), CREATE_ENROLLMENT)
        assert GuestList.asked == []

    def test_no_backend_is_nobody(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = []

        assert not has_perm(make_user(is_staff=True), CREATE_ENROLLMENT)
        assert decide([], CREATE_ENROLLMENT) == []

    @pytest.mark.parametrize(
        "backends",
        [
            f"{STRANGER}.Everybody",
            [f"{STRANGER}.Everybody", "no.such.Backend"],
            [f"{STRANGER}.Everybody", f"{STRANGER}.NoSuchBackend"],
            [f"{STRANGER}.Everybody", "a..b"],
            [f"{STRANGER}.Everybody", ".a"],
            [f"{STRANGER}.Everybody", "math.pi"],
            [f"{STRANGER}.Everybody", "tests.stranger.broken.Backend"],
            [f"{STRANGER}.Everybody", "datetime.date.today"],
            [f"{STRANGER}.Everybody", "collections.OrderedDict"],
            [5],
            None,
        ],
    )
    def test_contract_2_a_misconfiguration_never_widens_access(
        self, settings: Any, backends: Any
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = backends
        boss = make_user(is_staff=True, is_superuser=True)
        course = make_course()

        for perm in EVERY:
            assert not has_perm(boss, perm)
            assert not has_perm(boss, perm, course)
        with pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(username("ada"), COURSE_ID)

    def test_the_setting_is_read_at_each_call(self, settings: Any) -> None:
        user = make_user()
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.Everybody"]
        before = has_perm(user, CREATE_ENROLLMENT)

        settings.ENROLLMENTS_PERMISSION_BACKENDS = [OURS]

        assert before
        assert not has_perm(user, CREATE_ENROLLMENT)


class TestEnrollInCourse:
    def test_is_asked_about_the_learner_and_the_hosts_own_course(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.GuestList"]
        course = make_course()
        learner = make_user()
        GuestList.guests = [learner]

        api.add_enrollment(username("ada"), COURSE_ID)

        assert GuestList.asked == [(learner, ENROLL_IN_COURSE, course)]
        assert isinstance(GuestList.asked[0][2], get_course_model())

    def test_no_grant_is_closed(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.Nobody"]
        make_course()
        make_user()

        with nothing_written(), pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(username("ada"), COURSE_ID)
        told = api.explain_enrollment(username("ada"), COURSE_ID)
        assert [one["code"] for one in told["reasons"]] == ["not_allowed"]

    def test_a_veto_is_not_allowed_with_its_message(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.Bouncer", OURS]
        make_course()
        make_user()

        with (
            nothing_written(),
            pytest.raises(EnrollmentNotAllowed, match=r"^Not in these shoes\.$"),
        ):
            api.add_enrollment(username("ada"), COURSE_ID)
        told = api.explain_enrollment(username("ada"), COURSE_ID)
        assert told["reasons"] == [
            {
                "code": "not_allowed",
                "message": "Not in these shoes.",
                "changes_at": None,
            }
        ]

    def test_a_veto_without_words_gets_some(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.WordlessBouncer"]
        make_course()
        make_user()

        with pytest.raises(EnrollmentNotAllowed, match="You may not enroll in"):
            api.add_enrollment(username("ada"), COURSE_ID)

    def test_a_grant_opens_a_closed_course(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.Everybody"]
        make_course(enrollment_end=NOON, invitation_only=True)
        make_user()

        assert api.add_enrollment(username("ada"), COURSE_ID)["is_active"]

    def test_it_is_not_asked_of_who_changes_leaves_or_is_forced(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.GuestList"]
        make_course()
        make_user()

        api.add_enrollment(username("ada"), COURSE_ID, force_enrollment=True)
        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)
        api.update_enrollment(username("ada"), COURSE_ID, is_active=True)

        assert GuestList.asked == []

    def test_without_a_course_ours_says_no(self) -> None:
        backend = CourseRoleBackend()

        assert backend.has_perm(make_user(is_staff=True), ENROLL_IN_COURSE) is False


class TestCourseRoleBackend:
    @pytest.mark.rule("V1-AUTH-17")
    @pytest.mark.parametrize(
        "perm", [VIEW_ENROLLMENT_DATA, CREATE_ENROLLMENT, DEACTIVATE_ENROLLMENT]
    )
    def test_global_staff_is_exactly_is_staff(self, perm: str) -> None:
        assert has_perm(make_user("boss", is_staff=True), perm)
        assert has_perm(make_user("former", is_staff=True, is_active=False), perm)
        assert not has_perm(make_user("super", is_superuser=True), perm)
        assert not has_perm(make_user("ada"), perm)
        assert not has_perm(AnonymousUser(), perm)

    @pytest.mark.rule("V1-AUTH-18")
    def test_superusers_may_retire_others(self) -> None:
        assert has_perm(make_user("super", is_superuser=True), RETIRE_USER)
        assert not has_perm(make_user("boss", is_staff=True), RETIRE_USER)
        assert not has_perm(AnonymousUser(), RETIRE_USER)

    @pytest.mark.rule("V1-AUTH-18")
    def test_so_may_the_service_user(self, settings: Any) -> None:
        worker = make_user("worker")
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("worker")

        assert has_perm(worker, RETIRE_USER)
        assert not has_perm(make_user("ada"), RETIRE_USER)

    @pytest.mark.rule("V1-AUTH-18")
    def test_no_service_user_is_nobody(self, settings: Any) -> None:
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = None

        assert not has_perm(make_user("None"), RETIRE_USER)

    @pytest.mark.rule("V1-LIST-09", "V1-LIST-10", "V1-LIST-11")
    @pytest.mark.parametrize(
        ("fields", "granted"),
        [
            ({"course_id": COURSE_ID, "role": "staff"}, True),
            ({"course_id": COURSE_ID, "role": "instructor"}, True),
            ({"course_id": COURSE_ID, "role": "limited_staff"}, True),
            ({"course_id": COURSE_ID, "role": "beta_testers"}, False),
            ({"course_id": COURSE_ID, "role": "data_researcher"}, False),
            ({"course_id": COURSE_ID, "role": "finance_admin"}, False),
            ({"course_id": COURSE_ID, "role": "ccx_coach"}, False),
            ({"course_id": "another", "role": "staff"}, False),
            ({"org": "edX", "role": "staff"}, False),
            ({"org": "edX", "role": "instructor"}, False),
        ],
    )
    def test_the_course_team_may_read_its_learners(
        self, fields: dict[str, str], granted: bool
    ) -> None:
        course = make_course()
        member = make_user()
        CourseAccessRole.objects.create(user=member, **fields)

        assert has_perm(member, VIEW_ENROLLMENT_DATA, course) is granted
        assert not has_perm(member, VIEW_ENROLLMENT_DATA)
        assert not has_perm(member, CREATE_ENROLLMENT, course)

    @pytest.mark.rule("V1-LIST-12")
    def test_an_inactive_account_may_not(self) -> None:
        course = make_course()
        former = make_user(is_active=False)
        CourseAccessRole.objects.create(user=former, course_id=COURSE_ID, role="staff")

        assert not has_perm(former, VIEW_ENROLLMENT_DATA, course)

    def test_global_staff_may_read_every_course(self) -> None:
        assert has_perm(make_user(is_staff=True), VIEW_ENROLLMENT_DATA, make_course())

    def test_what_it_has_never_heard_of_is_a_no(self) -> None:
        boss = make_user(is_staff=True, is_superuser=True)

        assert not has_perm(boss, "elsewhere.do_anything")
        assert not has_perm(boss, "elsewhere.do_anything", make_course())

    def test_a_user_without_flags_of_staff_has_none(self) -> None:
        class Plain:
            pk = 1
            is_authenticated = True
            is_active = True

            def get_username(self) -> str:
                return "plain"

        for perm in (CREATE_ENROLLMENT, RETIRE_USER):
            assert not has_perm(Plain(), perm)


class TestDjangoAuthBackend:
    @pytest.fixture(autouse=True)
    def _alone(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [AUTH]

    def _auth(self, settings: Any, *names: str) -> None:
        settings.AUTHENTICATION_BACKENDS = [
            f"tests.stranger.auth.{one}" for one in names
        ]

    def test_asks_django_for_the_permission_itself(self) -> None:
        user = make_user()
        content_type = ContentType.objects.get_for_model(CourseAccessRole)
        permission = Permission.objects.create(
            codename="create_enrollment", name="create", content_type=content_type
        )
        before = has_perm(user, CREATE_ENROLLMENT)

        user.user_permissions.add(permission)

        assert before is False
        assert has_perm(type(user).objects.get(), CREATE_ENROLLMENT)

    def test_superusers_have_every_permission(self) -> None:
        boss = make_user(is_superuser=True)
        course = make_course()

        assert has_perm(boss, RETIRE_USER)
        assert has_perm(boss, ENROLL_IN_COURSE, course)

    def test_asks_in_the_courses_own_app_too(self, settings: Any) -> None:
        self._auth(settings, "ObjectPermissions")
        course, other = make_course(), make_course("other")
        user = make_user()
        ObjectPermissions.granted.add((user.pk, "view_enrollment_data", course.pk))

        assert has_perm(user, VIEW_ENROLLMENT_DATA, course)
        assert not has_perm(user, VIEW_ENROLLMENT_DATA, other)
        assert not has_perm(user, CREATE_ENROLLMENT, course)
        assert not has_perm(user, VIEW_ENROLLMENT_DATA)

    def test_an_auth_backend_that_raises_counts_as_no(self, settings: Any) -> None:
        self._auth(settings, "Broken")

        assert not has_perm(make_user(), CREATE_ENROLLMENT)
        assert not has_perm(make_user("bob"), CREATE_ENROLLMENT, make_course())

    @pytest.mark.parametrize("order", [("Broken", "Rules"), ("Rules", "Broken")])
    def test_the_others_are_asked_all_the_same(
        self, settings: Any, order: tuple[str, ...]
    ) -> None:
        self._auth(settings, *order)
        course = make_course()
        user = make_user()
        Rules.granted.add((user.pk, CREATE_ENROLLMENT))

        assert has_perm(user, CREATE_ENROLLMENT)
        assert has_perm(user, CREATE_ENROLLMENT, course)
        assert not has_perm(make_user("bob"), CREATE_ENROLLMENT, course)

    def test_one_that_raises_about_a_foreign_object_silences_no_other(
        self, settings: Any
    ) -> None:
        self._auth(settings, "ObjectPermissions", "Rules")
        app_label = get_course_model()._meta.app_label
        course = make_course()
        user = make_user()
        Rules.granted.add((user.pk, ENROLL_IN_COURSE))
        Rules.granted.add((user.pk, f"{app_label}.create_enrollment"))

        assert has_perm(user, ENROLL_IN_COURSE, course)
        assert has_perm(user, CREATE_ENROLLMENT, course)

    @pytest.mark.parametrize(
        "order", [("Denier", "Rules"), ("Broken", "Denier", "Rules")]
    )
    def test_django_s_own_veto_ends_the_round(
        self, settings: Any, order: tuple[str, ...]
    ) -> None:
        self._auth(settings, *order)
        user = make_user()
        Rules.granted.add((user.pk, CREATE_ENROLLMENT))

        assert not has_perm(user, CREATE_ENROLLMENT)

    def test_a_user_model_may_veto_by_itself(self, monkeypatch: Any) -> None:
        def veto(user: Any, perm: str, obj: Any = None) -> bool:
            raise PermissionDenied("Never.")

        user = make_user()
        monkeypatch.setattr(type(user), "has_perm", veto, raising=False)
        backend = DjangoAuthBackend()

        with pytest.raises(PermissionDenied):
            backend.has_perm(user, CREATE_ENROLLMENT)
        assert decide([user], CREATE_ENROLLMENT)[0].veto == "Never."

    def test_a_user_model_without_permissions_has_none(self) -> None:
        class Plain:
            pk = 1
            is_authenticated = True

        assert DjangoAuthBackend().has_perm(Plain(), CREATE_ENROLLMENT) is False

    def test_has_perm_is_called_once_per_name(self) -> None:
        names = []

        class Recorder:
            def has_perm(self, perm: str, obj: Any = None) -> bool:
                names.append(perm)
                return False

        course = make_course()
        own = f"{course._meta.app_label}.create_enrollment"

        assert not DjangoAuthBackend().has_perm(Recorder(), CREATE_ENROLLMENT, course)
        assert names == [*dict.fromkeys([CREATE_ENROLLMENT, own])]

    @pytest.mark.parametrize("with_course", [False, True])
    def test_a_failing_auth_backend_is_logged_once(
        self, settings: Any, caplog: Any, with_course: bool
    ) -> None:
        self._auth(settings, "Broken", "Rules")
        user = make_user()
        course = make_course() if with_course else None
        caplog.set_level(logging.DEBUG, logger="django_enrollments")
        caplog.clear()

        assert not has_perm(user, CREATE_ENROLLMENT, course)
        (record,) = (one for one in caplog.records if one.levelno > logging.DEBUG)
        assert record.levelno == logging.WARNING
        assert "The directory server is down." in caplog.text

    def test_quick_guest_lists_are_asked_once_for_many(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{STRANGER}.QuickGuestList"]
        users = make_users(3)
        GuestList.guests = users[:1]

        decisions = decide(users, CREATE_ENROLLMENT)

        assert [one.granted for one in decisions] == [True, False, False]


class TestDjangoGuardian:
    """The package itself, on the host's course model."""

    @pytest.fixture(autouse=True)
    def _guarded(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [AUTH]
        settings.AUTHENTICATION_BACKENDS = [
            "django.contrib.auth.backends.ModelBackend",
            "guardian.backends.ObjectPermissionBackend",
        ]
        content_type = ContentType.objects.get_for_model(get_course_model())
        for perm in EVERY:
            codename = perm.rpartition(".")[2]
            Permission.objects.create(
                codename=codename, name=codename, content_type=content_type
            )

    def test_a_permission_counts_on_its_course_alone(self) -> None:
        course, other = make_course(), make_course("other")
        ada, bob = make_user("ada"), make_user("bob")
        assign_perm("view_enrollment_data", ada, course)

        assert has_perm(ada, VIEW_ENROLLMENT_DATA, course)
        assert Requester(ada).visible_courses([other, course]) == [course]
        assert not has_perm(ada, VIEW_ENROLLMENT_DATA)
        assert not has_perm(ada, CREATE_ENROLLMENT, course)
        assert not has_perm(bob, VIEW_ENROLLMENT_DATA, course)

    def test_nothing_above_debug_is_logged(self, caplog: Any) -> None:
        caplog.set_level(logging.DEBUG, logger="django_enrollments")
        course = make_course(COURSE_ID)
        ada, bob, cyd = (make_user(name) for name in ("ada", "bob", "cyd"))
        for learner in (ada, bob):
            assign_perm("enroll_in_course", learner, course)
        caplog.clear()

        results = api.bulk_enroll(COURSE_ID, [one.get_username() for one in (ada, bob)])
        with pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(cyd.get_username(), COURSE_ID)

        assert [one["status"] for one in results] == ["created", "created"]
        assert {one.levelno for one in caplog.records} <= {logging.DEBUG}
        is_foreign = course._meta.app_label != "django_enrollments"
        failed = [one for one in caplog.records if one.exc_info]
        assert len(failed) == (3 if is_foreign else 0)
