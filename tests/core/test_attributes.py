"""What hosts note about an enrollment (rules V1-ATTR below HTTP, B-07, B-23)."""

from __future__ import annotations

from typing import Any

import pytest

from django_enrollments import api
from django_enrollments.core.attributes import (
    clean_attributes,
    missing_attributes,
)
from django_enrollments.errors import (
    CourseEnrollmentExistsError,
    InvalidEnrollmentAttribute,
    UserNotFoundError,
)
from django_enrollments.models import CourseEnrollment
from tests.factories import course_id_of, make_course, make_modes, make_user, username
from tests.watching import event_types, nothing_written

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
PROVIDER = {"namespace": "credit", "name": "provider_id", "value": "institute"}


def attribute(name: str, value: Any = "1", namespace: Any = "host") -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "value": value}


@pytest.fixture
def row() -> CourseEnrollment:
    return CourseEnrollment.enroll(make_user(), course_id_of(make_course()))


class TestCleanAttributes:
    @pytest.mark.rule("V1-ATTR-01")
    @pytest.mark.parametrize("given", [None, {}, "text", 5, {"a"}, iter([])])
    def test_they_are_a_list(self, given: Any) -> None:
        with pytest.raises(InvalidEnrollmentAttribute, match="must be a list"):
            clean_attributes(given)

    @pytest.mark.rule("V1-ATTR-01")
    def test_a_tuple_will_do(self) -> None:
        assert clean_attributes((attribute("a"),)) == [attribute("a")]

    @pytest.mark.rule("V1-ATTR-08", "V1-ATTR-09")
    @pytest.mark.parametrize("part", ["namespace", "name", "value"])
    def test_a_missing_part_is_told(self, part: str) -> None:
        lacking = {key: value for key, value in PROVIDER.items() if key != part}
        null = {**PROVIDER, part: None}

        for given in (lacking, null):
            with pytest.raises(InvalidEnrollmentAttribute) as refusal:
                clean_attributes([given])
            assert str(refusal.value) == f"'{part}' not in enrollment attribute"

    @pytest.mark.rule("V1-ATTR-09")
    @pytest.mark.parametrize("entry", ["text", 5, None, [], ["namespace"]])
    def test_an_entry_that_is_no_object_lacks_its_namespace(self, entry: Any) -> None:
        with pytest.raises(InvalidEnrollmentAttribute) as refusal:
            clean_attributes([entry])

        assert str(refusal.value) == "'namespace' not in enrollment attribute"

    @pytest.mark.parametrize("part", ["namespace", "name", "value"])
    @pytest.mark.parametrize(
        "value", ["x" * 256, "\x00", "\ud800", [], {}, True, b"bytes", object()]
    )
    def test_what_no_column_holds_is_told(self, part: str, value: Any) -> None:
        with pytest.raises(InvalidEnrollmentAttribute, match=f"'{part}'"):
            clean_attributes([{**PROVIDER, part: value}])

    @pytest.mark.parametrize("part", ["namespace", "name"])
    @pytest.mark.parametrize("blank", ["", "  "])
    def test_a_blank_name_is_told_and_a_blank_value_is_none_of_ours(
        self, part: str, blank: str
    ) -> None:
        with pytest.raises(InvalidEnrollmentAttribute, match="must not be blank"):
            clean_attributes([{**PROVIDER, part: blank}])
        assert clean_attributes([{**PROVIDER, "value": ""}])[0]["value"] == ""

    def test_numbers_are_kept_as_text(self) -> None:
        (cleaned,) = clean_attributes([attribute("order", 1234, namespace=7)])

        assert cleaned == {"namespace": "7", "name": "order", "value": "1234"}

    def test_keys_that_nobody_knows_are_passed_over(self) -> None:
        assert clean_attributes([{**PROVIDER, "color": "red"}]) == [PROVIDER]

    @pytest.mark.rule("B-23")
    def test_of_two_with_one_name_the_last_wins(self) -> None:
        cleaned = clean_attributes(
            [attribute("a", "1"), attribute("b", "2"), attribute("a", "3")]
        )

        assert cleaned == [attribute("a", "3"), attribute("b", "2")]


