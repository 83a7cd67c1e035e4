"""The settings and their types, and what texts, ids and keys may be."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from django_enrollments import identifiers
from django_enrollments import text as texts
from django_enrollments.conf import (
    DEFAULT_COURSE_ID_PATTERN,
    MISCONFIGURED,
    OPEN_EDX_COURSE_ID_PATTERN,
    SETTINGS,
    Settings,
    conf,
    refuse_everything,
)
from django_enrollments.core.attributes import missing_attributes
from django_enrollments.emails import normalize_email
from django_enrollments.errors import EnrollmentNotAllowed
from tests.factories import is_default_host, make_user

VERIFIED = [
    "verified",
    "professional",
    "masters",
    "executive-education",
    "paid-executive-education",
    "paid-bootcamp",
]

DEFAULTS: dict[str, Any] = {
    "ENROLLMENTS_COURSE_MODEL": "django_enrollments.Course",
    "ENROLLMENTS_COURSE_ADAPTER": "django_enrollments.backends.courses.CourseAdapter",
    "ENROLLMENTS_PERMISSION_BACKENDS": [
        "django_enrollments.backends.permissions.CourseRoleBackend"
    ],
    "ENROLLMENTS_DATA_API": "django_enrollments.data",
    "ENROLLMENTS_DEFAULT_MODE": "audit",
    "ENROLLMENTS_SELF_SERVICE_MODES": ["audit", "honor"],
    "ENROLLMENTS_VERIFIED_MODES": VERIFIED,
    "ENROLLMENTS_PROCTORED_MODES": [
        "verified",
        "masters",
        "professional",
        "executive-education",
    ],
    "ENROLLMENTS_REQUIRED_ATTRIBUTES": {"credit": ["credit:provider_id"]},
    "ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS": 60,
    "ENROLLMENTS_API_KEYS": [],
    "ENROLLMENTS_API_KEY_HEADER": "X-Edx-Api-Key",
    "ENROLLMENTS_AUTHENTICATION_CLASSES": None,
    "ENROLLMENTS_THROTTLE_RATES": {"user": "40/minute", "staff": "120/minute"},
    "ENROLLMENTS_INVITE_ONLY": False,
    "ENROLLMENTS_FILTERS": [],
    "ENROLLMENTS_ENABLE_SPECIAL_EXAMS": False,
    "ENROLLMENTS_PROCTORING_BACKENDS": {},
    "ENROLLMENTS_SERVICE_REGISTRAR": None,
    "ENROLLMENTS_RETIREMENT_SERVICE_USERNAME": None,
    "ENROLLMENTS_NOTIFICATION_BACKEND": (
        "django_enrollments.backends.notifications.EmailBackend"
    ),
    "ENROLLMENTS_RETIREMENT_BACKEND": (
        "django_enrollments.backends.retirement.ModelBackend"
    ),
    "ENROLLMENTS_EMAIL_OPT_IN_BACKEND": (
        "django_enrollments.backends.email_opt_in.ModelBackend"
    ),
    "ENROLLMENTS_COHORT_BACKEND": None,
    "ENROLLMENTS_ENTERPRISE_BACKEND": None,
    "ENROLLMENTS_LEARNING_BASE_URL": "",
    "ENROLLMENTS_CONSUMERS": {},
    "ENROLLMENTS_EVENT_SOURCE": "/enrollments",
    "ENROLLMENTS_WAKE": None,
}

#: Of each setting: values of the right type, values of the wrong type, and the value
#: used instead of these.
KINDS: dict[str, tuple[list[Any], list[Any], Any]] = {
    "ENROLLMENTS_PERMISSION_BACKENDS": (
        [["a.B"], ("a.B", "c.D"), []],
        ["a.B", None, 5, [5], [""], {"a.B": 1}],
        [],
    ),
    "ENROLLMENTS_DATA_API": (
        ["a.b"],
        [None, 5, "", " ", ["a.b"]],
        MISCONFIGURED,
    ),
    "ENROLLMENTS_DEFAULT_MODE": (["honor"], [None, 5, "", ["honor"]], "audit"),
    "ENROLLMENTS_SELF_SERVICE_MODES": (
        [["audit"], ("audit",), []],
        ["audit", None, [5], [None]],
        [],
    ),
    "ENROLLMENTS_VERIFIED_MODES": ([["a"]], ["verified", None, {"a"}], []),
    "ENROLLMENTS_PROCTORED_MODES": ([["a"]], ["verified", None], []),
    "ENROLLMENTS_REQUIRED_ATTRIBUTES": (
        [{}, {"credit": ["a:b"]}, {"credit": ("a:b",)}],
        [None, [], {"credit": "a:b"}, {5: ["a:b"]}, {"credit": [5]}],
        {},
    ),
    "ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS": (
        [0, 1, 3600],
        [-1, None, "60", True, 1.5],
        0,
    ),
    "ENROLLMENTS_API_KEYS": ([["k"], ["k", ""], []], ["key", None, [5]], []),
    "ENROLLMENTS_API_KEY_HEADER": (["X-Key"], [None, "", 5], "X-Edx-Api-Key"),
    "ENROLLMENTS_AUTHENTICATION_CLASSES": (
        [None, ["a.B"], []],
        ["a.B", 5, [5], [""]],
        [],
    ),
    "ENROLLMENTS_THROTTLE_RATES": (
        [{"user": "1/s"}, {"user": None, "staff": "5/hour"}, {}],
        [None, [], {"user": 5}, {"user": "many"}, {5: "1/s"}, {"user": "1/x"}],
        {"user": "40/minute", "staff": "120/minute"},
    ),
    "ENROLLMENTS_COURSE_ID_PATTERN": (
        [r"\w+", OPEN_EDX_COURSE_ID_PATTERN],
        ["(", None, 5, re.compile("a")],
        DEFAULT_COURSE_ID_PATTERN,
    ),
    "ENROLLMENTS_USERNAME_PATTERN": ([r"\w+"], ["[", None], r"[\w .@_+-]+"),
    "ENROLLMENTS_INVITE_ONLY": ([True, False], [None, "no", 0, "False"], True),
    "ENROLLMENTS_FILTERS": (
        [["a.b"], [print], []],
        ["a.b", None, [5], [None], print],
        [refuse_everything],
    ),
    "ENROLLMENTS_ENABLE_SPECIAL_EXAMS": ([True, False], [None, "yes", 1], False),
    "ENROLLMENTS_PROCTORING_BACKENDS": (
        [{"p": {}}, {"p": {"allow_honor_mode": True}}],
        [None, [], {"p": True}, {"p": {"allow_honor_mode": "yes"}}, {5: {}}],
        {},
    ),
    "ENROLLMENTS_SERVICE_REGISTRAR": ([None, "a.b"], [5, "", ["a.b"]], None),
    "ENROLLMENTS_RETIREMENT_SERVICE_USERNAME": ([None, "w"], [5, "", ["w"]], None),
    "ENROLLMENTS_COHORT_BACKEND": ([None, "a.B"], [5, ""], MISCONFIGURED),
    "ENROLLMENTS_ENTERPRISE_BACKEND": ([None, "a.B"], [5, ""], MISCONFIGURED),
    "ENROLLMENTS_LEARNING_BASE_URL": (["", "https://a"], [None, 5], ""),
    "ENROLLMENTS_CONSUMERS": (
        [
            {},
            {"crm": {"BACKEND": "a.B"}},
            {
                "crm-2": {
                    "BACKEND": "a.B",
                    "OPTIONS": {"url": 5},
                    "TYPES": ["created", "mode_changed"],
                    "FILTER": "a.f",
                    "PERSONAL": True,
                    "CONCURRENCY": 4,
                }
            },
        ],
        [
            None,
            ["crm"],
            {5: {"BACKEND": "a.B"}},
            {"": {"BACKEND": "a.B"}},
            {"a b": {"BACKEND": "a.B"}},
            {"crm": "a.B"},
            {"crm": {}},
            {"crm": {"BACKEND": print}},
            {"crm": {"BACKEND": "a.B", "OPTION": {}}},
            {"crm": {"BACKEND": "a.B", "TYPES": ["deleted"]}},
            {"crm": {"BACKEND": "a.B", "PERSONAL": 1}},
            {"crm": {"BACKEND": "a.B", "CONCURRENCY": 0}},
        ],
        {},
    ),
    "ENROLLMENTS_EVENT_SOURCE": (["https://a.org/b"], [None, "", 5], "/enrollments"),
    "ENROLLMENTS_WAKE": ([None, "a.b"], [5, ""], None),
}


class TestSettings:
    @pytest.mark.rule("SET-01")
    @pytest.mark.parametrize("name", DEFAULTS)
    def test_has_these_defaults(self, settings, name):
        if not is_default_host():
            # Django reads this setting by itself wherever it is.
            monkey = {"ENROLLMENTS_COURSE_MODEL", "ENROLLMENTS_COURSE_ADAPTER"}
            if name in monkey:
                assert SETTINGS[name].default == DEFAULTS[name]
                return
        elif name != "ENROLLMENTS_COURSE_MODEL" and hasattr(settings, name):
            delattr(settings, name)

        assert getattr(conf, name) == DEFAULTS[name]

    def test_names_every_setting(self):
        assert set(SETTINGS) == {
            *DEFAULTS,
            "ENROLLMENTS_COURSE_ID_PATTERN",
            "ENROLLMENTS_USERNAME_PATTERN",
        }

    @pytest.mark.parametrize("name", SETTINGS)
    def test_every_setting_is_documented(self, name):
        source = inspect.getsource(Settings)

        assert re.search(rf"    #: .+\n    {name}\b", source)

    @pytest.mark.parametrize(
        ("name", "value"),
        [(name, value) for name, (right, _, _) in KINDS.items() for value in right],
    )
    def test_a_value_of_the_right_type_is_used_live(self, settings, name, value):
        setattr(settings, name, value)

        assert getattr(conf, name) == value
        assert SETTINGS[name].raw == value

    @pytest.mark.parametrize(
        ("name", "value", "safe"),
        [
            (name, value, safe)
            for name, (_, wrong, safe) in KINDS.items()
            for value in wrong
        ],
    )
    def test_one_of_the_wrong_type_never_widens_access(
        self, settings, name, value, safe
    ):
        setattr(settings, name, value)

        assert getattr(conf, name) == safe
        assert SETTINGS[name].raw == value
        assert SETTINGS[name].expected

    def test_attributes_required_in_the_wrong_type_are_never_met(self, settings):
        settings.ENROLLMENTS_REQUIRED_ATTRIBUTES = {"verified": "order:id"}

        assert missing_attributes("verified", [])

    @pytest.mark.parametrize("name", SETTINGS)
    def test_every_default_and_safe_value_has_the_right_type(self, name):
        assert SETTINGS[name].is_valid(SETTINGS[name].default)
        assert SETTINGS[name].is_valid(SETTINGS[name].safe)

    def test_a_value_is_validated_once(self, settings, monkeypatch):
        validated = []
        setting = SETTINGS["ENROLLMENTS_DEFAULT_MODE"]
        monkeypatch.setattr(setting, "is_valid", lambda one: not validated.append(one))
        settings.ENROLLMENTS_DEFAULT_MODE = "executive"

        assert [conf.ENROLLMENTS_DEFAULT_MODE for _ in range(3)] == ["executive"] * 3
        assert validated == ["executive"]

    @pytest.mark.parametrize("value", [["audit"], ("audit",)])
    def test_a_wrong_value_after_a_right_one_is_replaced(self, settings, value):
        settings.ENROLLMENTS_SELF_SERVICE_MODES = value
        assert value == conf.ENROLLMENTS_SELF_SERVICE_MODES

        settings.ENROLLMENTS_SELF_SERVICE_MODES = "audit"

        assert conf.ENROLLMENTS_SELF_SERVICE_MODES == []

    def test_a_list_that_changes_in_place_is_validated_again(self, settings):
        settings.ENROLLMENTS_SELF_SERVICE_MODES = modes = ["audit"]
        assert conf.ENROLLMENTS_SELF_SERVICE_MODES == ["audit"]

        modes.append("honor")
        assert conf.ENROLLMENTS_SELF_SERVICE_MODES == ["audit", "honor"]

        modes.append(5)
        assert conf.ENROLLMENTS_SELF_SERVICE_MODES == []

    def test_refuse_everything_in_place_of_a_filter(self):
        with pytest.raises(EnrollmentNotAllowed):
            refuse_everything("enroll", user=None)


class TestCourseIds:
    @pytest.mark.parametrize(
        ("course_id", "valid"),
        [
            *(
                (course_id, True)
                for course_id in (
                    "course-v1:edX+DemoX+Demo_Course",
                    "edX/DemoX/2014T2",
                    "django-101",
                    "x",
                    "курс",
                    "a" * 255,
                    "!$&'()*;=:@~",
                )
            ),
            *(
                (course_id, False)
                for course_id in ("", "a b", "a,b", "a?b", "a#b", "a/", "/", "a\t")
            ),
            ("a" * 256, False),
        ],
    )
    def test_match_the_default_pattern(self, course_id, valid):
        assert identifiers.find_course_id(course_id) == (course_id if valid else None)

    @pytest.mark.rule("V1-URL-10")
    @pytest.mark.parametrize(
        ("course_id", "valid"),
        [
            ("course-v1:org+num+run", True),
            ("Org/Num/Run", True),
            ("a/b+c", True),
            ("a+b", False),
            ("django-101", False),
            ("a//c", False),
            ("a+b+c/d", False),
            ("a+b+c?d", False),
            ("+b+c", False),
        ],
    )
    def test_have_three_parts_by_the_strict_pattern(self, settings, course_id, valid):
        settings.ENROLLMENTS_COURSE_ID_PATTERN = OPEN_EDX_COURSE_ID_PATTERN

        assert (identifiers.find_course_id(course_id) is not None) is valid

    @pytest.mark.rule("PROC-06")
    def test_may_be_the_text_of_any_object(self):
        class Key:
            def __str__(self):
                return "django-101"

        assert identifiers.find_course_id(Key()) == "django-101"
        assert identifiers.find_course_id(101) == "101"

    @pytest.mark.parametrize(
        ("course_id", "org", "run"),
        [
            ("course-v1:edX+DemoX+Demo_Course", "edX", "Demo_Course"),
            ("edX/DemoX/2014T2", "edX", "2014T2"),
            ("edX+DemoX+2014T2", "edX", "2014T2"),
            ("django-101", "", "django-101"),
            ("a/b", "", "a/b"),
            ("a/b/c/d", "", "a/b/c/d"),
        ],
    )
    def test_name_org_and_run(self, course_id, org, run):
        assert (texts.org_of(course_id), texts.run_of(course_id)) == (
            org,
            run,
        )


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "storable"),
        [
            *((text, True) for text in ("", "a", "ünïcödé 😀", "\n", "\x01")),
            *((text, False) for text in (None, 5, b"a", "\x00", "a\x00b", "\udfff")),
            ("a\udc80z", False),
        ],
    )
    def test_are_storable_if_every_database_holds_them(self, text, storable):
        assert texts.is_storable(text) is storable

    def test_are_storable_up_to_a_length(self):
        assert texts.is_storable("x" * 5, 5)
        assert not texts.is_storable("x" * 6, 5)

    @pytest.mark.rule("V1-URL-09")
    @pytest.mark.parametrize(
        ("text", "valid"),
        [
            ("ada", True),
            ("Ada Lovelace", True),
            ("ada@example.org", True),
            ("a.b+c-d_e", True),
            ("жан", True),
            ("", False),
            ("ada/bob", False),
            ("ada,bob", False),
            ("ada\x00", False),
            ("<ada>", False),
        ],
    )
    def test_are_usernames_by_their_characters(self, text, valid):
        assert identifiers.is_username(text) is valid

    @pytest.mark.rule("V1-URL-09")
    def test_are_usernames_by_the_setting(self, settings):
        settings.ENROLLMENTS_USERNAME_PATTERN = "[a-z]+"

        assert identifiers.is_username("ada")
        assert not identifiers.is_username("Ada")

    @pytest.mark.rule("ACC-12")
    def test_are_addresses_in_one_form(self):
        assert normalize_email("  Ada@Example.ORG ") == "ada@example.org"


class TestUserKeys:
    @pytest.mark.django_db
    def test_are_keys_or_their_texts(self):
        user = make_user()

        assert identifiers.find_user_key(user.pk) == user.pk
        assert identifiers.find_user_key(str(user.pk)) == user.pk

    @pytest.mark.parametrize(
        "key",
        [None, True, False, 1.0, b"1", "", "nobody", "\x00", "1\x00", [], {}, object()],
    )
    def test_are_none_for_invalid_keys(self, key):
        assert identifiers.find_user_key(key) is None

    def test_are_none_for_a_number_that_no_column_holds(self):
        if not is_default_host():
            pytest.skip("Here keys are UUIDs.")

        assert identifiers.find_user_key(2**70) is None
        assert identifiers.find_user_key(-(2**70)) is None
