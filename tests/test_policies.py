"""Who may do what over HTTP and in the admin, and that one module decides it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import django_enrollments
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
)
from django_enrollments.policies import Requester, throttle_scope
from tests.factories import make_course, make_user, username

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(django_enrollments.__file__).parent

#: The modules that may look at a user's flags and permissions, or compare keys.
ALLOWED = {"policies.py", "permissions.py", "backends/permissions.py"}

#: Flags of users, calls of permission backends, and comparisons of secrets.
QUESTIONS = {
    "is_staff",
    "is_superuser",
    "has_perm",
    "has_perms",
    "has_module_perms",
    "with_perm",
    "user_permissions",
    "compare_digest",
    "constant_time_compare",
    "decide_on",
    "granted_course_ids",
    "is_global_staff",
    "CREATE_ENROLLMENT",
    "DEACTIVATE_ENROLLMENT",
    "RETIRE_USER",
    "VIEW_ENROLLMENT_DATA",
    "ENROLLMENTS_API_KEYS",
}

#: What other modules need of them, and why.
EXCEPTIONS = {
    # Whether a learner may enroll is a rule of the domain.
    ("core/eligibility.py", "decide_on"),
    # MDL-19: global staff has every role; a model cannot import policies.
    ("models/roles.py", "is_global_staff"),
    # V1-ROLE-04: the response contains the flag.
    ("views/roles.py", "is_global_staff"),
    # A system check reports blank keys.
    ("checks.py", "ENROLLMENTS_API_KEYS"),
}


def questions_in(source: str) -> Iterator[str]:
    """List the names in ``QUESTIONS`` that a module reads, imports or looks up."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name):
                found = [name]
            case ast.ImportFrom(names=names):
                found = [alias.name for alias in names]
            case ast.keyword(arg=name):
                found = [name or ""]
            case ast.Call(args=[_, ast.Constant(value=str(name)), *_]):
                # As in getattr(user, "is_staff", False).
                found = [name]
            case _:
                continue
        yield from QUESTIONS.intersection(found)


class TestAuthorization:
    def test_is_decided_in_policies_alone(self) -> None:
        found = [
            (path, question)
            for file in PACKAGE.rglob("*.py")
            if (path := file.relative_to(PACKAGE).as_posix()) not in ALLOWED
            # It tests the permission backends of hosts.
            if not path.startswith("testing/")
            for question in questions_in(file.read_text())
            if (path, question) not in EXCEPTIONS
        ]

        assert found == []

    @pytest.mark.parametrize(
        "source",
        [
            "user.is_staff",
            "getattr(user, 'is_staff', False)",
            "users.filter(is_staff=True)",
            "from django_enrollments.permissions import has_perm",
            "permissions.has_perm(user, perm)",
            "hmac.compare_digest(one, other)",
            "given in conf.ENROLLMENTS_API_KEYS",
        ],
    )
    def test_is_recognized(self, source: str) -> None:
        assert [*questions_in(source)]

    def test_depends_on_no_request(self) -> None:
        tree = ast.parse((PACKAGE / "policies.py").read_text())
        imports = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
        modules = [one.module or "" for one in imports]

        for name in ("rest_framework", "django.http", "django_enrollments.views"):
            assert not [module for module in modules if module.startswith(name)]


class GrantingBackend:
    """Grants each permission to the user who is named after it."""

    names = {
        CREATE_ENROLLMENT: "creator",
        DEACTIVATE_ENROLLMENT: "deactivator",
        RETIRE_USER: "retirer",
        VIEW_ENROLLMENT_DATA: "viewer",
    }

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        name = username(self.names.get(perm, "-"))
        return course is None and user.get_username() == name


class CountingBackend:
    """Counts its calls."""

    calls: list[str] = []

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        self.calls.append(perm)
        return False


QUESTIONS_OF_VIEWS = (
    "can_view_others",
    "can_enroll_others",
    "can_deactivate_others",
    "can_force",
    "can_retire_users",
)


