"""Every public callable takes a course, its id or an object whose text is the id."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial

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
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA
from django_enrollments.services import EnrollmentsService
from tests.factories import course_id_of, make_course, make_modes, make_user

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+One"

service = EnrollmentsService()
enroll_by_email = CourseEnrollment.enroll_by_email
find_active = service.get_active_enrollments_by_course_and_user
roles = shipped.CourseRoleBackend()
django_auth = shipped.DjangoAuthBackend()
attributes = [{"namespace": "a", "name": "b", "value": "c"}]

#: What stands for the course, for its learner and for a member of its staff, and for
#: the usernames of these.
C, ADA, BOB, ADA_NAME, BOB_NAME = "CABab"
READS = (permissions.ENROLL_IN_COURSE, VIEW_ENROLLMENT_DATA)
enrollments = CourseEnrollment.objects.all()
SOON = "2026-03-04"

#: Each public callable that takes a course, with its arguments.
SINGLE = [
    (api.get_enrollment, ADA_NAME, C),
    (api.add_enrollment, BOB_NAME, C),
    (partial(api.update_enrollment, mode="honor"), ADA_NAME, C),
    (api.get_course_enrollment_details, C),
    (api.validate_course_mode, C, "honor"),
    (api.is_enrollment_valid_for_proctoring, ADA_NAME, C),
    (api.explain_enrollment, BOB_NAME, C),
    (api.bulk_enroll, C, [BOB_NAME]),
    (data.get_course_enrollment, ADA_NAME, C),
    (data.get_user_enrollments, C),
    (data.create_course_enrollment, BOB_NAME, C, "honor", True),
    (partial(data.update_course_enrollment, mode="honor"), ADA_NAME, C),
    (data.get_course_enrollment_info, C),
    (service.get_active_enrollments_by_course, C),
    (service.get_enrollments_can_take_proctored_exams, C),
    (service.enroll, BOB, C),
    (service.ensure_enrolled, ADA, C, "honor"),
    (service.unenroll, ADA, C),
    (service.change_mode, ADA, C, "honor"),
    (service.is_enrolled, ADA, C),
    (service.bulk_enroll, C, [BOB]),
    (service.explain, BOB, C),
    (service.explain_many, BOB, [C, C]),
    (service.seats, C),
    (service.seats_many, [C, C]),
    (service.roster, C),
    (service.history, ADA, C),
    (service.open_invitations, C),
    (partial(CourseEnrollment.enroll, check_access=True), BOB, C),
    (CourseEnrollment.get_or_create_enrollment, ADA, C),
    (CourseEnrollment.is_enrolled, ADA, C),
    (CourseEnrollment.enrollment_mode_for_user, ADA, C),
    (enrollments.in_course, C),
    (enrollments.is_course_full, C),
    (enrollments.enrollment_counts, C),
    (enrollments.users_enrolled_in, C),
    (CourseMode.modes_for_course, C),
    (CourseMode.objects.all().of_course, C),
    (CourseEnrollmentAllowed.may_enroll_and_unenrolled, C),
    (CourseAccessRole.user_has_role, BOB, "staff", C),
    (CourseAccessRole.objects.all().exempt_from_capacity, C),
    (CourseAccessRole.objects.all().reaching, C, ""),
    (permissions.decide, [ADA, BOB], VIEW_ENROLLMENT_DATA, C),
    (permissions.decide_on, BOB, VIEW_ENROLLMENT_DATA, [C, C]),
    (roles.grants, [ADA, BOB], VIEW_ENROLLMENT_DATA, C),
    (django_auth.has_perm, BOB, VIEW_ENROLLMENT_DATA, C),
]

#: Those that take other arguments or more than one call, by name.
SEVERAL = {
    "api.set_enrollment_attributes": [
        (api.set_enrollment_attributes, ADA_NAME, C, attributes),
        (api.get_enrollment_attributes, ADA_NAME, COURSE_ID),
    ],
    "api.get_enrollment_attributes": [
        (api.set_enrollment_attributes, ADA_NAME, COURSE_ID, attributes),
        (api.get_enrollment_attributes, ADA_NAME, C),
    ],
    "data.add_or_update_enrollment_attr": [
        (data.add_or_update_enrollment_attr, ADA_NAME, C, attributes),
        (data.get_enrollment_attributes, ADA_NAME, COURSE_ID),
    ],
    "data.get_enrollment_attributes": [
        (data.add_or_update_enrollment_attr, ADA_NAME, COURSE_ID, attributes),
        (data.get_enrollment_attributes, ADA_NAME, C),
    ],
    "EnrollmentsService.get_active_enrollments_by_course_and_user": [
        (lambda c, user: find_active(c, user.pk), C, ADA)
    ],
    "CourseEnrollment.unenroll": [
        (CourseEnrollment.unenroll, ADA, C),
        (CourseEnrollment.is_enrolled, ADA, COURSE_ID),
    ],
    "CourseEnrollment.enroll_by_email": [
        (lambda user, c: enroll_by_email(user.email, c, ignore_errors=False), BOB, C)
    ],
    "CourseEnrollment.unenroll_by_email": [
        (lambda user, c: CourseEnrollment.unenroll_by_email(user.email, c), ADA, C),
        (CourseEnrollment.is_enrolled, ADA, COURSE_ID),
    ],
    "permissions.has_perm": [
        (permissions.has_perm, user, perm, C) for user in (ADA, BOB) for perm in READS
    ],
    "CourseRoleBackend.has_perm": [
        (roles.has_perm, user, perm, C) for user in (ADA, BOB) for perm in READS
    ],
    "CourseRoleBackend.grants_on": [
        (roles.grants_on, BOB, perm, [C, C]) for perm in READS
    ],
    "EnrollmentNotificationSender.__init__": [
        (lambda c, user: notify(c, user.pk, SOON), C, ADA)
    ],
}


def name_of(function):
    """Return the name of a function with that of its module or class."""
    function = getattr(function, "func", function)
    owner = getattr(function, "__self__", None)
    if owner is None:
        place = function.__module__
    else:
        place = (owner if inspect.isclass(owner) else type(owner)).__name__
    return f"{place.rpartition('.')[2]}.{function.__name__}"


def name(user):
    return str(user.get_username())


CALLS = {name_of(call[0]): [call] for call in SINGLE} | SEVERAL


def notify(*arguments):
    sender = EnrollmentNotificationSender(*arguments)
    sender.send_audit_access_expiring_soon_notification()


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


def outcome(calls, course, ada, bob):
    """Return what calls return or raise, in a form that can be compared."""
    given = {C: course, ADA: ada, BOB: bob}
    given |= {ADA_NAME: name(ada), BOB_NAME: name(bob)}

    def fill(one):
        if isinstance(one, list):
            return [fill(each) for each in one]
        return given.get(one, one) if isinstance(one, str) else one

    with transaction.atomic():
        try:
            result = [shape(call(*map(fill, arguments))) for call, *arguments in calls]
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
    calls = CALLS[called]
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

    by_id = outcome(calls, COURSE_ID, ada, bob)

    assert outcome(calls, course, ada, bob) == by_id
    assert outcome(calls, Key(COURSE_ID), ada, bob) == by_id

    unknown = outcome(calls, "no course id", ada, bob)
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
        assert outcome(calls, other, ada, bob) == unknown, other


def test_urls_take_a_course_or_its_id(ada, course):
    for name in ("details", "eligibility", ""):
        route = f"django_enrollments:courseenrollment{name}"

        by_id = reverse(route, args=[course_id_of(course)])

        assert reverse(route, args=[course]) == by_id
        for other in (ada, get_course_model()(pk=course.pk)):
            with pytest.raises(NoReverseMatch):
                reverse(route, args=[other])
