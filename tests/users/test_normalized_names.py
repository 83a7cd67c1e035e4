"""Usernames in any normal form of Unicode."""

from __future__ import annotations

import json
import unicodedata
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model

from django_enrollments import api
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    UserRetirementStatus,
)
from tests.factories import is_default_host, make_course, make_user, username
from tests.http import ENROLLMENT, ROOT, ask, client_of, get, put

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
NAME = username("josé")
#: Other spellings of it: decomposed, and with a compatibility character.
SPELLINGS = [unicodedata.normalize("NFD", NAME), NAME.replace("o", "\u1d52")]
KELVIN = username("\N{KELVIN SIGN}ate")
PLAIN = username("Kate")


@pytest.fixture
def course():
    return make_course(COURSE_ID, modes=["audit", "honor"])


@pytest.fixture
def jose():
    return make_user("josé")


@pytest.fixture
def boss():
    return make_user("boss", is_staff=True, is_superuser=True)


def single(user, name):
    return client_of(user).get(f"{ENROLLMENT}/{quote(name)},{COURSE_ID}")


def names_in(response):
    assert response.status_code == 200
    return [row["user"] for row in response.json()["results"]]


@pytest.mark.parametrize("given", SPELLINGS)
class TestSpellings:
    def test_are_found_in_python(self, course, jose, given, settings):
        CourseAccessRole.objects.create(user=jose, role="staff", course_id="any")
        (result,) = api.bulk_enroll(COURSE_ID, [given])
        assert (result["identifier"], result["status"]) == (given, "created")
        (unchanged,) = api.bulk_enroll(COURSE_ID, [given])
        assert unchanged["status"] == "unchanged"
        enrollment = api.get_enrollment(given, COURSE_ID)
        assert enrollment["user"] == NAME
        assert api.get_enrollments(given) == [enrollment]
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: None]
        assert api.get_enrollments(given) == [enrollment]
        assert api.update_enrollment(given, COURSE_ID, mode="honor")["user"] == NAME
        attribute = {"namespace": "a", "name": "b", "value": "c"}
        api.set_enrollment_attributes(given, COURSE_ID, [attribute])
        assert api.get_enrollment_attributes(given, COURSE_ID) == [attribute]
        assert len(api.get_user_roles(given)) == 1
        reasons = api.explain_enrollment(given, COURSE_ID)["reasons"]
        assert [reason["code"] for reason in reasons] == ["already_enrolled"]
        assert api.unenroll_user_and_list_courses(given) == [COURSE_ID]

    def test_are_found_over_http(self, boss, course, jose, given, settings):
        settings.ENROLLMENTS_USERNAME_PATTERN = r"[\w@.]+"

        assert ask(boss, course, user=given).json()["user"] == NAME
        assert CourseEnrollment.is_enrolled(jose, COURSE_ID)
        assert single(boss, given).json()["user"] == NAME
        assert len(get(boss, user=given).json()) == 1
        assert names_in(get(boss, "enrollments", username=given)) == [NAME]

    def test_are_found_for_oneself(self, course, jose, given):
        assert ask(jose, course, user=given).status_code == 200
        assert single(jose, given).json()["user"] == NAME
        assert len(get(jose, user=given).json()) == 1

    def test_are_found_for_retirement(self, boss, course, jose, given):
        put(jose, course)
        UserRetirementStatus.objects.create(user=jose, original_username=NAME)

        assert retire(boss, given).json() == [COURSE_ID]

    def test_name_the_service_that_retires(self, course, jose, ada, given, settings):
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = given
        put(ada, course)
        name = ada.get_username()
        UserRetirementStatus.objects.create(user=ada, original_username=name)

        assert retire(jose, name).status_code == 200


def retire(requester, name):
    body = json.dumps({"username": name})
    return client_of(requester).post(f"{ROOT}unenroll/", body, "application/json")


def holds_both():
    """Return whether the column of usernames can hold both names."""
    users = get_user_model().objects
    try:
        users.get(**{get_user_model().USERNAME_FIELD: KELVIN})
    except users.model.DoesNotExist:
        return True
    return False


class TestAccountWithANameThatIsNotNormalized:
    def test_is_found_by_its_very_name(self, course):
        odd = make_user("\N{KELVIN SIGN}ate")

        assert ask(odd, course).status_code == 200
        assert CourseEnrollment.is_enrolled(odd, COURSE_ID)
        assert [row["user"] for row in get(odd).json()] == [KELVIN]
        assert api.bulk_enroll(COURSE_ID, [KELVIN])[0]["status"] == "unchanged"
        assert api.get_enrollment(KELVIN, COURSE_ID)["user"] == KELVIN
        assert api.get_enrollment(PLAIN, COURSE_ID) is None
        assert api.get_enrollments(PLAIN) == []

    def test_is_never_the_other(self, boss, course):
        plain = make_user("Kate")
        if not holds_both():
            pytest.skip("The column cannot hold both.")
        odd = make_user("\N{KELVIN SIGN}ate")
        put(plain, course, "honor")

        assert get(odd).json() == []
        assert not single(odd, KELVIN).content
        assert api.get_enrollments(KELVIN) == []
        assert single(odd, PLAIN).status_code == 404
        assert get(odd, user=PLAIN).json() == []
        assert ask(odd, course, user=PLAIN).status_code == 404
        assert names_in(get(boss, "enrollments", username=KELVIN)) == []
        assert ask(odd, course).status_code == 200
        assert CourseEnrollment.is_enrolled(odd, COURSE_ID)
        assert [row["user"] for row in get(plain, user=KELVIN).json()] == [PLAIN]

    def test_is_decided_anew_when_its_enrollment_changes_meanwhile(
        self, boss, course, settings
    ):
        odd = make_user("\N{KELVIN SIGN}ate")
        put(odd, course)

        def change_meanwhile(action, **context):
            if action == "unenroll":
                CourseEnrollment.objects.update(mode="honor")

        settings.ENROLLMENTS_FILTERS = [change_meanwhile]
        response = ask(boss, course, user=KELVIN, mode="audit", is_active=False)

        assert response.status_code == 400
        assert CourseEnrollment.enrollment_mode_for_user(odd, COURSE_ID) == (
            "honor",
            True,
        )

    @pytest.mark.skipif(is_default_host(), reason="here usernames are no addresses")
    def test_is_found_by_its_very_address(self, boss, course):
        make_user("Kate")
        if not holds_both():
            pytest.skip("The column cannot hold both.")
        make_user("\N{KELVIN SIGN}ate")

        assert ask(boss, course, email=KELVIN).json()["user"] == KELVIN
