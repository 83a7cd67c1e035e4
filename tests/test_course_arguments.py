"""Every public callable takes a course, its id or an object whose text is the id."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from django.db import models, transaction
from django.urls import NoReverseMatch, reverse

from django_enrollments import api, data, permissions
from django_enrollments.backends import permissions as shipped
from django_enrollments.enrollments_notifications import EnrollmentNotificationSender
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    get_course_model,
)
from django_enrollments.models.courses import CourseModeQuerySet
from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
from django_enrollments.models.invitations import CourseEnrollmentAllowedQuerySet
from django_enrollments.models.roles import CourseAccessRoleQuerySet
from django_enrollments.permissions import ENROLL_IN_COURSE, VIEW_ENROLLMENT_DATA
from django_enrollments.services import EnrollmentsService
from tests.factories import course_id_of, make_course, make_modes, make_user

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+One"

service = EnrollmentsService()
objects = CourseEnrollment.objects
roles = shipped.CourseRoleBackend()
django_auth = shipped.DjangoAuthBackend()
attributes = [{"namespace": "a", "name": "b", "value": "c"}]

#: By name, each public callable that takes a course; ``ada`` is enrolled in it, and
#: ``bob`` belongs to its staff.
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "api.get_enrollment": lambda c, ada, bob: api.get_enrollment(name(ada), c),
    "api.add_enrollment": lambda c, ada, bob: api.add_enrollment(name(bob), c),
    "api.update_enrollment": lambda c, ada, bob: api.update_enrollment(
        name(ada), c, mode="honor"
    ),
    "api.get_course_enrollment_details": (
        lambda c, ada, bob: api.get_course_enrollment_details(c)
    ),
    "api.set_enrollment_attributes": lambda c, ada, bob: (
        api.set_enrollment_attributes(name(ada), c, attributes),
        api.get_enrollment_attributes(name(ada), COURSE_ID),
    ),
    "api.get_enrollment_attributes": lambda c, ada, bob: (
        api.set_enrollment_attributes(name(ada), COURSE_ID, attributes),
        api.get_enrollment_attributes(name(ada), c),
    ),
    "api.validate_course_mode": (
        lambda c, ada, bob: api.validate_course_mode(c, "honor")
    ),
    "api.is_enrollment_valid_for_proctoring": (
        lambda c, ada, bob: api.is_enrollment_valid_for_proctoring(name(ada), c)
    ),
    "api.explain_enrollment": lambda c, ada, bob: api.explain_enrollment(name(bob), c),
    "api.bulk_enroll": lambda c, ada, bob: api.bulk_enroll(c, [name(bob)]),
    "data.get_course_enrollment": (
        lambda c, ada, bob: data.get_course_enrollment(name(ada), c)
    ),
    "data.get_user_enrollments": lambda c, ada, bob: data.get_user_enrollments(c),
    "data.create_course_enrollment": (
        lambda c, ada, bob: data.create_course_enrollment(name(bob), c, "honor", True)
    ),
    "data.update_course_enrollment": (
        lambda c, ada, bob: data.update_course_enrollment(name(ada), c, mode="honor")
    ),
    "data.add_or_update_enrollment_attr": lambda c, ada, bob: (
        data.add_or_update_enrollment_attr(name(ada), c, attributes),
        data.get_enrollment_attributes(name(ada), COURSE_ID),
    ),
    "data.get_enrollment_attributes": lambda c, ada, bob: (
        data.add_or_update_enrollment_attr(name(ada), COURSE_ID, attributes),
        data.get_enrollment_attributes(name(ada), c),
    ),
    "data.get_course_enrollment_info": (
        lambda c, ada, bob: data.get_course_enrollment_info(c)
    ),
    "EnrollmentsService.get_active_enrollments_by_course": (
        lambda c, ada, bob: service.get_active_enrollments_by_course(c)
    ),
    "EnrollmentsService.get_active_enrollments_by_course_and_user": (
        lambda c, ada, bob: service.get_active_enrollments_by_course_and_user(c, ada.pk)
    ),
    "EnrollmentsService.get_enrollments_can_take_proctored_exams": (
        lambda c, ada, bob: service.get_enrollments_can_take_proctored_exams(c)
    ),
    "EnrollmentsService.enroll": lambda c, ada, bob: service.enroll(bob, c),
    "EnrollmentsService.ensure_enrolled": (
        lambda c, ada, bob: service.ensure_enrolled(ada, c, "honor")
    ),
    "EnrollmentsService.unenroll": lambda c, ada, bob: service.unenroll(ada, c),
    "EnrollmentsService.change_mode": (
        lambda c, ada, bob: service.change_mode(ada, c, "honor")
    ),
    "EnrollmentsService.is_enrolled": lambda c, ada, bob: service.is_enrolled(ada, c),
    "EnrollmentsService.bulk_enroll": lambda c, ada, bob: service.bulk_enroll(c, [bob]),
    "EnrollmentsService.explain": lambda c, ada, bob: service.explain(bob, c),
    "EnrollmentsService.explain_many": lambda c, ada, bob: service.explain_many(
        bob, [c, c]
    ),
    "CourseEnrollment.enroll": lambda c, ada, bob: CourseEnrollment.enroll(
        bob, c, check_access=True
    ),
    "CourseEnrollment.unenroll": lambda c, ada, bob: (
        CourseEnrollment.unenroll(ada, c),
        CourseEnrollment.is_enrolled(ada, COURSE_ID),
    ),
    "CourseEnrollment.enroll_by_email": lambda c, ada, bob: (
        CourseEnrollment.enroll_by_email(bob.email, c, ignore_errors=False)
    ),
    "CourseEnrollment.unenroll_by_email": lambda c, ada, bob: (
        CourseEnrollment.unenroll_by_email(ada.email, c),
        CourseEnrollment.is_enrolled(ada, COURSE_ID),
    ),
    "CourseEnrollment.get_or_create_enrollment": (
        lambda c, ada, bob: CourseEnrollment.get_or_create_enrollment(ada, c)
    ),
    "CourseEnrollment.is_enrolled": (
        lambda c, ada, bob: CourseEnrollment.is_enrolled(ada, c)
    ),
    "CourseEnrollment.enrollment_mode_for_user": (
        lambda c, ada, bob: CourseEnrollment.enrollment_mode_for_user(ada, c)
    ),
    "CourseEnrollmentQuerySet.in_course": lambda c, ada, bob: objects.in_course(c),
    "CourseEnrollmentQuerySet.is_course_full": (
        lambda c, ada, bob: objects.is_course_full(c)
    ),
    "CourseEnrollmentQuerySet.enrollment_counts": (
        lambda c, ada, bob: objects.enrollment_counts(c)
    ),
    "CourseEnrollmentQuerySet.users_enrolled_in": (
        lambda c, ada, bob: objects.users_enrolled_in(c)
    ),
    "CourseMode.modes_for_course": lambda c, ada, bob: CourseMode.modes_for_course(c),
    "CourseModeQuerySet.of_course": lambda c, ada, bob: CourseMode.objects.of_course(c),
    "CourseEnrollmentAllowed.may_enroll_and_unenrolled": (
        lambda c, ada, bob: CourseEnrollmentAllowed.may_enroll_and_unenrolled(c)
    ),
    "CourseAccessRole.user_has_role": (
        lambda c, ada, bob: CourseAccessRole.user_has_role(bob, "staff", c)
    ),
    "CourseAccessRoleQuerySet.outside_the_count": (
        lambda c, ada, bob: CourseAccessRole.objects.outside_the_count(c)
    ),
    "CourseAccessRoleQuerySet.reaching": (
        lambda c, ada, bob: CourseAccessRole.objects.reaching(c, "")
    ),
    "permissions.has_perm": lambda c, ada, bob: [
        permissions.has_perm(user, perm, c)
        for user in (ada, bob)
        for perm in (ENROLL_IN_COURSE, VIEW_ENROLLMENT_DATA)
    ],
    "permissions.decide": (
        lambda c, ada, bob: permissions.decide([ada, bob], VIEW_ENROLLMENT_DATA, c)
    ),
    "permissions.decide_on": (
        lambda c, ada, bob: permissions.decide_on(bob, VIEW_ENROLLMENT_DATA, [c, c])
    ),
    "CourseRoleBackend.has_perm": lambda c, ada, bob: [
        roles.has_perm(user, perm, c)
        for user in (ada, bob)
        for perm in (ENROLL_IN_COURSE, VIEW_ENROLLMENT_DATA)
    ],
    "CourseRoleBackend.grants": (
        lambda c, ada, bob: roles.grants([ada, bob], VIEW_ENROLLMENT_DATA, c)
    ),
    "CourseRoleBackend.grants_on": lambda c, ada, bob: [
        roles.grants_on(bob, perm, [c, c])
        for perm in (ENROLL_IN_COURSE, VIEW_ENROLLMENT_DATA)
    ],
    "DjangoAuthBackend.has_perm": (
        lambda c, ada, bob: django_auth.has_perm(bob, VIEW_ENROLLMENT_DATA, c)
    ),
    "EnrollmentNotificationSender.__init__": (
        lambda c, ada, bob: EnrollmentNotificationSender(
            c, ada.pk, "2026-03-04"
        ).send_audit_access_expiring_soon_notification()
    ),
}

#: The other ones, with their tests.
ELSEWHERE = {
    # The old id is a text that no course has any more.
    "api.rename_course_id": "tests/core/test_renaming.py",
    # A course id without its run.
    "CourseEnrollment.is_enrolled_by_partial": "tests/models/test_delegates.py",
    # The primary key and the text id, as the rules have read them.
    "CourseEnrollmentQuerySet.holding_seats": "tests/core/test_seats.py",
    "CourseEnrollmentQuerySet.of_course_key": "tests/core/test_look_alikes.py",
    "CourseEnrollmentQuerySet.of_course_id": "tests/core/test_look_alikes.py",
}

#: Where the public callables are: modules, and classes of hosts' code.
PLACES = (
    api,
    data,
    permissions,
    EnrollmentsService,
    CourseEnrollment,
    CourseEnrollmentQuerySet,
    CourseMode,
    CourseModeQuerySet,
    CourseEnrollmentAllowed,
    CourseEnrollmentAllowedQuerySet,
    CourseAccessRole,
    CourseAccessRoleQuerySet,
    shipped.CourseRoleBackend,
    shipped.DjangoAuthBackend,
    EnrollmentNotificationSender,
)


def name(user):
    return str(user.get_username())


def public_callables():
    """List the public callables with a parameter that is a course, or several."""
    for place in PLACES:
        prefix = place.__name__.rpartition(".")[2]
        for attribute, value in inspect.getmembers(place):
            where = getattr(value, "__module__", "") or ""
            if attribute.startswith("_") and attribute != "__init__":
                continue
            if not callable(value) or inspect.isclass(value):
                continue
            if not where.startswith("django_enrollments"):
                continue
            if inspect.ismodule(place) and where != place.__name__:
                continue
            parameters = inspect.signature(value).parameters
            if any(
                parameter.startswith("course") or parameter == "new"
                for parameter in parameters
            ):
                yield f"{prefix}.{attribute}"


class Key:
    """An object whose text is a course id."""

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text


def outcome(call, *arguments):
    """Return what a call returns or raises, in a form that can be compared."""
    with transaction.atomic():
        try:
            result = shape(call(*arguments))
        except (CourseEnrollmentError, AssertionError) as error:
            result = type(error)
        transaction.set_rollback(True)
    return result


def shape(value):
    """Return a result without what differs from call to call."""
    if isinstance(value, CourseEnrollment):
        return (value.user_id, value.course_id, value.mode, value.is_active)
    if isinstance(value, models.Model):
        return (type(value), value.pk)
    if isinstance(value, Mapping):
        return {key: shape(one) for key, one in value.items() if key != "created"}
    if isinstance(value, str | bool | int | set | None | permissions.Decision):
        return value
    return [shape(one) for one in value]


def test_the_table_has_every_public_callable():
    assert {*CALLS, *ELSEWHERE} == {*public_callables()}


@pytest.mark.parametrize("called", CALLS)
def test_takes_a_course_in_every_form(called, settings, monkeypatch):
    settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
    settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0
    call = CALLS[called]
    course = make_course(
        COURSE_ID, max_student_enrollments_allowed=1, enable_proctored_exams=True
    )
    make_modes(course, "verified", "honor")
    ada, bob = make_user("ada"), make_user("bob")
    CourseEnrollment.enroll(ada, course, "verified")
    for user, role in ((bob, "staff"), (ada, "beta_testers")):
        CourseAccessRole.objects.create(user=user, role=role, course_id=COURSE_ID)
    CourseEnrollmentAllowed.objects.create(email="x@example.org", course_id=COURSE_ID)
    assert course_id_of(course) == COURSE_ID

    by_id = outcome(call, COURSE_ID, ada, bob)

    assert outcome(call, course, ada, bob) == by_id
    assert outcome(call, Key(COURSE_ID), ada, bob) == by_id

    unknown = outcome(call, "no course id", ada, bob)
    model = get_course_model()
    monkeypatch.setattr(CourseMode, "__str__", lambda _: COURSE_ID)
    deleted = model.objects.get(pk=make_course("deleted").pk)
    deleted.delete()
    for other in (
        model(pk=course.pk),
        model(),
        deleted,
        CourseMode.objects.first(),
        make_user("cay"),
    ):
        assert outcome(call, other, ada, bob) == unknown, other


def test_urls_take_a_course_or_its_id(ada, course):
    for name in ("details", "eligibility", ""):
        route = f"django_enrollments:courseenrollment{name}"

        by_id = reverse(route, args=[course_id_of(course)])

        assert reverse(route, args=[course]) == by_id
        for other in (ada, get_course_model()(pk=course.pk)):
            with pytest.raises(NoReverseMatch):
                reverse(route, args=[other])
