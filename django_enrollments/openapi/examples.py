"""What the example project and its callers say, as the reference tells it too."""

from __future__ import annotations

from typing import Any

COURSE_ID = "DJANGO-101"
FULL_COURSE_ID = "POTTERY-1"
LEARNER = "learner"
ADDRESS = "ada@example.org"

_CREATED = "2026-11-24T23:08:41.052955Z"


def _mode(slug: str, name: str, min_price: int) -> dict[str, Any]:
    return {
        "slug": slug,
        "name": name,
        "min_price": min_price,
        "suggested_prices": "",
        "currency": "usd",
        "expiration_datetime": None,
        "description": None,
        "sku": None,
        "bulk_sku": None,
    }


COURSE: dict[str, Any] = {
    "course_id": COURSE_ID,
    "course_name": "Django for teachers",
    "enrollment_start": None,
    "enrollment_end": None,
    "course_start": None,
    "course_end": None,
    "invite_only": False,
    "course_modes": [
        _mode("audit", "Audit", 0),
        _mode("verified", "Verified certificate", 49),
    ],
    "pacing_type": "Instructor Paced",
}

ELIGIBLE: dict[str, Any] = {
    "allowed": True,
    "reasons": [],
    "seats": {"capacity": 30, "taken": 0, "left": 30},
    "mode": "audit",
}

NOT_ELIGIBLE: dict[str, Any] = {
    "allowed": False,
    "reasons": [
        {
            "code": "course_full",
            "message": f"{FULL_COURSE_ID} is full.",
            "changes_at": None,
        }
    ],
    "seats": {"capacity": 2, "taken": 2, "left": 0},
    "mode": "audit",
}

ENROLLMENT: dict[str, Any] = {
    "created": _CREATED,
    "mode": "audit",
    "is_active": True,
    "course_details": COURSE,
    "user": LEARNER,
}

PAGE: dict[str, Any] = {
    "next": (
        "http://127.0.0.1:8000/api/enrollment/v1/enrollments?"
        "cursor=bi4xNzk1NTYxNzE3NDg1OTA2LjI&page_size=2"
    ),
    "previous": None,
    "results": [
        {
            "created": _CREATED,
            "mode": "audit",
            "is_active": True,
            "user": LEARNER,
            "course_id": COURSE_ID,
        },
        {
            "created": "2026-11-24T23:08:37.485906Z",
            "mode": "audit",
            "is_active": True,
            "user": "alan",
            "course_id": FULL_COURSE_ID,
        },
    ],
}

ROLES: dict[str, Any] = {
    "roles": [
        {"org": "Evening School", "course_id": None, "role": "staff"},
        {"org": "Evening School", "course_id": COURSE_ID, "role": "beta_testers"},
    ],
    "is_staff": False,
}

INVITATION: dict[str, Any] = {
    "email": ADDRESS,
    "course_id": COURSE_ID,
    "auto_enroll": False,
    "created": "2026-11-24T23:08:41.402307Z",
    "user": None,
}

# What is sent.

TO_ENROLL: dict[str, Any] = {"course_details": {"course_id": COURSE_ID}}

TO_ENROLL_OTHERS: dict[str, Any] = {
    "user": LEARNER,
    "course_details": {"course_id": COURSE_ID},
    "mode": "verified",
    "is_active": True,
    "enrollment_attributes": [
        {"namespace": "order", "name": "number", "value": "EDX-1001"}
    ],
}

TO_DEACTIVATE: dict[str, Any] = {
    "user": LEARNER,
    "course_details": {"course_id": COURSE_ID},
    "is_active": False,
}

TO_INVITE: dict[str, Any] = {"email": ADDRESS, "course_id": COURSE_ID}

TO_RETIRE: dict[str, Any] = {"username": LEARNER}
