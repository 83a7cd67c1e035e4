"""Backends, filters and settings of a host that cannot be used."""

from __future__ import annotations

import json
import sys
from itertools import count

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from django_enrollments import api
from django_enrollments.conf import SETTINGS
from django_enrollments.enrollments_notifications import EnrollmentNotificationSender
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
    UserRetirementStatus,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
)
from tests.http import ROOT, client_of, wish

pytestmark = pytest.mark.django_db

KEY = "server-to-server"

#: Where the collaborator's module is faulty, and how; ``None`` is a missing file.
FAULTS = {
    "no module": None,
    "module raises": "raise RuntimeError('The module is broken.')",
    "module has a syntax error": "class Thing",
    "module exits": "raise SystemExit(1)",
    "no name": "Other = 1",
    "not callable": "Thing = 5",
    "constructor raises": (
        "class Thing:\n    def __init__(self):\n        raise KeyError('broken')\n"
    ),
    "constructor exits": (
        "class Thing:\n    def __init__(self):\n        raise SystemExit(1)\n"
    ),
    "no method": "class Thing:\n    pass\n",
}

SHIPPED = "django_enrollments.backends"
COURSES = (
    f"from {SHIPPED}.courses import CourseAdapter as Thing"
    if is_default_host()
    else "from tests.other_host.adapters import SeminarAdapter as Thing"
)

#: By setting: a module that works.
WORKING = {
    "ENROLLMENTS_COURSE_ADAPTER": COURSES,
    "ENROLLMENTS_PERMISSION_BACKENDS": (
        f"from {SHIPPED}.permissions import CourseRoleBackend as Thing"
    ),
    "ENROLLMENTS_DATA_API": "from django_enrollments.data import *",
    "ENROLLMENTS_AUTHENTICATION_CLASSES": (
        "from django_enrollments.authentication import "
        "SessionAuthenticationAllowInactiveUser as Thing"
    ),
    "ENROLLMENTS_FILTERS": "def Thing(action, **context):\n    return None\n",
    "ENROLLMENTS_RETIREMENT_BACKEND": (
        f"from {SHIPPED}.retirement import ModelBackend as Thing"
    ),
    "ENROLLMENTS_EMAIL_OPT_IN_BACKEND": (
        f"from {SHIPPED}.email_opt_in import ModelBackend as Thing"
    ),
    "ENROLLMENTS_COHORT_BACKEND": (
        "class Thing:\n    def add_user(self, course, cohort_name, user):\n"
        "        pass\n"
    ),
    "ENROLLMENTS_ENTERPRISE_BACKEND": (
        "class Thing:\n    def record_enrollment(self, user, course, **more):\n"
        "        pass\n"
    ),
}
LISTS = {
    "ENROLLMENTS_PERMISSION_BACKENDS",
    "ENROLLMENTS_AUTHENTICATION_CLASSES",
    "ENROLLMENTS_FILTERS",
}

FULL = pytest.mark.full

#: Values that are of the wrong type for most settings.
WRONG = [7, None, "bare", ["no.such.thing"], {"verified": "order:id"}]

#: What :mod:`re` cannot compile, each for another reason.
NO_PATTERNS = ["(", "a{99999999999999999999}", "(" * 5000 + ")" * 5000]


@pytest.fixture(autouse=True)
def _settings(settings):
    settings.ENROLLMENTS_API_KEYS = [KEY]
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


@pytest.fixture
def course():
    return make_course("django-101", modes=["audit", "honor", "credit"])


@pytest.fixture
def people():
    leaver = make_user("leaver")
    UserRetirementStatus.objects.create(
        user=leaver, original_username=leaver.get_username()
    )
    boss = make_user("boss", is_staff=True, is_superuser=True)
    return {"learner": make_user("learner"), "leaver": leaver, "boss": boss}


class Collaborator:
    """A module whose source changes while the tests run."""

    def __init__(self, folder, name):
        self.file = folder / f"{name}.py"
        self.name = name

    def write(self, source):
        """Write the source, as a deployment without a restart does."""
        sys.modules.pop(self.name, None)
        if source is None:
            self.file.unlink(missing_ok=True)
        else:
            self.file.write_text(source)

    def name_in(self, settings, setting):
        is_module = setting == "ENROLLMENTS_DATA_API"
        path = self.name if is_module else f"{self.name}.Thing"
        setattr(settings, setting, [path] if setting in LISTS else path)


