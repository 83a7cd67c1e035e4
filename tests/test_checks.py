"""System checks, each told by its id, and what happens when Django starts."""

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

#: What no setting takes.
WRONG = object()

registered: list[tuple[str, Any]] = []


def register(name: str, service: Any) -> None:
    """Be a proctoring runtime."""
    registered.append((name, service))


class Idle:
    """Has none of the methods that any backend needs."""


class Demanding:
    """Has every method, but cannot be made without being asked for something."""

    def __init__(self, price: int) -> None:
        self.price = price

    def work(self) -> None:
        """Do everything that any backend does."""

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

    def display_name(self, course: Any) -> str:
        return "A method may say anything."


class AdapterByMethod(Adapter):
    def course_id(self, course: Any) -> str:
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


def ids(found: list[django_checks.CheckMessage]) -> list[str]:
    return [one.id.removeprefix("django_enrollments.") for one in found]


def every_check() -> list[django_checks.CheckMessage]:
    return [one for check in checks.CHECKS for one in check()]


class TestEveryCheck:
    def test_finds_nothing_in_this_host(self):
        assert every_check() == []

    def test_is_registered(self):
        registry = django_checks.registry.registry.get_checks()

        assert {*checks.CHECKS} <= {*registry}

    def test_runs_under_the_tag_of_the_app(self, settings):
        settings.ENROLLMENTS_API_KEYS = [""]

        found = django_checks.run_checks(tags=["django_enrollments"])

        assert ids(found) == ["W002"]

    def test_carries_message_and_hint(self, settings):
        settings.ENROLLMENTS_MODES = []
        settings.ENROLLMENTS_API_KEYS = ["", "key"]
        settings.ENROLLMENTS_COURSE_MODEL = "nowhere.Course"
        settings.ENROLLMENTS_DATA_API = "json"
        settings.ENROLLMENTS_COHORT_BACKEND = "nowhere.Backend"
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{HERE}.Idle"
        settings.ENROLLMENTS_INVITE_ONLY = "no"

        found = every_check()

        assert sorted(ids(found)) == [
            "E001",
            "E002",
            "E003",
            "E006",
            "E007",
            "W001",
            "W002",
        ]
        assert all(one.msg and one.hint for one in found)

    def test_is_listed_in_the_table_of_the_module(self):
        for number in range(1, 9):
            assert f"django_enrollments.E00{number} " in checks.__doc__
        for number in ("W001", "W002", "W003"):
            assert f"django_enrollments.{number} " in checks.__doc__


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
        setattr(settings, written, "anything")

        (found,) = checks.check_names()

        assert found.id == "django_enrollments.W001"
        assert found.level == django_checks.WARNING
        assert written in found.msg
        assert meant in found.hint

    def test_w001_is_silent_about_names_that_exist(self, settings):
        for name, setting in SETTINGS.items():
            setattr(settings, name, setting.default)

        assert checks.check_names() == []


class TestCheckTypes:
    @pytest.mark.parametrize("name", sorted(SETTINGS))
    def test_e001_names_setting_and_value(self, settings, name):
        setattr(settings, name, WRONG)

        (found,) = checks.check_types()

        assert found.id == "django_enrollments.E001"
        assert found.level == django_checks.ERROR
        assert name in found.msg
        assert (repr(WRONG) in found.msg) is (name != "ENROLLMENTS_API_KEYS")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
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
        ],
    )
    def test_e001_refuses(self, settings, name, value):
        setattr(settings, name, value)

        (found,) = checks.check_types()

        assert found.id == "django_enrollments.E001"
        assert repr(value) in found.msg

    @pytest.mark.parametrize("value", ["top-secret", ["top-secret", 7]])
    def test_e001_never_shows_an_api_key(self, settings, value):
        settings.ENROLLMENTS_API_KEYS = value

        (found,) = checks.check_types()

        assert "ENROLLMENTS_API_KEYS" in found.msg
        assert "top-secret" not in f"{found.msg} {found.hint}"

    def test_e001_shows_the_default_as_an_example(self, settings):
        settings.ENROLLMENTS_SELF_SERVICE_MODES = "audit"

        (found,) = checks.check_types()

        assert "ENROLLMENTS_SELF_SERVICE_MODES = ['audit', 'honor']" in found.hint


