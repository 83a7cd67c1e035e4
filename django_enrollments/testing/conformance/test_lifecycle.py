"""Enrolling, changing the mode, unenrolling, and refusals."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import router
from django.test import TestCase

from django_enrollments.conf import conf
from django_enrollments.course_model import get_course_adapter
from django_enrollments.datetimes import now
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment
from django_enrollments.testing.assertions import (
    assert_enrolled,
    assert_not_enrolled,
    assert_refused,
)
from django_enrollments.testing.conformance.helpers import (
    course_with_seats,
    events_of,
    expect,
    expect_history_folds,
    has_path,
)
from django_enrollments.testing.factories import (
    make_course,
    make_enrollment,
    make_invitation,
    make_mode,
    make_user,
    make_users,
)
from django_enrollments.users import email_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db(databases="__all__")

MODE = "conformance"


def test_a_learner_enrolls_once(
    service: EnrollmentsService, learner: Any, course: Any
) -> None:
    """
    The first call enrolls, the second one changes nothing.

    Change: if the error is ``not_allowed``, a filter in ``ENROLLMENTS_FILTERS`` refuses
    a new user or course. Let it pass them, or give them what it requires with
    ``factories.FIELD_VALUES``. If it is a database error, run ``migrate``.
    """
    first = service.enroll(learner, course, force=True)
    second = service.enroll(learner, course, force=True)

    assert_enrolled(learner, course)
    expect(first.pk == second.pk, "The second call has made another enrollment.")
    types = [event.type for event in events_of(learner)]
    expect(types == ["created"], f"The history has {types} instead of one event.")


def test_a_learner_leaves_and_returns(
    service: EnrollmentsService, learner: Any, course: Any
) -> None:
    """
    Unenrolling keeps the row, and enrolling activates it again.

    Change: if the error is ``not_allowed``, a filter refuses (docs/how-to/filters.md).
    If the state is wrong, a filter, a receiver or a trigger of the database changes the
    enrollment again.
    """
    row = make_enrollment(learner, course)

    service.unenroll(learner, course, reason="conformance")
    assert_not_enrolled(learner, course)
    back = service.enroll(learner, course, force=True)

    assert_enrolled(learner, course)
    expect(back.pk == row.pk, "Enrolling again has made another enrollment.")
    types = [event.type for event in events_of(learner)]
    expected = ["created", "deactivated", "activated"]
    expect(types == expected, f"The history has {types}, not {expected}.")
    expect_history_folds(learner)


def test_a_mode_changes(service: EnrollmentsService, learner: Any, course: Any) -> None:
    """
    The mode of an active enrollment changes to another mode of the course.

    Change: a filter may replace a mode only by one that the course offers; see
    docs/how-to/filters.md.
    """
    make_mode(course)
    make_mode(course, MODE)
    make_enrollment(learner, course)

    service.change_mode(learner, course, MODE)

    assert_enrolled(learner, course, MODE)
    expect_history_folds(learner)


def test_ensure_enrolled_can_be_repeated(
    service: EnrollmentsService, learner: Any
) -> None:
    """
    A repeated call for the same state changes and records nothing.

    Change: a receiver or filter changes the enrollment back. Remove that change.
    """
    course = make_course(modes=[conf.ENROLLMENTS_DEFAULT_MODE, MODE])
    order = [{"namespace": "order", "name": "id", "value": "1"}]

    for _ in range(2):
        service.ensure_enrolled(learner, course, MODE, attributes=order, force=True)

    assert_enrolled(learner, course, MODE)
    events = events_of(learner)
    expect(len(events) == 1, f"{len(events)} events were recorded instead of one.")


def test_bulk_enrolling_returns_a_result_per_user(
    service: EnrollmentsService, course: Any
) -> None:
    """
    A list of users is enrolled, and a user who is enrolled is unchanged.

    Change: ``message`` of a result with the status ``error`` names the cause.
    """
    users = make_users(3)
    make_enrollment(users[0], course)

    results = service.bulk_enroll(course, users, force=True)

    statuses = [result["status"] for result in results]
    expect(statuses == ["unchanged", "created", "created"], f"The results: {results}")


def test_what_does_not_exist_is_refused(
    service: EnrollmentsService, learner: Any, course: Any
) -> None:
    """
    An unknown user, course or mode is refused with its own code.

    Change: ``get_queryset`` and ``find_course`` of the course adapter must return
    nothing for an unknown course id, and raise nothing.
    """
    deleted = make_user()
    key = deleted.pk
    deleted.delete()
    calls: dict[str, Callable[[], Any]] = {
        "user_not_found": lambda: service.enroll(key, course),
        "course_not_found": lambda: service.enroll(learner, "no-such-course-1"),
        "mode_unavailable": lambda: service.enroll(learner, course, "no-such-mode"),
        "enrollment_not_found": lambda: service.unenroll(learner, course),
    }
    for code, call in calls.items():
        with assert_refused(code):
            call()


def _closed() -> Any:
    return make_course(enrollment_end=now() - timedelta(days=3))


def _not_open_yet() -> Any:
    return make_course(enrollment_start=now() + timedelta(days=3))


def _by_invitation() -> Any:
    return make_course(invitation_only=True)


def _full() -> Any:
    course, seats = course_with_seats(1)
    for user in make_users(seats):
        make_enrollment(user, course)
    return course


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("course_id", make_course),
        ("enrollment_end", _closed),
        ("enrollment_start", _not_open_yet),
        ("invitation_only", _by_invitation),
        ("max_student_enrollments_allowed", _full),
    ],
    ids=["open", "closed", "not open yet", "by invitation", "full"],
)
def test_an_explanation_agrees_with_enrolling(
    name: str, make: Callable[[], Any], service: EnrollmentsService, learner: Any
) -> None:
    """
    ``explain`` returns that a learner can enroll exactly if ``enroll`` does not raise.

    Change: a permission backend or filter must answer the same question in the same
    way each time. It must not depend on the request, on the time between two calls or
    on earlier calls, and ``explain`` must not change anything.
    """
    if not has_path(name) and make is not _full:
        pytest.skip(f"The course adapter maps {name} to no field.")
    course = make()

    explained = service.explain(learner, course)
    many = service.explain_many(learner, [course])
    try:
        service.enroll(learner, course)
    except CourseEnrollmentError as error:
        outcome: str | None = f"{error.code}: {error}"
    else:
        outcome = None

    expect(
        explained["allowed"] is (outcome is None),
        f"explain() returns {explained}, but enroll() "
        f"{'raises ' + outcome if outcome else 'enrolls'}.",
    )
    expect(
        [*many.values()] == [explained],
        f"explain_many() returns {many}, but explain() {explained}. A permission "
        "backend has a method grants_on() that contradicts has_perm().",
    )
    if name == "max_student_enrollments_allowed":
        expect(outcome, "A full course has enrolled a learner without a role.")


def test_an_invitation_enrolls_a_new_account(service: EnrollmentsService) -> None:
    """
    An invitation with ``auto_enroll`` enrolls the account that gets its address.

    Change: new accounts must be saved with ``save()``, because Django sends no
    ``post_save`` signal for ``bulk_create()`` and ``update()``. The user model's
    ``EMAIL_FIELD`` must name the field with the address.
    """
    field = email_field()
    if field is None:
        pytest.skip("The user model has no field for an e-mail address.")
    course, address = make_course(), "conformance@example.org"
    invitation = make_invitation(course, address, auto_enroll=True)
    if get_course_adapter().find_course(invitation.course_id) is None:
        pytest.skip("The course adapter hides new courses. Correct that first.")
    using = router.db_for_write(CourseEnrollment)

    with TestCase.captureOnCommitCallbacks(using=using, execute=True):
        account = make_user(**{field: address})

    if not service.is_enrolled(account, course):
        if not service.explain(account, course)["allowed"]:
            pytest.skip("The permission backends admit no learner by invitation.")
        pytest.fail("The new account can enroll, but was not enrolled.", pytrace=False)