_names = (f"collaborator_{number}" for number in count())


@pytest.fixture
def make_collaborator(tmp_path, monkeypatch):
    made = []

    def make(source):
        made.append(Collaborator(tmp_path, next(_names)))
        made[-1].write(source)
        return made[-1]

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for one in made:
        sys.modules.pop(one.name, None)


def requests_of(course, people):
    course_id = course_id_of(course)
    learner, leaver = (people[name].get_username() for name in ("learner", "leaver"))
    everything = {
        "cohort": "Blue",
        "email_opt_in": True,
        "enterprise_uuid": "customer",
        "user": learner,
    }
    attributes = [{"namespace": "a", "name": "b", "value": "c"}]
    invitation = {"email": "new@example.org", "course_id": course_id}
    return [
        ("GET", "enrollment", None),
        ("GET", f"enrollment?user={learner}", None),
        ("GET", f"enrollment/{course_id}", None),
        ("GET", f"enrollment/{learner},{course_id}", None),
        ("GET", "enrollments/", None),
        ("GET", f"enrollments/?course_id={course_id}&username={learner}", None),
        ("GET", f"course/{course_id}", None),
        ("GET", f"course/{course_id}/eligibility", None),
        ("GET", "roles/", None),
        ("GET", "enrollment_allowed/", None),
        ("POST", "enrollment_allowed/", invitation),
        ("DELETE", "enrollment_allowed/", invitation),
        ("POST", "enrollment", wish(course)),
        ("POST", "enrollment", wish(course, **everything)),
        (
            "POST",
            "enrollment",
            wish(course, mode="honor", enrollment_attributes=attributes),
        ),
        (
            "POST",
            "enrollment",
            wish(course, mode="credit", is_active=True, user=learner)
            | {"enrollment_attributes": attributes},
        ),
        ("POST", "enrollment", wish(course, is_active=False, user=learner)),
        ("POST", "unenroll/", {"username": leaver}),
    ]


def send(user, method, path, body, **headers):
    client = client_of(user, raise_request_exception=False)
    data = b"" if body is None else json.dumps(body).encode()
    return client.generic(
        method, f"{ROOT}{path}", data, "application/json", headers=headers
    )


def statuses(course, people):
    """Send every request as each kind of requester, and roll back its changes."""
    seen = {}
    for name, headers in (("boss", {}), (None, {"X-Edx-Api-Key": KEY})):
        for number, (method, path, body) in enumerate(requests_of(course, people)):
            with transaction.atomic():
                response = send(people.get(name), method, path, body, **headers)
                transaction.set_rollback(True)
            seen[name, number, method, path] = response.status_code
    return seen


#: By setting: the requests, by their number, that need the collaborator.
NEED = {
    "ENROLLMENTS_COURSE_ADAPTER": {0, 5, 6, 7, 12, 13},
    "ENROLLMENTS_PERMISSION_BACKENDS": {3, 4, 5, 9, 10, 11, 13},
    "ENROLLMENTS_DATA_API": {0, 1, 2, 3, 6, 8, 12, 13, 17},
    "ENROLLMENTS_AUTHENTICATION_CLASSES": {4, 5, 7, 9, 10, 11, 17},
    "ENROLLMENTS_FILTERS": {0, 12, 13},
    "ENROLLMENTS_RETIREMENT_BACKEND": {17},
    "ENROLLMENTS_EMAIL_OPT_IN_BACKEND": {13},
    "ENROLLMENTS_COHORT_BACKEND": {13},
    "ENROLLMENTS_ENTERPRISE_BACKEND": {13},
}