@pytest.mark.parametrize("name", sorted(DOTTED))
class TestCheckPaths:
    def point(self, settings: Any, name: str, path: str) -> None:
        setattr(settings, name, [path] if DOTTED[name] else path)

    @pytest.mark.parametrize(
        "path", ["nowhere.Thing", f"{HERE}.Missing", "plain_word", ".", "..a.b"]
    )
    def test_e002_names_setting_and_path(self, settings, name, path):
        self.point(settings, name, path)

        (found,) = checks.check_paths()

        assert found.id == "django_enrollments.E002"
        assert found.level == django_checks.ERROR
        assert name in found.msg
        assert repr(path) in found.msg

    def test_e002_tells_what_the_module_raised(
        self, settings, name, tmp_path, monkeypatch
    ):
        (tmp_path / "failing_module.py").write_text("1 / 0")
        monkeypatch.syspath_prepend(tmp_path)
        is_module = name == "ENROLLMENTS_DATA_API"
        self.point(settings, name, "failing_module" + ("" if is_module else ".Thing"))

        (found,) = checks.check_paths()

        assert found.id == "django_enrollments.E002"
        assert "division by zero" in found.msg

    def test_leaves_a_wrong_type_to_e001(self, settings, name):
        setattr(settings, name, WRONG)

        assert checks.check_paths() == []


class TestCheckWhatPathsNameLacks:
    @pytest.mark.parametrize("name", sorted(METHODS))
    @pytest.mark.parametrize("thing", ["Idle", "Demanding", "not_a_class"])
    def test_e007_refuses_what_cannot_do_the_job(self, settings, name, thing):
        path = f"{HERE}.{thing}"
        setattr(settings, name, [path] if DOTTED[name] else path)

        (found,) = checks.check_paths()

        assert found.id == "django_enrollments.E007"
        assert name in found.msg
        assert repr(path) in found.msg
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

        assert ids(checks.check_paths()) == ["E007"]

    def test_takes_filters_that_are_functions_already(self, settings):
        settings.ENROLLMENTS_FILTERS = [register, f"{HERE}.register"]

        assert checks.check_paths() == []

    def test_e006_lists_the_functions_that_a_data_api_lacks(
        self, settings, tmp_path, monkeypatch
    ):
        lines = "from django_enrollments.data import *\ndel get_user_roles\n"
        (tmp_path / "partial_data.py").write_text(lines)
        monkeypatch.syspath_prepend(tmp_path)
        settings.ENROLLMENTS_DATA_API = "partial_data"

        (found,) = checks.check_paths()

        assert found.id == "django_enrollments.E006"
        assert found.msg.endswith("lacks get_user_roles.")

    def test_says_nothing_of_a_registrar_without_special_exams(self, settings):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = False
        settings.ENROLLMENTS_SERVICE_REGISTRAR = f"{HERE}.register"

        assert every_check() == []


