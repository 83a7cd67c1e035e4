"""The permission backends, and the decisions that they add up to."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from guardian.shortcuts import assign_perm

from django_enrollments import api, permissions
from django_enrollments.backends.permissions import CourseRoleBackend, DjangoAuthBackend
from django_enrollments.errors import CourseEnrollmentClosedError, EnrollmentNotAllowed
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
from tests.swapped.auth import ObjectPermissions, Rules
from tests.swapped.permissions import ListedUsers
from tests.watching import raises_without_writes, state_of

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
OURS = "django_enrollments.backends.permissions.CourseRoleBackend"
AUTH = "django_enrollments.backends.permissions.DjangoAuthBackend"
OTHERS = "tests.swapped.permissions"

EVERY = (
    ENROLL_IN_COURSE,
    VIEW_ENROLLMENT_DATA,
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    RETIRE_USER,
)


@pytest.fixture(autouse=True)
def _nothing_granted():
    ListedUsers.users = []
    ListedUsers.calls = []
    ObjectPermissions.granted = set()
    Rules.granted = set()


@pytest.fixture
def use(settings):
    """Return a function that puts backends, by their names, into the setting."""

    def choose(*names):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            name if "." in name else f"{OTHERS}.{name}" for name in names
        ]

    return choose


def test_the_names_are_those_of_the_contract():
    assert EVERY == (
        "django_enrollments.enroll_in_course",
        "django_enrollments.view_enrollment_data",
        "django_enrollments.create_enrollment",
        "django_enrollments.deactivate_enrollment",
        "django_enrollments.retire_user",
    )


class ContractOfABackend:
    """What every permission backend keeps, ours and those of hosts."""

    #: Name of the backend under test.
    name = ""
    #: Whether a grant cannot be confined to one course.
    reaches_all_courses = False

    def grant(self, user, perm, course):
        """Make the backend grant a permission."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _alone(self, use):
        use(self.name)

    def test_returns_a_boolean(self, ada):
        course = make_course(invitation_only=True)
        (backend,) = permissions.get_backends()

        for perm in EVERY:
            for where in (None, course):
                assert backend.has_perm(ada, perm, where) is False
                assert backend.has_perm(AnonymousUser(), perm, where) is False

    def test_opens_a_course_to_those_to_whom_it_grants_it(self, ada):
        course = make_course(invitation_only=True)
        other = make_course("another", invitation_only=True)
        with raises_without_writes(CourseEnrollmentClosedError):
            api.add_enrollment(username("ada"), COURSE_ID)
        self.grant(ada, ENROLL_IN_COURSE, course)
        make_user("bob")

        api.add_enrollment(username("ada"), COURSE_ID)

        assert state_of(ada, course) == ("audit", True)
        with raises_without_writes(CourseEnrollmentClosedError):
            api.add_enrollment(username("bob"), COURSE_ID)
        assert has_perm(ada, ENROLL_IN_COURSE, course)
        assert self.reaches_all_courses or not has_perm(ada, ENROLL_IN_COURSE, other)

    def test_decides_for_many_as_for_each(self):
        course = make_course(invitation_only=True)
        users = make_users(4)
        for user in users[1::2]:
            self.grant(user, ENROLL_IN_COURSE, course)

        together = decide(users, ENROLL_IN_COURSE, course)
        results = api.bulk_enroll(COURSE_ID, [user.get_username() for user in users])

        assert [one.granted for one in together] == [False, True, False, True]
        assert together == [decide([one], ENROLL_IN_COURSE, course)[0] for one in users]
        assert [one["status"] for one in results] == ["error", "created"] * 2


class TestCourseRoleBackendKeepsTheContract(ContractOfABackend):
    name = OURS

    def grant(self, user, perm, course):
        CourseAccessRole.objects.create(
            user=user, course_id=course_id_of(course), role="staff"
        )


class TestListedUsersKeepsTheContract(ContractOfABackend):
    name = "ListedUsers"
    reaches_all_courses = True

    def grant(self, user, perm, course):
        ListedUsers.users.append(user)


