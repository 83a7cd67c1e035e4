"""The attributes that hosts keep with an enrollment."""

from __future__ import annotations

import pytest

from django_enrollments import api
from django_enrollments.core.attributes import clean_attributes, missing_attributes
from django_enrollments.errors import (
    CourseEnrollmentExistsError,
    InvalidEnrollmentAttribute,
    UserNotFoundError,
)
from django_enrollments.models import CourseEnrollment
from tests.factories import course_id_of, make_modes, username
from tests.watching import event_types, raises_without_writes

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
PROVIDER = {"namespace": "credit", "name": "provider_id", "value": "institute"}


def attribute(name, value="1", namespace="host"):
    return {"namespace": namespace, "name": name, "value": value}


def store(*attributes):
    api.set_enrollment_attributes(username("ada"), COURSE_ID, [*attributes])


def stored():
    return api.get_enrollment_attributes(username("ada"), COURSE_ID)


@pytest.fixture
def row(ada, course):
    return CourseEnrollment.enroll(ada, course_id_of(course))


class TestCleanAttributes:
    @pytest.mark.rule("V1-ATTR-01")
    @pytest.mark.parametrize("given", [None, {}, "text", 5, {"a"}, iter([])])
    def test_refuses_other_types_than_list_and_tuple(self, given):
        with pytest.raises(InvalidEnrollmentAttribute, match="must be a list"):
            clean_attributes(given)
        assert clean_attributes((PROVIDER,)) == [PROVIDER]

    @pytest.mark.rule("V1-ATTR-08", "V1-ATTR-09")
    @pytest.mark.parametrize(
        ("given", "part"),
        [
            *(({**PROVIDER, part: None}, part) for part in PROVIDER),
            *(({key: 1 for key in PROVIDER if key != part}, part) for part in PROVIDER),
            *((entry, "namespace") for entry in ({}, "text", 5, None, ["namespace"])),
        ],
    )
    def test_names_the_first_part_that_is_missing(self, given, part):
        with pytest.raises(InvalidEnrollmentAttribute) as refusal:
            clean_attributes([PROVIDER, given])

        assert str(refusal.value) == f"'{part}' not in enrollment attribute"
        assert refusal.value.code == "invalid_attribute"

    @pytest.mark.parametrize("part", ["namespace", "name", "value"])
    @pytest.mark.parametrize(
        "value", ["x" * 256, "\x00", "\ud800", [], {}, True, b"bytes", object()]
    )
    def test_refuses_values_that_no_column_holds(self, part, value):
        with pytest.raises(InvalidEnrollmentAttribute, match=f"'{part}'"):
            clean_attributes([{**PROVIDER, part: value}])

    @pytest.mark.parametrize("part", ["namespace", "name"])
    @pytest.mark.parametrize("blank", ["", "  "])
    def test_refuses_a_blank_name_but_no_blank_value(self, part, blank):
        with pytest.raises(InvalidEnrollmentAttribute, match="must not be blank"):
            clean_attributes([{**PROVIDER, part: blank}])
        assert clean_attributes([{**PROVIDER, "value": ""}])[0]["value"] == ""

    def test_turns_numbers_into_text_and_drops_unknown_keys(self):
        given = [{**attribute("order", 1234, namespace=7), "color": "red"}]

        assert clean_attributes(given) == [attribute("order", "1234", namespace="7")]

    @pytest.mark.rule("B-23")
    def test_keeps_the_last_of_two_with_one_name(self):
        given = [attribute("a", "1"), attribute("b", "2"), attribute("a", "3")]

        assert clean_attributes(given) == [attribute("a", "3"), attribute("b", "2")]


class TestMissingAttributes:
    @pytest.mark.rule("V1-ATTR-04")
    def test_lists_those_that_the_setting_requires(self, settings):
        assert missing_attributes("credit", []) == ["credit:provider_id"]
        assert missing_attributes("credit", [PROVIDER]) == []
        assert missing_attributes("audit", []) == []

        settings.ENROLLMENTS_REQUIRED_ATTRIBUTES = {"verified": ["a:b", "c:d"]}

        given = [attribute("b", namespace="a")]
        assert missing_attributes("verified", given) == ["c:d"]
        assert missing_attributes("credit", []) == []


class TestWriting:
    @pytest.mark.rule("V1-ATTR-02")
    def test_happens_with_a_new_or_reactivated_enrollment_only(self, ada, course):
        def add(name):
            api.add_enrollment(
                username("ada"), COURSE_ID, enrollment_attributes=[attribute(name)]
            )

        add("new")
        with raises_without_writes(CourseEnrollmentExistsError):
            add("late")
        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)
        add("again")

        assert stored() == [attribute("again")]

    @pytest.mark.rule("V1-ATTR-03")
    def test_changes_nothing_without_a_list_and_deletes_for_an_empty_one(self, row):
        make_modes(row.course, "audit", "honor")
        store(attribute("kept"))

        api.update_enrollment(username("ada"), COURSE_ID, "honor")
        assert stored() == [attribute("kept")]

        api.update_enrollment(username("ada"), COURSE_ID, enrollment_attributes=[])
        assert stored() == []

    @pytest.mark.rule("V1-ATTR-07", "B-08")
    def test_is_not_required_for_credit(self, row):
        make_modes(row.course, "audit", "credit")

        updated = api.update_enrollment(username("ada"), COURSE_ID, "credit")

        assert updated["mode"] == "credit"

    @pytest.mark.rule("B-23")
    def test_replaces_a_long_list_by_a_long_list(self, row):
        second = [attribute(f"second-{number}") for number in range(100)]
        store(*(attribute(f"first-{number}") for number in range(100)))

        store(*second)

        assert stored() == second

    @pytest.mark.rule("B-23")
    @pytest.mark.parametrize(
        "given",
        [
            [attribute("color"), attribute("Color")],
            [attribute("color"), attribute("cölor")],
            [attribute("color"), attribute("color ")],
            [attribute("名前", "ünïcödé 😀", namespace="Ω")],
        ],
    )
    def test_keeps_text_in_every_script_and_look_alikes_apart(self, row, given):
        store(*given)

        assert stored() == given

    @pytest.mark.rule("API-15")
    def test_checks_the_attributes_before_the_user(self):
        for given, error in (
            ([{}], InvalidEnrollmentAttribute),
            ([PROVIDER], UserNotFoundError),
        ):
            with pytest.raises(error):
                api.set_enrollment_attributes("nobody", COURSE_ID, given)

    def test_is_no_part_of_the_history(self, row):
        store(PROVIDER)

        assert event_types() == ["created"]
