"""System checks by their ids, and the start of Django."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks as django_checks
from django.db import connection

from django_enrollments import checks
from django_enrollments.apps import register_service
from django_enrollments.backends.courses import CourseAdapter
from django_enrollments.conf import SETTINGS
from django_enrollments.models import CourseMode, get_course_adapter
from django_enrollments.services import EnrollmentsService
from tests.factories import NOON, make_course, make_mode

HERE = "tests.test_checks"

#: Settings that hold dotted paths, and whether each holds a list of them.
DOTTED = {
    name: isinstance(one.default, list) or name == "ENROLLMENTS_AUTHENTICATION_CLASSES"
    for name, one in SETTINGS.items()
    if one.method is not None
}

#: The methods that classes need, by the setting that names them.
METHODS = {name: one.method for name, one in SETTINGS.items() if one.method}

#: A value that no setting takes.
WRONG = object()

MODES = "ENROLLMENTS_SELF_SERVICE_MODES"

registered: list[tuple[str, Any]] = []


def register(name, service):
    """Register a service, as a proctoring runtime does."""
    registered.append((name, service))


class Idle:
    """A class without a method of any backend."""


class Demanding:
    """A class with every method whose constructor has an argument."""

    def __init__(self, price):
        self.price = price

    def work(self):
        """Replace the method of any backend."""

    add_user = authenticate = find_retiring_user = has_perm = work
    record_enrollment = send = set_opt_in = sources = work


not_a_class = Idle()


class Adapter(type(get_course_adapter())):
    """Reads the courses of whichever host this is."""


class AdapterToNowhere(Adapter):
    org = "organisation"
    start = "course_id__start"
    end = 7
    self_paced = None

    def display_name(self, course):
        return "A method may say anything."


class AdapterByMethod(Adapter):
    def course_id(self, course):
        return "x"


class AdapterByNothing(Adapter):
    course_id = None


class AdapterByPath(Adapter):
    course_id = "django_enrollments_coursemode_set__mode_slug"


class AdapterByMissing(Adapter):
    course_id = "nowhere"


class AdapterByTitle(Adapter):
    """Text, but not unique."""

    course_id = Adapter.proctoring_provider


class AdapterByCapacity(Adapter):
    """No text."""

    course_id = Adapter.max_student_enrollments_allowed


class AdapterOfAuthor(CourseAdapter):
    """Paths of the admin's log, which has foreign keys in every host."""

    course_id = "object_repr"
    org = "user__nowhere"
    display_name = "content_type__model"
    start = "action_time"
    end = "action_time__year"


def ids(found):
    return [one.id.removeprefix("django_enrollments.") for one in found]


def every_check():
    return [one for check in checks.CHECKS for one in check()]


def only(found, id_, *texts, level=django_checks.ERROR):
    """Assert that a check has found one thing whose message has some texts."""
    (one,) = found
    assert (ids([one]), one.level) == ([id_], level)
    for text in texts:
        assert text in one.msg
    assert one.hint
    return one


class TestEveryCheck:
    def test_finds_nothing_in_this_host(self):
        assert every_check() == []

    def test_is_registered_and_runs_under_the_tag_of_the_app(self, settings):
        registry = django_checks.registry.registry.get_checks()
        settings.ENROLLMENTS_API_KEYS = [""]

        found = django_checks.run_checks(tags=["django_enrollments"])

        assert {*checks.CHECKS} <= {*registry}
        assert ids(found) == ["W002"]

    def test_has_message_and_hint(self, settings):
        settings.ENROLLMENTS_MODES = []
        settings.ENROLLMENTS_API_KEYS = ["", "key"]
        settings.ENROLLMENTS_COURSE_MODEL = "nowhere.Course"
        settings.ENROLLMENTS_DATA_API = "json"
        settings.ENROLLMENTS_COHORT_BACKEND = "nowhere.Backend"
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{HERE}.Idle"
        settings.ENROLLMENTS_INVITE_ONLY = "no"

        found = every_check()

        expected = ["E001", "E002", "E003", "E006", "E007", "W001", "W002"]
        assert sorted(ids(found)) == expected
        assert all(one.msg and one.hint for one in found)