class TestListedUsersAtOnceKeepsTheContract(TestListedUsersKeepsTheContract):
    name = "ListedUsersAtOnce"


class TestDjangoAuthBackendKeepsTheContract(ContractOfABackend):
    name = AUTH

    @pytest.fixture(autouse=True)
    def _object_permissions(self, settings):
        settings.AUTHENTICATION_BACKENDS = [
            "django.contrib.auth.backends.ModelBackend",
            "tests.swapped.auth.ObjectPermissions",
        ]

    def grant(self, user, perm, course):
        codename = perm.rpartition(".")[2]
        ObjectPermissions.granted.add((user.pk, codename, course.pk))


class TestDecisions:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (("GrantsNothing", "GrantsEverything", "Vetoes"), True),
            (("GrantsEverything", "ListedUsers"), True),
            (("Vetoes", "GrantsEverything"), False),
            ((OURS,), False),
            ((), False),
        ],
    )
    def test_are_those_of_the_first_backend_that_grants_or_vetoes(
        self, ada, use, names, expected
    ):
        use(*names)

        assert has_perm(ada, CREATE_ENROLLMENT) is expected
        assert ListedUsers.calls == []
        assert decide([], CREATE_ENROLLMENT) == []

    def test_take_one_call_for_many_users_where_a_backend_can(self, use):
        use("ListedUsersAtOnce")
        users = make_users(3)
        ListedUsers.users = users[:1]

        decisions = decide(users, CREATE_ENROLLMENT)

        assert [one.granted for one in decisions] == [True, False, False]

    @pytest.mark.parametrize(
        "backends",
        [
            f"{OTHERS}.GrantsEverything",
            *(
                [f"{OTHERS}.GrantsEverything", wrong]
                for wrong in (
                    "no.such.Backend",
                    f"{OTHERS}.NoSuchBackend",
                    "a..b",
                    ".a",
                    "math.pi",
                    "tests.swapped.broken.Backend",
                    "datetime.date.today",
                    "collections.OrderedDict",
                )
            ),
            [5],
            None,
        ],
    )
    def test_grant_nothing_where_the_setting_is_wrong(self, settings, backends):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = backends
        boss = make_user(is_staff=True, is_superuser=True)
        course = make_course()

        for perm in EVERY:
            assert not has_perm(boss, perm)
            assert not has_perm(boss, perm, course)
        with pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(username("ada"), COURSE_ID)


@pytest.mark.usefixtures("ada")
class TestEnrollInCourse:
    def test_is_decided_for_the_learner_and_the_hosts_own_course(self, ada, use):
        use("ListedUsers")
        course = make_course()
        ListedUsers.users = [ada]

        api.add_enrollment(username("ada"), COURSE_ID)

        assert ListedUsers.calls == [(ada, ENROLL_IN_COURSE, course)]
        assert isinstance(ListedUsers.calls[0][2], get_course_model())

    @pytest.mark.parametrize(
        ("names", "error", "message"),
        [
            (["GrantsNothing"], CourseEnrollmentClosedError, None),
            (["Vetoes", OURS], EnrollmentNotAllowed, "Vetoed."),
            (["VetoesWithoutReason"], EnrollmentNotAllowed, "You may not enroll in"),
        ],
    )
    def test_is_refused_without_a_grant_or_by_a_veto(
        self, course, use, names, error, message
    ):
        use(*names)

        with raises_without_writes(error, match=message):
            api.add_enrollment(username("ada"), COURSE_ID)

        (reason,) = api.explain_enrollment(username("ada"), COURSE_ID)["reasons"]
        assert (reason["code"], reason["changes_at"]) == ("not_allowed", None)
        assert reason["message"].startswith(message or "")

    def test_opens_a_closed_course(self, use):
        use("GrantsEverything")
        make_course(enrollment_end=NOON, invitation_only=True)

        assert api.add_enrollment(username("ada"), COURSE_ID)["is_active"]

    def test_is_not_needed_to_change_to_leave_or_by_force(self, course, use):
        use("ListedUsers")

        api.add_enrollment(username("ada"), COURSE_ID, force_enrollment=True)
        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)
        api.update_enrollment(username("ada"), COURSE_ID, is_active=True)

        assert ListedUsers.calls == []