class TestMissingAttributes:
    @pytest.mark.rule("V1-ATTR-04")
    def test_credit_requires_its_provider(self) -> None:
        assert missing_attributes("credit", []) == ["credit:provider_id"]
        assert missing_attributes("credit", [PROVIDER]) == []
        assert missing_attributes("audit", []) == []

    @pytest.mark.rule("V1-ATTR-04")
    def test_follows_the_setting(self, settings: Any) -> None:
        settings.ENROLLMENTS_REQUIRED_ATTRIBUTES = {"verified": ["a:b", "c:d"]}

        assert missing_attributes("verified", [attribute("b", namespace="a")]) == [
            "c:d"
        ]
        assert missing_attributes("credit", []) == []


class TestWriting:
    @pytest.mark.rule("V1-ATTR-02")
    def test_come_with_a_new_or_re_activated_enrollment(self) -> None:
        make_user()
        make_course()
        api.add_enrollment(
            username("ada"), COURSE_ID, enrollment_attributes=[attribute("new")]
        )
        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)

        api.add_enrollment(
            username("ada"), COURSE_ID, enrollment_attributes=[attribute("again")]
        )

        assert _names() == ["again"]

    @pytest.mark.rule("V1-ATTR-02")
    def test_are_not_written_for_who_is_in(self, row: CourseEnrollment) -> None:
        with nothing_written(), pytest.raises(CourseEnrollmentExistsError):
            api.add_enrollment(
                username("ada"), COURSE_ID, enrollment_attributes=[attribute("late")]
            )

    @pytest.mark.rule("V1-ATTR-03")
    def test_absent_touches_nothing_and_an_empty_list_deletes(
        self, row: CourseEnrollment
    ) -> None:
        course_modes = make_modes(row.course, "audit", "honor")
        api.set_enrollment_attributes(username("ada"), COURSE_ID, [attribute("kept")])

        api.update_enrollment(username("ada"), COURSE_ID, course_modes[1].slug)
        kept = _names()
        api.update_enrollment(username("ada"), COURSE_ID, enrollment_attributes=[])

        assert kept == ["kept"]
        assert _names() == []

    @pytest.mark.rule("V1-ATTR-07", "B-08")
    def test_credit_without_a_list_is_accepted(self, row: CourseEnrollment) -> None:
        make_modes(row.course, "audit", "credit")

        updated = api.update_enrollment(username("ada"), COURSE_ID, "credit")

        assert updated["mode"] == "credit"

    @pytest.mark.rule("B-23")
    def test_a_long_list_replaces_a_long_list(self, row: CourseEnrollment) -> None:
        first = [attribute(f"first-{number}") for number in range(100)]
        second = [attribute(f"second-{number}") for number in range(100)]
        api.set_enrollment_attributes(username("ada"), COURSE_ID, first)

        api.set_enrollment_attributes(username("ada"), COURSE_ID, second)

        assert api.get_enrollment_attributes(username("ada"), COURSE_ID) == second

    @pytest.mark.rule("B-23")
    @pytest.mark.parametrize("look_alike", ["Color", "cölor", "color "])
    def test_look_alikes_are_kept_apart(
        self, row: CourseEnrollment, look_alike: str
    ) -> None:
        given = [attribute("color"), attribute(look_alike)]

        api.set_enrollment_attributes(username("ada"), COURSE_ID, given)

        assert _names() == ["color", look_alike]

    def test_text_in_every_script_is_kept(self, row: CourseEnrollment) -> None:
        written = [attribute("名前", "ünïcödé 😀", namespace="Ω")]

        api.set_enrollment_attributes(username("ada"), COURSE_ID, written)

        assert api.get_enrollment_attributes(username("ada"), COURSE_ID) == written

    @pytest.mark.rule("API-15")
    def test_the_attributes_are_checked_before_the_user(self) -> None:
        with pytest.raises(InvalidEnrollmentAttribute):
            api.set_enrollment_attributes("nobody", COURSE_ID, [{}])
        with pytest.raises(UserNotFoundError):
            api.set_enrollment_attributes("nobody", COURSE_ID, [PROVIDER])

    def test_they_are_no_part_of_the_history(self, row: CourseEnrollment) -> None:
        api.set_enrollment_attributes(username("ada"), COURSE_ID, [PROVIDER])

        assert event_types() == ["created"]


def _names() -> list[str]:
    attributes = api.get_enrollment_attributes(username("ada"), COURSE_ID)
    return [one["name"] for one in attributes]