class TestCheckNames:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("ENROLLMENTS_DEFAULT_MODES", "ENROLLMENTS_DEFAULT_MODE"),
            ("ENROLLMENTS_APIKEYS", "ENROLLMENTS_API_KEYS"),
            ("ENROLLMENTS_THROTTLE", "ENROLLMENTS_THROTTLE_RATES"),
        ],
    )
    def test_w001_suggests_the_nearest_name(self, settings, written, meant):
        for name, setting in SETTINGS.items():
            setattr(settings, name, setting.default)
        assert checks.check_names() == []

        setattr(settings, written, "anything")

        level = django_checks.WARNING
        found = only(checks.check_names(), "W001", written, level=level)
        assert meant in found.hint


class TestCheckTypes:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *((name, WRONG) for name in sorted(SETTINGS)),
            ("ENROLLMENTS_PERMISSION_BACKENDS", "a.bare.string"),
            ("ENROLLMENTS_FILTERS", "a.bare.string"),
            ("ENROLLMENTS_SELF_SERVICE_MODES", "audit"),
            ("ENROLLMENTS_COURSE_ID_PATTERN", "("),
            ("ENROLLMENTS_USERNAME_PATTERN", "[a-"),
            ("ENROLLMENTS_THROTTLE_RATES", {"user": "often"}),
            ("ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS", -1),
            ("ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS", True),
            ("ENROLLMENTS_INVITE_ONLY", "False"),
            ("ENROLLMENTS_PROCTORING_BACKENDS", {"null": {"allow_honor_mode": "no"}}),
            ("ENROLLMENTS_API_KEYS", "top-secret"),
            ("ENROLLMENTS_API_KEYS", ["top-secret", 7]),
        ],
    )
    def test_e001_shows_setting_and_value_but_no_api_key(self, settings, name, value):
        setattr(settings, name, value)

        found = only(checks.check_types(), "E001", name)

        has_secrets = name in {"ENROLLMENTS_API_KEYS", "ENROLLMENTS_CONSUMERS"}
        assert (repr(value) in found.msg) is not has_secrets
        assert "top-secret" not in f"{found.msg} {found.hint}"
        assert name != MODES or f"{MODES} = ['audit', 'honor']" in found.hint


class TestCheckPaths:
    def point(self, settings, name, path):
        setattr(settings, name, [path] if DOTTED[name] else path)

    @pytest.mark.parametrize("name", sorted(DOTTED))
    @pytest.mark.parametrize(
        "path", ["nowhere.Thing", f"{HERE}.Missing", "plain_word", ".", "..a.b"]
    )
    def test_e002_shows_setting_and_path(self, settings, name, path):
        self.point(settings, name, path)

        only(checks.check_paths(), "E002", name, repr(path))

    @pytest.mark.parametrize("name", sorted(DOTTED))
    def test_e002_shows_the_error_of_a_module(
        self, settings, name, tmp_path, monkeypatch
    ):
        (tmp_path / "failing_module.py").write_text("1 / 0")
        monkeypatch.syspath_prepend(tmp_path)
        is_module = name == "ENROLLMENTS_DATA_API"
        self.point(settings, name, "failing_module" + ("" if is_module else ".Thing"))

        only(checks.check_paths(), "E002", "division by zero")

    @pytest.mark.parametrize("name", sorted(DOTTED))
    def test_leave_a_wrong_type_to_e001(self, settings, name):
        setattr(settings, name, WRONG)

        assert checks.check_paths() == []

    @pytest.mark.parametrize("name", sorted(METHODS))
    @pytest.mark.parametrize("thing", ["Idle", "Demanding", "not_a_class"])
    def test_e007_shows_the_missing_method(self, settings, name, thing):
        path = f"{HERE}.{thing}"
        self.point(settings, name, path)

        found = only(checks.check_paths(), "E007", name, repr(path))

        assert f"{METHODS[name]}()" in found.hint

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("ENROLLMENTS_FILTERS", [f"{HERE}.not_a_class"]),
            ("ENROLLMENTS_SERVICE_REGISTRAR", f"{HERE}.not_a_class"),
        ],
    )
    def test_e007_refuses_a_function_that_cannot_be_called(self, settings, name, value):
        setattr(settings, name, value)

        only(checks.check_paths(), "E007")

    def test_e006_lists_the_functions_that_a_data_api_lacks(
        self, settings, tmp_path, monkeypatch
    ):
        lines = "from django_enrollments.data import *\ndel get_user_roles\n"
        (tmp_path / "partial_data.py").write_text(lines)
        monkeypatch.syspath_prepend(tmp_path)
        settings.ENROLLMENTS_DATA_API = "partial_data"

        only(checks.check_paths(), "E006", "lacks get_user_roles.")

    def test_allow_functions_and_a_registrar_without_special_exams(self, settings):
        settings.ENROLLMENTS_FILTERS = [register, f"{HERE}.register"]
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = False
        settings.ENROLLMENTS_SERVICE_REGISTRAR = f"{HERE}.register"

        assert every_check() == []