class TestCourseRoleBackend:
    @pytest.mark.rule("V1-AUTH-17", "V1-AUTH-18", "V1-LIST-12")
    def test_grants_by_the_flags_of_a_user(self):
        course = make_course()
        staff = {VIEW_ENROLLMENT_DATA, CREATE_ENROLLMENT, DEACTIVATE_ENROLLMENT}
        left = make_user("left", is_active=False)
        CourseAccessRole.objects.create(user=left, course_id=COURSE_ID, role="staff")

        for user, granted in (
            (make_user("boss", is_staff=True), staff),
            (make_user("former", is_staff=True, is_active=False), staff),
            (make_user("super", is_superuser=True), {RETIRE_USER}),
            (make_user("ada"), set()),
            (AnonymousUser(), set()),
        ):
            assert {perm for perm in EVERY if has_perm(user, perm)} == granted
            reads = has_perm(user, VIEW_ENROLLMENT_DATA, course)
            assert reads is (VIEW_ENROLLMENT_DATA in granted)
            assert not has_perm(user, "elsewhere.do_anything")
            assert not has_perm(user, "elsewhere.do_anything", course)
            assert CourseRoleBackend().has_perm(user, ENROLL_IN_COURSE) is False
        assert not has_perm(left, VIEW_ENROLLMENT_DATA, course)

    @pytest.mark.rule("V1-AUTH-18")
    def test_lets_the_service_user_retire_others(self, settings):
        worker, none = make_user("worker"), make_user("None")
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("worker")

        assert has_perm(worker, RETIRE_USER)
        assert not has_perm(none, RETIRE_USER)
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = None
        assert not has_perm(worker, RETIRE_USER)
        assert not has_perm(none, RETIRE_USER)

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
    def test_lets_staff_of_a_course_read_its_learners(
        self, ada, course, fields, granted
    ):
        CourseAccessRole.objects.create(user=ada, **fields)

        assert has_perm(ada, VIEW_ENROLLMENT_DATA, course) is granted
        assert not has_perm(ada, VIEW_ENROLLMENT_DATA)
        assert not has_perm(ada, CREATE_ENROLLMENT, course)

    def test_grants_nothing_to_a_user_without_flags(self):
        class Plain:
            pk = 1
            is_authenticated = True
            is_active = True

            def get_username(self):
                return "plain"

        for perm in (CREATE_ENROLLMENT, RETIRE_USER):
            assert not has_perm(Plain(), perm)
        assert DjangoAuthBackend().has_perm(Plain(), CREATE_ENROLLMENT) is False