class TestCheckExtras:
    AUTHENTICATION = "django_enrollments.authentication"

    @pytest.fixture(
        params=[
            ("JwtAuthentication", "rest_framework_simplejwt", "jwt"),
            ("BearerAuthenticationAllowInactiveUser", "oauth2_provider", "oauth"),
        ]
    )
    def missing(self, request: Any, monkeypatch: Any) -> tuple[str, str]:
        """Return a class whose library cannot be imported, and its extra."""
        kind, library, extra = request.param
        for module in [one for one in sys.modules if one.split(".")[0] == library]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, library, None)
        return f"{self.AUTHENTICATION}.{kind}", extra

    def test_e008_tells_what_to_install(self, settings, missing):
        path, extra = missing
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [path]

        (found,) = every_check()

        assert found.id == "django_enrollments.E008"
        assert found.level == django_checks.ERROR
        assert "ENROLLMENTS_AUTHENTICATION_CLASSES" in found.msg
        assert repr(path) in found.msg
        assert f'pip install "django-enrollments[{extra}]"' in found.hint

    def test_e008_looks_at_the_defaults_of_rest_framework_too(self, settings, missing):
        path, extra = missing
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [path]}

        (found,) = every_check()

        assert found.id == "django_enrollments.E008"
        assert "DEFAULT_AUTHENTICATION_CLASSES of REST_FRAMEWORK" in found.msg
        assert f"[{extra}]" in found.hint

    @pytest.mark.parametrize(
        "value",
        [["nowhere.Thing"], [f"{HERE}.Demanding"], [f"{HERE}.register"], [7], None, 7],
    )
    def test_leaves_what_else_is_wrong_there_to_others(self, settings, value):
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": value}

        assert checks.check_extras() == []

    @pytest.mark.parametrize("path", ["nowhere.Thing", f"{HERE}.Demanding"])
    def test_leaves_what_is_no_matter_of_extras_to_e002_and_e007(self, settings, path):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [path]

        assert checks.check_extras() == []

    def test_an_app_that_is_not_installed_is_e007(self, settings):
        reason = "The extra oauth is not installed."
        pytest.importorskip("oauth2_provider", reason=reason)
        settings.INSTALLED_APPS = [
            app for app in settings.INSTALLED_APPS if app != "oauth2_provider"
        ]
        kind = f"{self.AUTHENTICATION}.BearerAuthenticationAllowInactiveUser"
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [kind]

        assert ids(every_check()) == ["E007"]