class TestCheckExtras:
    AUTHENTICATION = "django_enrollments.authentication"

    @pytest.mark.parametrize(
        ("kind", "library", "extra"),
        [
            ("JwtAuthentication", "rest_framework_simplejwt", "jwt"),
            ("BearerAuthenticationAllowInactiveUser", "oauth2_provider", "oauth"),
        ],
    )
    @pytest.mark.parametrize("by_default", [False, True])
    def test_e008_shows_the_extra_to_install(
        self, settings, monkeypatch, kind, library, extra, by_default
    ):
        for module in [one for one in sys.modules if one.split(".")[0] == library]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, library, None)
        path = f"{self.AUTHENTICATION}.{kind}"
        name = "ENROLLMENTS_AUTHENTICATION_CLASSES"
        if by_default:
            name = "DEFAULT_AUTHENTICATION_CLASSES of REST_FRAMEWORK"
            settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [path]}
        else:
            settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [path]

        found = only(every_check(), "E008", name, repr(path))

        assert f'pip install "django-enrollments[{extra}]"' in found.hint

    @pytest.mark.parametrize(
        "value",
        [["nowhere.Thing"], [f"{HERE}.Demanding"], [f"{HERE}.register"], [7], None, 7],
    )
    def test_leave_other_faults_to_e002_and_e007(self, settings, value):
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": value}
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = value

        assert checks.check_extras() == []

    def test_leave_an_app_that_is_not_installed_to_e007(self, settings):
        reason = "The extra oauth is not installed."
        pytest.importorskip("oauth2_provider", reason=reason)
        settings.INSTALLED_APPS = [
            app for app in settings.INSTALLED_APPS if app != "oauth2_provider"
        ]
        kind = f"{self.AUTHENTICATION}.BearerAuthenticationAllowInactiveUser"
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [kind]

        assert ids(every_check()) == ["E007"]


class TestCheckDatabases:
    @pytest.mark.parametrize(
        ("atomic", "mode", "warns"),
        [
            (True, {}, True),
            (True, {"transaction_mode": None}, True),
            (True, {"transaction_mode": "DEFERRED"}, True),
            (True, {"transaction_mode": "immediate"}, False),
            (True, {"transaction_mode": "EXCLUSIVE"}, False),
            (False, None, False),
        ],
    )
    def test_w003_warns_of_atomic_requests_that_begin_by_reading_on_sqlite(
        self, monkeypatch, atomic, mode, warns
    ):
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
        if mode is not None:
            monkeypatch.setitem(connection.settings_dict, "OPTIONS", mode)

        found = every_check()

        is_sqlite = connection.vendor == "sqlite"
        assert ids(found) == (["W003"] if warns and is_sqlite else [])
        assert all("'default'" in one.msg and "IMMEDIATE" in one.hint for one in found)


class TestCheckApiKeys:
    @pytest.mark.parametrize("keys", [[""], ["good", "  "]])
    def test_w002_warns_of_a_blank_key(self, settings, keys):
        settings.ENROLLMENTS_API_KEYS = keys

        found = only(checks.check_api_keys(), "W002", level=django_checks.WARNING)

        assert "good" not in found.msg
        settings.ENROLLMENTS_API_KEYS = ["old", "new"]
        assert checks.check_api_keys() == []