class TestDjangoAuthBackend:
    @pytest.fixture(autouse=True)
    def _alone(self, use):
        use(AUTH)

    @pytest.fixture
    def auth(self, settings):
        """Return a function that chooses the backends of Django."""

        def choose(*names):
            settings.AUTHENTICATION_BACKENDS = [
                f"tests.swapped.auth.{one}" for one in names
            ]

        return choose

    def test_grants_the_permissions_that_a_user_has_in_django(self, ada):
        permission = Permission.objects.create(
            codename="create_enrollment",
            name="create",
            content_type=ContentType.objects.get_for_model(CourseAccessRole),
        )
        assert not has_perm(ada, CREATE_ENROLLMENT)

        ada.user_permissions.add(permission)

        assert has_perm(type(ada).objects.get(), CREATE_ENROLLMENT)
        boss = make_user("boss", is_superuser=True)
        assert has_perm(boss, RETIRE_USER)
        assert has_perm(boss, ENROLL_IN_COURSE, make_course())

    def test_looks_in_the_courses_own_app_too(self, ada, auth):
        auth("ObjectPermissions")
        course, other = make_course(), make_course("other")
        ObjectPermissions.granted.add((ada.pk, "view_enrollment_data", course.pk))

        assert has_perm(ada, VIEW_ENROLLMENT_DATA, course)
        assert not has_perm(ada, VIEW_ENROLLMENT_DATA, other)
        assert not has_perm(ada, CREATE_ENROLLMENT, course)
        assert not has_perm(ada, VIEW_ENROLLMENT_DATA)

    @pytest.mark.parametrize("order", [("Broken", "Rules"), ("Rules", "Broken")])
    def test_goes_on_where_one_of_django_s_backends_raises(self, ada, auth, order):
        auth(*order)
        course, bob = make_course(), make_user("bob")
        Rules.granted.add((ada.pk, CREATE_ENROLLMENT))

        assert has_perm(ada, CREATE_ENROLLMENT)
        assert has_perm(ada, CREATE_ENROLLMENT, course)
        assert not has_perm(bob, CREATE_ENROLLMENT)
        assert not has_perm(bob, CREATE_ENROLLMENT, course)

    def test_goes_on_where_one_raises_about_a_foreign_object(self, ada, auth):
        auth("ObjectPermissions", "Rules")
        app_label = get_course_model()._meta.app_label
        course = make_course()
        Rules.granted.add((ada.pk, ENROLL_IN_COURSE))
        Rules.granted.add((ada.pk, f"{app_label}.create_enrollment"))

        assert has_perm(ada, ENROLL_IN_COURSE, course)
        assert has_perm(ada, CREATE_ENROLLMENT, course)

    @pytest.mark.parametrize("with_course", [False, True])
    def test_logs_a_failing_backend_once(self, ada, auth, caplog, with_course):
        auth("Broken", "Rules")
        course = make_course() if with_course else None
        caplog.set_level(logging.DEBUG, logger="django_enrollments")
        caplog.clear()

        assert not has_perm(ada, CREATE_ENROLLMENT, course)
        (record,) = (one for one in caplog.records if one.levelno > logging.DEBUG)
        assert record.levelno == logging.WARNING
        assert "The directory server is down." in caplog.text

    @pytest.mark.parametrize(
        "order", [("Denier", "Rules"), ("Broken", "Denier", "Rules")]
    )
    def test_stops_at_a_veto_of_django_s(self, ada, auth, order):
        auth(*order)
        Rules.granted.add((ada.pk, CREATE_ENROLLMENT))

        assert not has_perm(ada, CREATE_ENROLLMENT)

    def test_stops_at_a_veto_of_the_user_model(self, ada, monkeypatch):
        def veto(user, perm, obj=None):
            raise PermissionDenied("Never.")

        monkeypatch.setattr(type(ada), "has_perm", veto, raising=False)

        with pytest.raises(PermissionDenied):
            DjangoAuthBackend().has_perm(ada, CREATE_ENROLLMENT)
        assert decide([ada], CREATE_ENROLLMENT)[0].veto == "Never."

    def test_calls_has_perm_once_for_each_name(self, course):
        names = []

        class Recorder:
            def has_perm(self, perm, obj=None):
                names.append(perm)
                return False

        own = f"{course._meta.app_label}.create_enrollment"

        assert not DjangoAuthBackend().has_perm(Recorder(), CREATE_ENROLLMENT, course)
        assert names == [*dict.fromkeys([CREATE_ENROLLMENT, own])]


class TestDjangoGuardian:
    """The package itself, on the host's course model."""

    @pytest.fixture(autouse=True)
    def _guarded(self, settings, use):
        use(AUTH)
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

    def test_grants_a_permission_on_one_course(self, ada):
        course, other = make_course(), make_course("other")
        assign_perm("view_enrollment_data", ada, course)

        assert has_perm(ada, VIEW_ENROLLMENT_DATA, course)
        assert Requester(ada).visible_courses([other, course]) == [course]
        assert not has_perm(ada, VIEW_ENROLLMENT_DATA)
        assert not has_perm(ada, CREATE_ENROLLMENT, course)
        assert not has_perm(make_user("bob"), VIEW_ENROLLMENT_DATA, course)

    def test_logs_nothing_above_debug(self, course, caplog):
        caplog.set_level(logging.DEBUG, logger="django_enrollments")
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