class TestCheckDatabases:
    @pytest.fixture(autouse=True)
    def _atomic_requests(self, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    @pytest.mark.parametrize(
        ("mode", "warns"),
        [
            ({}, True),
            ({"transaction_mode": None}, True),
            ({"transaction_mode": "DEFERRED"}, True),
            ({"transaction_mode": "immediate"}, False),
            ({"transaction_mode": "EXCLUSIVE"}, False),
        ],
    )
    def test_w003_warns_of_sqlite_whose_requests_begin_as_readers(
        self, monkeypatch, mode, warns
    ):
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", mode)

        found = every_check()

        is_sqlite = connection.vendor == "sqlite"
        assert ids(found) == (["W003"] if warns and is_sqlite else [])
        assert all("'default'" in one.msg and "IMMEDIATE" in one.hint for one in found)

    def test_w003_is_silent_without_atomic_requests(self, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", False)

        assert every_check() == []


class TestCheckApiKeys:
    @pytest.mark.parametrize("keys", [[""], ["good", "  "]])
    def test_w002_warns_of_a_blank_key(self, settings, keys):
        settings.ENROLLMENTS_API_KEYS = keys

        (found,) = checks.check_api_keys()

        assert found.id == "django_enrollments.W002"
        assert found.level == django_checks.WARNING
        assert "good" not in found.msg

    def test_w002_is_silent_about_good_keys(self, settings):
        settings.ENROLLMENTS_API_KEYS = ["old", "new"]

        assert checks.check_api_keys() == []


class TestCheckCourseModel:
    @pytest.mark.parametrize("label", ["nowhere.Course", "auth.Nothing", "Course"])
    def test_e003_names_setting_and_value(self, settings, label):
        settings.ENROLLMENTS_COURSE_MODEL = label

        (found,) = checks.check_course_model()

        assert found.id == "django_enrollments.E003"
        assert "ENROLLMENTS_COURSE_MODEL" in found.msg
        assert repr(label) in found.msg
        assert checks.check_course_adapter() == []


class TestCheckCourseAdapter:
    def use(self, settings: Any, adapter: type) -> None:
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{HERE}.{adapter.__name__}"

    def test_e004_names_every_mapping_that_leads_nowhere(self, settings):
        self.use(settings, AdapterToNowhere)

        found = checks.check_course_adapter()

        assert ids(found) == ["E004"] * 3
        told = " ".join(one.msg for one in found)
        assert f"{HERE}.AdapterToNowhere.org is 'organisation'" in told
        assert ".start is 'course_id__start'" in told
        assert ".end is 7" in told

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

        (found,) = checks.check_course_adapter()

        assert found.id == "django_enrollments.E005"
        assert f"{adapter.__name__}.course_id" in found.msg

    def test_follows_paths_through_foreign_keys(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "admin.LogEntry"
        self.use(settings, AdapterOfAuthor)

        told = {one.msg.partition(" is ")[0] for one in checks.check_course_adapter()}

        names = {name.rpartition(".")[2] for name in told}
        assert names >= {"course_id", "org", "end"}
        assert not names & {"display_name", "start"}

    @pytest.mark.parametrize("thing", ["nowhere.Adapter", f"{HERE}.Demanding"])
    def test_leaves_a_bad_path_to_other_checks(self, settings, thing):
        settings.ENROLLMENTS_COURSE_ADAPTER = thing

        assert checks.check_course_adapter() == []
        assert len(checks.check_paths()) == 1


class TestRegisterService:
    @pytest.fixture(autouse=True)
    def _nothing_registered(self):
        registered.clear()

    @pytest.mark.rule("SVC-09")
    def test_hands_out_the_service_where_there_are_special_exams(self, settings):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
        settings.ENROLLMENTS_SERVICE_REGISTRAR = f"{HERE}.register"

        register_service()

        ((name, service),) = registered
        assert name == "enrollments"
        assert isinstance(service, EnrollmentsService)

    @pytest.mark.rule("SVC-09")
    def test_hands_out_nothing_without_special_exams(self, settings):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = False
        settings.ENROLLMENTS_SERVICE_REGISTRAR = f"{HERE}.register"

        register_service()

        assert registered == []

    @pytest.mark.rule("SVC-09")
    def test_hands_out_nothing_without_a_registrar(self, settings):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True

        register_service()

        assert registered == []

    def test_a_registrar_that_cannot_be_imported_stops_nothing(self, settings, caplog):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
        settings.ENROLLMENTS_SERVICE_REGISTRAR = "nowhere.register"

        register_service()

        assert "ENROLLMENTS_SERVICE_REGISTRAR" in caplog.text
        assert ids(checks.check_paths()) == ["E002"]


class TestReady:
    def test_starts_although_the_course_model_is_not_installed(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "nowhere.Course"

        apps.get_app_config("django_enrollments").ready()

        assert ids(checks.check_course_model()) == ["E003"]

    def test_knows_every_setting_of_the_contract(self):
        names = {
            name for name in dir(django_settings) if name.startswith("ENROLLMENTS_")
        }

        assert names
        assert names <= {*SETTINGS}


class TestLearningBaseUrl:
    def check(self) -> list[str]:
        return ids(django_checks.run_checks(databases=["default"]))

    @pytest.mark.django_db
    def test_w004_no_links_although_a_mode_expires(self, settings):
        settings.ENROLLMENTS_DEFAULT_MODE = "honor"
        course = make_course()
        make_mode(course, "audit", expiration_datetime=NOON)
        make_mode(course, "honor")

        assert "W004" not in self.check()

        make_mode(course, "honor", currency="eur", expiration_datetime=NOON)

        assert "W004" in self.check()

        settings.ENROLLMENTS_LEARNING_BASE_URL = "https://learn.example.org"

        assert "W004" not in self.check()

    def test_w004_reads_no_database_that_is_not_checked(self):
        assert checks.check_learning_base_url() == []
        assert checks.check_learning_base_url(databases=["other"]) == []

    @pytest.mark.django_db
    def test_w004_passes_before_the_tables_are_there(self, monkeypatch):
        monkeypatch.setattr(CourseMode._meta, "db_table", "not_migrated")

        assert checks.check_learning_base_url(databases=["default"]) == []
        # The transaction goes on.
        make_course()
