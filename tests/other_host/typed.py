"""
A host's code as a type checker sees it; mypy reports each ``ignore`` without an error.

Nothing here runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from django_enrollments import api, data
from django_enrollments.conf import conf
from django_enrollments.models import CourseEnrollment, CourseMode
from django_enrollments.payloads import (
    AttributeDict,
    BulkResultDict,
    CourseDict,
    EnrollmentDict,
    ExplanationDict,
)
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from django_enrollments.data import DataAPI
    from django_enrollments.signals import EventRecord


def read_enrollments(username: str, course_id: str) -> list[str]:
    """Read every key of an enrollment, and one that does not exist."""
    enrollment = api.add_enrollment(username, course_id)
    assert_type(enrollment, EnrollmentDict)
    assert_type(api.update_enrollment(username, course_id), EnrollmentDict)
    assert_type(api.get_enrollment(username, course_id), EnrollmentDict | None)
    enrollment["is_activ"]  # type: ignore[typeddict-item]
    course = enrollment["course_details"]
    # The course may be deleted.
    course["course_id"]  # type: ignore[index]
    if course is None:
        return []
    assert_type(course, CourseDict)
    course["course_modes"][0]["slgu"]  # type: ignore[typeddict-item]
    return [one["user"] for one in api.get_enrollments(username)]


def read_explanation(username: str, course_id: str) -> str:
    """Explain, and misspell a key."""
    answer = api.explain_enrollment(username, course_id)
    assert_type(answer, ExplanationDict)
    answer["alowed"]  # type: ignore[typeddict-item]
    answer["seats"]["free"]  # type: ignore[typeddict-item]
    if answer["allowed"]:
        return answer["mode"]
    return answer["reasons"][0]["code"]


def read_results(course: Any, users: Sequence[Any]) -> Sequence[Mapping[str, object]]:
    """Compare the status of a row with a word that is no status."""
    service = EnrollmentsService()
    results = service.bulk_enroll(course, users)
    assert_type(results, list[BulkResultDict])
    assert_type(service.explain_many(users[0], [course]), dict[str, ExplanationDict])
    return [
        result
        for result in results
        if result["status"] == "enroled"  # type: ignore[comparison-overlap]
    ]


def read_other(username: str, course_id: str, event: EventRecord) -> str:
    """Read a course, attributes and an event."""
    course = api.get_course_enrollment_details(course_id)
    course["name"]  # type: ignore[typeddict-item]
    attributes = api.get_enrollment_attributes(username, course_id)
    assert_type(attributes, list[AttributeDict])
    api.set_enrollment_attributes(username, course_id, attributes)
    api.set_enrollment_attributes(username, course_id, [{"namespace": "a"}])
    return str(event.to_dict()["moment"])  # type: ignore[typeddict-item]


def use_models(user: Any, course_id: str) -> None:
    """Call the methods of the contract on models."""
    enrollment = CourseEnrollment.enroll(user, course_id)
    assert_type(enrollment, CourseEnrollment)
    assert_type(CourseMode.modes_for_course(course_id), list[CourseMode])
    CourseEnrollment.enroll(user, course_id, "audit", acess=True)  # type: ignore[call-arg]


def use_settings() -> None:
    """Read settings, each with its own type."""
    assert_type(conf.ENROLLMENTS_DEFAULT_MODE, str)
    assert_type(conf.ENROLLMENTS_INVITE_ONLY, bool)
    assert_type(conf.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS, int)
    assert_type(conf.ENROLLMENTS_SELF_SERVICE_MODES, Sequence[str])
    assert_type(conf.ENROLLMENTS_COHORT_BACKEND, str | None)
    assert_type(conf.ENROLLMENTS_THROTTLE_RATES, Mapping[str, str | None])
    assert_type(conf.ENROLLMENTS_FILTERS, Sequence[str | Callable[..., Any]])


#: The data layer of this app satisfies its own protocol.
default: DataAPI = data


class PartialData:
    """Lacks most functions of a data layer."""

    def get_user_roles(self, username: str) -> set[Any]:
        """Return no roles."""
        return set()


partial: DataAPI = PartialData()  # type: ignore[assignment]
