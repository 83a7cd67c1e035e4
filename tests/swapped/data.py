"""A data layer of a host, with the documented signatures and no more."""

from __future__ import annotations

from typing import Any

CALLS: list[tuple[Any, ...]] = []

COURSE = {"course_id": "far-away", "course_modes": [{"slug": "audit"}]}
ENROLLMENT = {"user": "someone", "mode": "audit", "is_active": True}


def get_course_enrollments(
    username: str, include_inactive: bool = False
) -> list[dict[str, Any]]:
    CALLS.append(("get_course_enrollments", username, include_inactive))
    return [ENROLLMENT, {**ENROLLMENT, "mode": "verified"}]


def get_course_enrollment(username: str, course_id: str) -> dict[str, Any] | None:
    CALLS.append(("get_course_enrollment", username, course_id))
    return ENROLLMENT if username == "someone" else None


def create_course_enrollment(
    username: str,
    course_id: str,
    mode: str,
    is_active: bool,
    enterprise_uuid: str | None = None,
    force_enrollment: bool = False,
) -> dict[str, Any]:
    CALLS.append(("create_course_enrollment", username, course_id, mode, is_active))
    return ENROLLMENT


def update_course_enrollment(
    username: str,
    course_id: str,
    mode: str | None = None,
    is_active: bool | None = None,
) -> dict[str, Any] | None:
    CALLS.append(("update_course_enrollment", username, course_id, mode, is_active))
    return ENROLLMENT if username == "someone" else None


def add_or_update_enrollment_attr(
    username: str, course_id: str, attributes: list[dict[str, Any]]
) -> None:
    CALLS.append(("add_or_update_enrollment_attr", username, course_id, attributes))


def get_enrollment_attributes(username: str, course_id: str) -> list[dict[str, str]]:
    CALLS.append(("get_enrollment_attributes", username, course_id))
    return [{"namespace": "far", "name": "away", "value": "1"}]


def unenroll_user_from_all_courses(username: str) -> list[str]:
    CALLS.append(("unenroll_user_from_all_courses", username))
    return ["x/b/1", "x/b/2", "a/b/1"]


def get_course_enrollment_info(
    course_id: str, include_expired: bool = False
) -> dict[str, Any]:
    CALLS.append(("get_course_enrollment_info", course_id, include_expired))
    return COURSE


def get_user_roles(username: str) -> set[Any]:
    CALLS.append(("get_user_roles", username))
    return {"role"}


def serialize_enrollments(enrollments: Any) -> list[dict[str, Any]]:
    CALLS.append(("serialize_enrollments", enrollments))
    return [ENROLLMENT]