@pytest.mark.parametrize("setting", WORKING)
@pytest.mark.parametrize(
    "fault",
    [
        "no method",
        pytest.param("module exits", marks=FULL),
        pytest.param("constructor raises", marks=FULL),
    ],
)
def test_faulty_collaborators_refuse_over_http_and_are_tried_again(
    course,
    people,
    settings,
    make_collaborator,
    setting,
    fault,
):
    make_collaborator(WORKING[setting]).name_in(settings, setting)
    expected = statuses(course, people)
    collaborator = make_collaborator(FAULTS[fault])
    collaborator.name_in(settings, setting)

    faulty = statuses(course, people)

    assert {one: status for one, status in faulty.items() if status >= 500} == {}
    succeeded = {one for one, status in faulty.items() if status < 300}
    assert succeeded <= {one for one, status in expected.items() if status < 300}
    by_boss = {one[1] for one in succeeded if one[0] == "boss"}
    assert by_boss & NEED[setting] == set()

    collaborator.write(WORKING[setting])

    assert statuses(course, people) == expected


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"ENROLLMENTS_COURSE_MODEL"}))
@pytest.mark.parametrize("values", [WRONG[:1], pytest.param(WRONG[1:], marks=FULL)])
def test_settings_of_the_wrong_type_are_no_failure_over_http(
    course, people, settings, name, values
):
    patterns = NO_PATTERNS if name.endswith("_PATTERN") and values == WRONG[:1] else []
    for value in [*values, *patterns]:
        setattr(settings, name, value)

        seen = statuses(course, people)

        assert {one: code for one, code in seen.items() if code >= 500} == {}, value


@pytest.mark.parametrize("value", [7, None, {"credit": "credit:provider_id"}])
def test_attributes_required_in_the_wrong_type_refuse(course, people, settings, value):
    settings.ENROLLMENTS_REQUIRED_ATTRIBUTES = value
    attributes = [{"namespace": "credit", "name": "provider_id", "value": "x"}]
    api.add_enrollment(people["learner"].get_username(), course_id_of(course), "audit")

    name = people["learner"].get_username()
    body = wish(course, user=name, mode="honor", enrollment_attributes=attributes)
    response = send(people["boss"], "POST", "enrollment", body)

    assert response.status_code == 400
    assert EnrollmentEvent.objects.count() == 1


class TestFaultyCourseAdapter:
    @pytest.fixture(autouse=True)
    def _faulty(self, course, settings, make_collaborator):
        self.adapter = make_collaborator(FAULTS["module raises"])
        self.adapter.name_in(settings, "ENROLLMENTS_COURSE_ADAPTER")

    def test_lets_accounts_be_saved(self, course):
        CourseEnrollmentAllowed.objects.create(
            email="new@example.org", course_id=course_id_of(course), auto_enroll=True
        )

        user = make_user("new")

        assert get_user_model().objects.filter(pk=user.pk).exists()
        assert not CourseEnrollment.objects.exists()

        self.adapter.write(WORKING["ENROLLMENTS_COURSE_ADAPTER"])
        user.save()

        assert CourseEnrollment.objects.get().user == user

    def test_lets_courses_and_modes_be_saved(self, course):
        course.save()
        make_mode(course, "verified")
        CourseMode.objects.get(mode_slug="verified").delete()
        make_course("django-102").delete()

        assert not CourseMode.objects.filter(mode_slug="verified").exists()

    def test_is_tried_again_in_python(self, course):
        learner = make_user("learner")
        service = EnrollmentsService()
        with pytest.raises(ImproperlyConfigured, match="ENROLLMENTS_COURSE_ADAPTER"):
            service.enroll(learner, course)

        self.adapter.write(WORKING["ENROLLMENTS_COURSE_ADAPTER"])

        assert service.enroll(learner, course).is_active


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_notification_backend_raises_and_is_tried_again(
    course, settings, make_collaborator, fault
):
    setting = "ENROLLMENTS_NOTIFICATION_BACKEND"
    backend = make_collaborator(FAULTS[fault])
    backend.name_in(settings, setting)
    sender = EnrollmentNotificationSender(course, make_user().pk, "soon")

    with pytest.raises(ImproperlyConfigured, match=setting):
        sender.send_audit_access_expiring_soon_notification()

    backend.write("class Thing:\n    def send(self, data):\n        pass\n")
    sender.send_audit_access_expiring_soon_notification()