class TestCheckCourseModel:
    @pytest.mark.parametrize("label", ["nowhere.Course", "auth.Nothing", "Course"])
    def test_e003_shows_setting_and_value_and_lets_django_start(self, settings, label):
        settings.ENROLLMENTS_COURSE_MODEL = label

        apps.get_app_config("django_enrollments").ready()

        only(
            checks.check_course_model(), "E003", "ENROLLMENTS_COURSE_MODEL", repr(label)
        )
        assert checks.check_course_adapter() == []


class TestCheckCourseAdapter:
    def use(self, settings, adapter):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{HERE}.{adapter.__name__}"

    def test_e004_shows_every_mapping_that_leads_nowhere(self, settings):
        self.use(settings, AdapterToNowhere)

        found = checks.check_course_adapter()

        assert ids(found) == ["E004"] * 3
        messages = " ".join(one.msg for one in found)
        assert f"{HERE}.AdapterToNowhere.org is 'organisation'" in messages
        assert ".start is 'course_id__start'" in messages
        assert ".end is 7" in messages

    @pytest.mark.parametrize(
        "adapter",
        [
            AdapterByMethod,
            AdapterByNothing,
            AdapterByPath,
            AdapterByMissing,
            AdapterByTitle,
            AdapterByCapacity,
        ],
    )
    def test_e005_refuses_an_id_that_is_no_unique_text(self, settings, adapter):
        self.use(settings, adapter)

        found = checks.check_course_adapter()

        only(found, "E005", f"{adapter.__name__}.course_id")

    def test_follow_paths_through_foreign_keys(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "admin.LogEntry"
        self.use(settings, AdapterOfAuthor)

        found = {one.msg.partition(" is ")[0] for one in checks.check_course_adapter()}

        names = {name.rpartition(".")[2] for name in found}
        assert names >= {"course_id", "org", "end"}
        assert not names & {"display_name", "start"}

    @pytest.mark.parametrize("thing", ["nowhere.Adapter", f"{HERE}.Demanding"])
    def test_leave_a_bad_path_to_other_checks(self, settings, thing):
        settings.ENROLLMENTS_COURSE_ADAPTER = thing

        assert checks.check_course_adapter() == []
        assert len(checks.check_paths()) == 1


class TestRegisterService:
    @pytest.mark.rule("SVC-09")
    @pytest.mark.parametrize(
        ("special_exams", "registrar", "expected"),
        [
            (True, f"{HERE}.register", ["enrollments"]),
            (False, f"{HERE}.register", []),
            (True, None, []),
            (True, "nowhere.register", []),
        ],
    )
    def test_registers_the_service_where_there_are_special_exams(
        self, settings, caplog, special_exams, registrar, expected
    ):
        registered.clear()
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = special_exams
        settings.ENROLLMENTS_SERVICE_REGISTRAR = registrar

        register_service()

        fails = registrar == "nowhere.register"
        assert [name for name, _ in registered] == expected
        assert all(isinstance(one, EnrollmentsService) for _, one in registered)
        assert ("ENROLLMENTS_SERVICE_REGISTRAR" in caplog.text) is fails
        assert ids(checks.check_paths()) == (["E002"] if fails else [])


def test_the_settings_of_this_host_are_those_of_the_contract():
    names = {name for name in dir(django_settings) if name.startswith("ENROLLMENTS_")}

    assert names
    assert names <= {*SETTINGS}


class TestCheckLearningBaseUrl:
    @pytest.mark.django_db
    def test_w004_warns_where_a_mode_expires_and_mails_have_no_links(self, settings):
        settings.ENROLLMENTS_DEFAULT_MODE = "honor"
        course = make_course(modes=["honor"], expired=["audit"])

        def found():
            return "W004" in ids(django_checks.run_checks(databases=["default"]))

        assert not found()
        make_mode(course, "honor", currency="eur", expiration_datetime=NOON)
        assert found()
        settings.ENROLLMENTS_LEARNING_BASE_URL = "https://learn.example.org"
        assert not found()

    def test_w004_reads_no_database_that_is_not_checked(self):
        assert checks.check_learning_base_url() == []
        assert checks.check_learning_base_url(databases=["other"]) == []

    @pytest.mark.django_db
    def test_w004_passes_before_the_tables_exist(self, monkeypatch):
        monkeypatch.setattr(CourseMode._meta, "db_table", "not_migrated")

        assert checks.check_learning_base_url(databases=["default"]) == []
        # The transaction goes on.
        make_course()
