"""Which modes of a course count, and which one a learner gets (rules MODE)."""

from __future__ import annotations

from typing import Any

import pytest

from django_enrollments import api, data
from django_enrollments.context import one_call
from django_enrollments.core.modes import default_slug
from django_enrollments.errors import CourseModeNotFoundError
from django_enrollments.models import CourseMode
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_modes,
    make_user,
    username,
)

pytestmark = pytest.mark.django_db


class TestDefaultMode:
    @pytest.mark.rule("MODE-07")
    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            (["honor", "verified"], "honor"),
            (["verified", "honor"], "honor"),
            (["audit", "honor"], "audit"),
            (["honor", "audit"], "audit"),
            (["audit", "credit"], "audit"),
            ([], "audit"),
        ],
    )
    def test_a_learner_who_names_none_gets(
        self, offered: list[str], chosen: str
    ) -> None:
        make_user()
        course = make_course()
        make_modes(course, *offered)

        added = api.add_enrollment(username("ada"), course_id_of(course))

        assert added["mode"] == chosen

    @pytest.mark.rule("MODE-07")
    @pytest.mark.parametrize("offered", [["verified"], ["credit"], ["professional"]])
    def test_where_the_default_is_not_offered_nobody_gets_in_without_a_mode(
        self, offered: list[str]
    ) -> None:
        make_user()
        course = make_course()
        make_modes(course, *offered)

        with pytest.raises(CourseModeNotFoundError) as refusal:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert "'audit' unavailable" in str(refusal.value)
        slugs = [mode["slug"] for mode in refusal.value.data["course_modes"]]
        assert slugs == offered

    @pytest.mark.rule("MODE-07")
    def test_expired_verified_only_is_audit(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "verified", expiration_datetime=NOON)

        added = api.add_enrollment(username("ada"), course_id_of(course))

        assert added["mode"] == "audit"

    @pytest.mark.rule("MODE-06")
    def test_the_service_chooses_alike(self) -> None:
        course = make_course()
        make_modes(course, "honor", "verified")
        professional = make_course("professional")
        make_mode(professional, "professional")

        row = EnrollmentsService().enroll(make_user(), course)

        assert row.mode == "honor"
        with pytest.raises(CourseModeNotFoundError):
            EnrollmentsService().enroll(make_user("bob"), professional)

    @pytest.mark.rule("MODE-02", "MODE-06")
    @pytest.mark.parametrize(
        ("configured", "usable", "chosen"),
        [
            ("verified", ["audit", "honor", "verified"], "verified"),
            ("verified", ["honor", "audit"], "audit"),
            ("verified", ["honor", "masters"], "honor"),
            ("verified", ["masters"], "verified"),
            ("verified", [], "verified"),
            ("audit", ["masters"], "audit"),
        ],
    )
    def test_the_configured_default_comes_first_and_last(
        self, settings: Any, configured: str, usable: list[str], chosen: str
    ) -> None:
        settings.ENROLLMENTS_DEFAULT_MODE = configured

        assert default_slug(usable) == chosen

    @pytest.mark.rule("MODE-02", "MODE-04")
    def test_is_named_like_its_slug(self, settings: Any) -> None:
        settings.ENROLLMENTS_DEFAULT_MODE = "free-of-charge"
        make_user()
        course_id = course_id_of(make_course())

        added = api.add_enrollment(username("ada"), course_id)

        (mode,) = added["course_details"]["course_modes"]
        assert added["mode"] == mode["slug"] == "free-of-charge"
        assert mode["name"] == "Free-of-charge"


class TestExpiration:
    @pytest.mark.rule("MODE-03")
    def test_counts_up_to_the_very_moment(self) -> None:
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        course_id = course_id_of(course)

        counts = {}
        for at in (NOON - DAY, NOON, NOON.replace(microsecond=1)):
            with one_call(at):
                info = data.get_course_enrollment_info(course_id)
            counts[at.isoformat()] = len(info["course_modes"])

        assert list(counts.values()) == [2, 2, 1]

    @pytest.mark.rule("MODE-08")
    def test_an_expired_default_is_no_default(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "audit", expiration_datetime=NOON)
        make_mode(course, "honor")

        added = api.add_enrollment(username("ada"), course_id_of(course))

        assert added["mode"] == "honor"


class TestOfferedModes:
    @pytest.mark.rule("MODE-05", "MODE-08")
    def test_credit_is_offered_though_nobody_gets_it_unasked(
        self,
    ) -> None:
        make_user()
        course = make_course()
        make_mode(course, "credit")

        added = api.add_enrollment(username("ada"), course_id_of(course), "credit")

        assert added["mode"] == "credit"

    @pytest.mark.rule("MODE-13")
    def test_a_slug_in_two_currencies_is_listed_twice(self) -> None:
        course = make_course()
        make_mode(course, "verified", currency="usd")
        make_mode(course, "verified", currency="eur")

        info = data.get_course_enrollment_info(course_id_of(course))

        assert [mode["currency"] for mode in info["course_modes"]] == ["usd", "eur"]

    @pytest.mark.rule("MODE-18")
    def test_modes_are_listed_in_creation_order(self) -> None:
        course = make_course()
        make_modes(course, "verified", "audit", "honor")

        info = data.get_course_enrollment_info(course_id_of(course))

        slugs = [mode["slug"] for mode in info["course_modes"]]
        assert slugs == ["verified", "audit", "honor"]

    @pytest.mark.rule("MODE-08")
    @pytest.mark.parametrize("slug", ["Audit", "AUDIT", " audit", "audit ", "àudit"])
    def test_a_slug_is_matched_exactly(self, slug: str) -> None:
        make_user()
        course = make_course()
        make_mode(course, "audit")

        with pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), course_id_of(course), slug)

    @pytest.mark.rule("MODE-19")
    def test_what_changes_counts_at_once(self) -> None:
        course = make_course()
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        api.validate_course_mode(course_id, "verified")

        CourseMode.objects.filter(mode_slug="verified").update(expiration_datetime=NOON)

        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode(course_id, "verified")
        CourseMode.objects.filter(mode_slug="verified").update(mode_slug="masters")
        api.validate_course_mode(course_id, "masters", include_expired=True)
