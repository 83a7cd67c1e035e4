"""The modes that a course offers, and the mode of a learner who names none."""

from __future__ import annotations

import pytest

from django_enrollments import api, data
from django_enrollments.context import call_context
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


def modes_of(course):
    return data.get_course_enrollment_info(course_id_of(course))["course_modes"]


class TestDefaultMode:
    @pytest.mark.rule("MODE-07", "MODE-08", "API-06", "V1-ENR-25")
    @pytest.mark.parametrize(
        ("offered", "expired", "chosen"),
        [
            (["honor", "verified"], [], "honor"),
            (["verified", "honor"], [], "honor"),
            (["audit", "honor"], [], "audit"),
            (["honor", "audit"], [], "audit"),
            (["audit", "credit"], [], "audit"),
            ([], [], "audit"),
            ([], ["verified"], "audit"),
            (["honor"], ["audit"], "honor"),
        ],
    )
    def test_is_chosen_from_those_offered(self, ada, offered, expired, chosen):
        course_id = course_id_of(make_course(modes=offered, expired=expired))

        assert api.add_enrollment(username("ada"), course_id)["mode"] == chosen

    @pytest.mark.rule("MODE-06", "MODE-07")
    @pytest.mark.parametrize("offered", [["verified"], ["credit"], ["professional"]])
    def test_is_refused_where_it_is_not_offered(self, ada, offered):
        course_id = course_id_of(make_course(modes=offered))

        with pytest.raises(CourseModeNotFoundError) as refusal:
            api.add_enrollment(username("ada"), course_id)
        with pytest.raises(CourseModeNotFoundError):
            EnrollmentsService().enroll(ada, course_id)

        assert "'audit' unavailable" in str(refusal.value)
        slugs = [mode["slug"] for mode in refusal.value.data["course_modes"]]
        assert slugs == offered

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
    def test_is_the_configured_one_first_and_last(
        self, settings, configured, usable, chosen
    ):
        settings.ENROLLMENTS_DEFAULT_MODE = configured

        assert default_slug(usable) == chosen

    @pytest.mark.rule("MODE-02", "MODE-04")
    def test_is_named_like_its_slug(self, settings, ada, course):
        settings.ENROLLMENTS_DEFAULT_MODE = "free-of-charge"

        added = api.add_enrollment(username("ada"), course_id_of(course))

        (mode,) = added["course_details"]["course_modes"]
        assert added["mode"] == mode["slug"] == "free-of-charge"
        assert mode["name"] == "Free-of-charge"


class TestOfferedModes:
    @pytest.mark.rule("MODE-03")
    def test_expire_after_the_very_moment(self):
        course = make_course(modes=["audit"], expired=["verified"])

        counts = []
        for at in (NOON - DAY, NOON, NOON.replace(microsecond=1)):
            with call_context(at):
                counts.append(len(modes_of(course)))

        assert counts == [2, 2, 1]

    @pytest.mark.rule("MODE-05", "MODE-08", "V1-ATTR-06")
    def test_include_credit_although_it_is_no_default(self, ada):
        course_id = course_id_of(make_course(modes=["credit"]))

        assert api.add_enrollment(username("ada"), course_id, "credit")["mode"] == (
            "credit"
        )

    @pytest.mark.rule("MODE-13", "MODE-18")
    def test_are_listed_by_creation_once_for_each_currency(self, course):
        make_modes(course, "verified", "audit")
        make_mode(course, "verified", currency="eur")

        assert [(mode["slug"], mode["currency"]) for mode in modes_of(course)] == [
            ("verified", "usd"),
            ("audit", "usd"),
            ("verified", "eur"),
        ]

    @pytest.mark.rule("MODE-08")
    @pytest.mark.parametrize("slug", ["Audit", "AUDIT", " audit", "audit ", "àudit"])
    def test_are_matched_exactly(self, slug):
        make_user()
        course_id = course_id_of(make_course(modes=["audit"]))

        with pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), course_id, slug)

    @pytest.mark.rule("MODE-19")
    def test_count_at_once_when_they_change(self):
        course_id = course_id_of(make_course(modes=["audit", "verified"]))
        verified = CourseMode.objects.filter(mode_slug="verified")
        api.validate_course_mode(course_id, "verified")

        verified.update(expiration_datetime=NOON)

        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode(course_id, "verified")
        verified.update(mode_slug="masters")
        api.validate_course_mode(course_id, "masters", include_expired=True)