def answers(requester: Requester) -> set[str]:
    return {name for name in QUESTIONS_OF_VIEWS if getattr(requester, name)}


@pytest.mark.django_db
class TestRequester:
    @pytest.mark.rule("V1-AUTH-17", "V1-AUTH-18", "V1-FORCE-02")
    def test_has_the_permissions_of_the_default_backend(self) -> None:
        staff = {*QUESTIONS_OF_VIEWS} - {"can_retire_users"}

        assert answers(Requester(None)) == set()
        assert answers(Requester(make_user("ada"))) == set()
        assert answers(Requester(make_user("boss", is_staff=True))) == staff
        assert answers(Requester(make_user("root", is_superuser=True))) == {
            "can_retire_users"
        }
        assert answers(Requester(None, has_api_key=True)) == staff - {"can_force"}

    @pytest.mark.parametrize(
        ("name", "allowed"),
        [
            ("creator", {"can_enroll_others", "can_force"}),
            ("deactivator", {"can_deactivate_others"}),
            ("retirer", {"can_retire_users"}),
            ("viewer", {"can_view_others"}),
        ],
    )
    def test_has_no_permission_by_way_of_another(
        self, settings: Any, name: str, allowed: set[str]
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.GrantingBackend"]

        assert answers(Requester(make_user(name))) == allowed

    @pytest.mark.rule("V1-POST-09")
    def test_who_may_deactivate_acts_for_others_to_deactivate(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.GrantingBackend"]
        deactivator = Requester(make_user("deactivator"))

        assert deactivator.can_act_for_others(is_active=False)
        for is_active in (None, True, 0, "false"):
            assert not deactivator.can_act_for_others(is_active=is_active)
        assert not deactivator.can_enroll(make_user("ada"))
        assert deactivator.can_enroll(deactivator.user)

    @pytest.mark.rule("V1-POST-15", "V1-POST-18")
    def test_chooses_modes(self) -> None:
        learner = Requester(make_user())
        boss = Requester(make_user("boss", is_staff=True))

        assert [
            mode
            for mode in (None, "audit", "honor", "verified", "", "Audit", 7)
            if learner.can_choose_mode(mode)
        ] == [None, "audit", "honor"]
        assert boss.can_choose_mode("verified")

    @pytest.mark.rule("V1-GET-10")
    @pytest.mark.parametrize("name", [None, "", "ADA", "None", ["ada"], 7, {}])
    def test_is_named_by_no_other_name(self, name: object) -> None:
        assert not Requester(make_user("ada")).is_named(name)

    @pytest.mark.rule("V1-AUTH-09")
    def test_without_a_user_has_an_empty_name(self) -> None:
        program = Requester(None, has_api_key=True)

        assert program.username == ""
        assert program.is_named("")
        assert not program.is_named(None)

    def test_asks_the_backends_once(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.CountingBackend"]
        CountingBackend.calls = []
        requester = Requester(make_user())

        for _ in range(3):
            answers(requester)
            requester.can_enroll(None)
            requester.can_act_for_others(is_active=False)
            requester.can_choose_mode("verified")

        assert sorted(CountingBackend.calls) == sorted(GrantingBackend.names)

    @pytest.mark.rule("V1-LIST-06")
    def test_sees_no_course_without_a_role(self) -> None:
        learner = Requester(make_user())

        assert learner.visible_course_ids() == set()
        assert learner.visible_courses([make_course()]) == []


@pytest.mark.django_db
@pytest.mark.rule("V1-THR-02")
def test_staff_and_superusers_have_the_rate_of_staff() -> None:
    assert throttle_scope(None) == "user"
    assert throttle_scope(make_user()) == "user"
    assert throttle_scope(make_user("boss", is_staff=True)) == "staff"
    assert throttle_scope(make_user("root", is_superuser=True)) == "staff"
