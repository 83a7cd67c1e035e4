"""Many learners at once (contract §5), by the rules of one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_enrollments import api
from django_enrollments.enrolling import bulk
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseModeNotFoundError,
    CourseNotFoundError,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
)
from tests.factories import (
    NOON,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.watching import event_types, fold, nothing_written, state_of, stored

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def names_of(users: Any) -> list[str]:
    return [user.get_username() for user in users]


def statuses(results: list[dict[str, Any]]) -> list[str]:
    return [result["status"] for result in results]


class TestResults:
    def test_contract_5_are_one_per_row_in_order_usernames_first(self) -> None:
        make_course()
        ada, bob = make_user("ada"), make_user("bob")

        results = api.bulk_enroll(
            COURSE_ID,
            usernames=[username("bob"), "nobody"],
            emails=["ada@example.org", "new@example.org", "broken"],
        )

        assert [list(result) for result in results] == [
            ["identifier", "status", "code", "message"]
        ] * 5
        assert [result["identifier"] for result in results] == [
            username("bob"),
            "nobody",
            "ada@example.org",
            "new@example.org",
            "broken",
        ]
        assert statuses(results) == ["created", "error", "created", "invited", "error"]
        assert [result["code"] for result in results] == [
            None,
            "user_not_found",
            None,
            None,
            "user_not_found",
        ]
        assert results[1]["message"] == "Not user with username 'nobody' found."
        assert results[0]["message"] == ""
        json.dumps(results)
        assert {row.user for row in CourseEnrollment.objects.all()} == {ada, bob}

    def test_no_row_is_no_result(self) -> None:
        make_course()

        assert api.bulk_enroll(COURSE_ID) == []
        assert api.bulk_enroll(COURSE_ID, action="unenroll") == []

    def test_rows_may_come_from_anywhere(self) -> None:
        make_course()
        names = names_of(make_users(3))

        assert statuses(api.bulk_enroll(COURSE_ID, iter(names))) == ["created"] * 3
        assert statuses(api.bulk_enroll(COURSE_ID, set(names))) == ["unchanged"] * 3

    def test_more_than_a_batch_keeps_its_order(self) -> None:
        make_course()
        users = make_users(bulk.ROWS_PER_BATCH + 3)
        names = names_of(users)
        names.insert(1, "nobody")

        results = api.bulk_enroll(COURSE_ID, names)

        assert [result["identifier"] for result in results] == names
        expected = ["created", "error", *["created"] * (len(users) - 1)]
        assert statuses(results) == expected
        assert CourseEnrollment.objects.count() == len(users)

    @pytest.mark.parametrize(
        "given",
        [None, 5, 1.5, True, b"ada", [], {}, ("a",), "", "\x00", "\ud800", "x" * 10**5],
    )
    def test_a_bad_row_never_stops_a_good_one(self, given: Any) -> None:
        make_course()
        make_user()
        make_user("bob")

        for action, good in (("enroll", "created"), ("unenroll", "deactivated")):
            results = api.bulk_enroll(
                COURSE_ID,
                [username("ada"), given],
                [given, "bob@example.org"],
                action=action,
            )

            assert statuses(results) == [good, "error", "error", good]
            json.dumps(results)


class TestEnroll:
    def test_creates_re_activates_and_leaves_be(self) -> None:
        course = make_course()
        make_modes(course, "audit", "verified")
        new, back, inside = make_users(3)
        for learner in (back, inside):
            CourseEnrollment.enroll(learner, COURSE_ID, "verified")
        CourseEnrollment.unenroll(back, COURSE_ID)

        results = api.bulk_enroll(COURSE_ID, names_of([new, back, inside]))

        assert statuses(results) == ["created", "reactivated", "unchanged"]
        assert state_of(new, course) == ("audit", True)
        assert state_of(back, course) == ("audit", True)
        assert state_of(inside, course) == ("verified", True)

    def test_an_explicit_mode_changes_that_of_who_is_in(self) -> None:
        course = make_course()
        make_modes(course, "audit", "honor")
        plain, there = make_users(2)
        CourseEnrollment.enroll(plain, COURSE_ID)
        CourseEnrollment.enroll(there, COURSE_ID, "honor")

        results = api.bulk_enroll(COURSE_ID, names_of([plain, there]), mode="honor")

        assert statuses(results) == ["mode_changed", "unchanged"]
        assert state_of(plain, course) == ("honor", True)

    def test_who_is_named_twice_is_unchanged_the_second_time(self) -> None:
        make_course()
        make_user()

        results = api.bulk_enroll(
            COURSE_ID, [username("ada"), username("ada")], ["ADA@example.org"]
        )

        assert statuses(results) == ["created", "unchanged", "unchanged"]
        assert results[2]["identifier"] == "ADA@example.org"
        assert event_types() == ["created"]

    def test_who_is_refused_is_refused_again(self) -> None:
        make_course(enrollment_end=NOON)
        make_user()

        results = api.bulk_enroll(COURSE_ID, [username("ada")], ["ada@example.org"])

        assert statuses(results) == ["error", "error"]
        assert [one["code"] for one in results] == ["enrollment_closed"] * 2
        assert results[1]["identifier"] == "ada@example.org"
        assert results[0]["message"] == results[1]["message"] != ""

    def test_the_learners_rules_apply(self) -> None:
        make_course(invitation_only=True)
        invited, other = make_user("invited"), make_user("other")
        CourseEnrollmentAllowed.objects.create(
            email="invited@example.org", course_id=COURSE_ID
        )

        results = api.bulk_enroll(COURSE_ID, names_of([invited, other]))

        assert statuses(results) == ["created", "error"]
        assert CourseEnrollmentAllowed.objects.get().user == invited

    def test_force_lifts_window_and_invitations(self) -> None:
        make_course(invitation_only=True, enrollment_end=NOON)
        names = names_of(make_users(2))

        results = api.bulk_enroll(COURSE_ID, names, force=True)

        assert statuses(results) == ["created", "created"]

    def test_the_history_is_that_of_one_by_one(self) -> None:
        make_course()
        actor, *learners = make_users(3)

        api.bulk_enroll(
            COURSE_ID, names_of(learners), actor=actor, reason="new term", at=NOON
        )

        events = EnrollmentEvent.objects.order_by("pk")
        assert [event.user_id for event in events] == [one.pk for one in learners]
        assert {
            (event.type, event.source, event.actor_id, event.reason, event.time)
            for event in events
        } == {("created", "bulk", actor.pk, "new term", NOON)}

    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_gives_the_rows_that_one_by_one_gives(self, mode: str | None) -> None:
        in_bulk = make_course("bulk", max_student_enrollments_allowed=3)
        single = make_course("single", max_student_enrollments_allowed=3)
        users = make_users(5)
        for course_id, course in (("bulk", in_bulk), ("single", single)):
            make_modes(course, "audit", "honor")
            CourseEnrollment.enroll(users[1], course_id, "honor")
            CourseEnrollment.unenroll(users[1], course_id)

        results = api.bulk_enroll("bulk", names_of(users), mode=mode)
        refused = []
        for user in users:
            try:
                api.add_enrollment(user.get_username(), "single", mode)
            except CourseEnrollmentError as error:
                refused.append((user.get_username(), error.code))

        errors = [one for one in results if one["status"] == "error"]
        assert [(one["identifier"], one["code"]) for one in errors] == refused
        for user in users[:3]:
            assert state_of(user, in_bulk) == state_of(user, single)
        for user in users:
            assert fold(user=user, course_id="bulk") == fold(
                user=user, course_id="single"
            )


class TestBeforeAnyRow:
    @pytest.fixture
    def rows(self) -> Any:
        def never() -> Any:
            raise AssertionError("No row is read.")
            yield

        return never()

    @pytest.mark.parametrize(
        "course_id", ["unknown", "", "not valid", None, [], "\x00"]
    )
    def test_an_unknown_course_is_told(self, rows: Any, course_id: Any) -> None:
        for action in bulk.ACTIONS:
            with pytest.raises(CourseNotFoundError):
                api.bulk_enroll(course_id, rows, action=action)

    @pytest.mark.parametrize("mode", ["verified", "", "x" * 300, 5, [], "\x00"])
    def test_a_mode_that_the_course_does_not_offer_is_told(
        self, rows: Any, mode: Any
    ) -> None:
        make_course()

        with pytest.raises(CourseModeNotFoundError):
            api.bulk_enroll(COURSE_ID, rows, mode=mode)

    def test_an_expired_mode_is_not_offered(self, rows: Any) -> None:
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)

        with pytest.raises(CourseModeNotFoundError):
            api.bulk_enroll(COURSE_ID, rows, mode="verified")

    @pytest.mark.parametrize("action", ["", "Enroll", None, 5, [], "delete"])
    def test_an_unknown_action_is_told(self, rows: Any, action: Any) -> None:
        make_course()

        with pytest.raises(CourseEnrollmentError, match="neither enroll nor unenroll"):
            api.bulk_enroll(COURSE_ID, rows, action=action)

    @pytest.mark.parametrize("field", ["usernames", "emails"])
    @pytest.mark.parametrize("given", ["ada", b"ada"])
    def test_one_text_is_no_list(self, field: str, given: Any) -> None:
        make_course()

        with pytest.raises(TypeError, match="are lists"):
            api.bulk_enroll(COURSE_ID, **{field: given})


class TestInvitations:
    def test_an_address_without_account_is_invited_once(self) -> None:
        make_course()

        first = api.bulk_enroll(COURSE_ID, emails=["new@example.org"], at=NOON)
        second = api.bulk_enroll(
            COURSE_ID, emails=["New@Example.ORG", "new@example.org"]
        )

        assert statuses(first) == ["invited"]
        assert statuses(second) == ["unchanged", "unchanged"]
        invitation = CourseEnrollmentAllowed.objects.get()
        assert (invitation.email, invitation.course_id) == (
            "new@example.org",
            COURSE_ID,
        )
        assert invitation.auto_enroll is True
        assert invitation.created == NOON
        assert event_types() == []

    def test_one_named_twice_is_invited_once(self) -> None:
        make_course()

        results = api.bulk_enroll(
            COURSE_ID, emails=["new@example.org", " NEW@example.org "]
        )

        assert statuses(results) == ["invited", "unchanged"]
        assert CourseEnrollmentAllowed.objects.count() == 1

    def test_an_invitation_that_waits_is_made_to_enroll_at_once(self) -> None:
        make_course()
        CourseEnrollmentAllowed.objects.create(
            email="new@example.org", course_id=COURSE_ID
        )

        results = api.bulk_enroll(COURSE_ID, emails=["new@example.org"])

        assert statuses(results) == ["invited"]
        assert CourseEnrollmentAllowed.objects.get().auto_enroll is True

    def test_a_used_one_is_left_alone(self) -> None:
        make_course()
        learner = make_user()
        CourseEnrollmentAllowed.objects.create(
            email="former@example.org", course_id=COURSE_ID, user=learner
        )

        results = api.bulk_enroll(COURSE_ID, emails=["former@example.org"])

        assert statuses(results) == ["unchanged"]
        invitation = CourseEnrollmentAllowed.objects.get()
        assert (invitation.user, invitation.auto_enroll) == (learner, False)

    def test_unenrolling_takes_the_unused_one_back(self) -> None:
        make_course()
        api.bulk_enroll(COURSE_ID, emails=["new@example.org", "other@example.org"])

        results = api.bulk_enroll(
            COURSE_ID,
            emails=["NEW@example.org", "new@example.org", "never@example.org"],
            action="unenroll",
        )

        assert statuses(results) == ["uninvited", "unchanged", "unchanged"]
        assert CourseEnrollmentAllowed.objects.get().email == "other@example.org"

    def test_a_used_one_is_not_taken_back(self) -> None:
        make_course()
        CourseEnrollmentAllowed.objects.create(
            email="former@example.org", course_id=COURSE_ID, user=make_user()
        )

        results = api.bulk_enroll(
            COURSE_ID, emails=["former@example.org"], action="unenroll"
        )

        assert statuses(results) == ["unchanged"]
        assert CourseEnrollmentAllowed.objects.count() == 1

    @pytest.mark.parametrize("email", ["", "ada", "@\x00", "a@" + "x" * 300, None, 5])
    def test_what_is_no_address_is_told(self, email: Any) -> None:
        make_course()

        for action in bulk.ACTIONS:
            (result,) = api.bulk_enroll(COURSE_ID, emails=[email], action=action)

            assert (result["status"], result["code"]) == ("error", "user_not_found")
        assert not CourseEnrollmentAllowed.objects.exists()

    def test_an_address_of_several_accounts_is_told(self) -> None:
        if not is_default_host():
            pytest.skip("An address has one account here.")
        make_course()
        make_user("ada", email="shared@example.org")
        make_user("bob", email="Shared@example.org")

        (result,) = api.bulk_enroll(COURSE_ID, emails=["shared@example.org"])

        assert (result["status"], result["code"]) == ("error", "enrollment_error")
        assert "Several users" in result["message"]


class TestUnenroll:
    def test_who_was_never_in_is_unchanged(self) -> None:
        course = make_course()
        inside, left, never = make_users(3)
        for learner in (inside, left):
            CourseEnrollment.enroll(learner, COURSE_ID)
        CourseEnrollment.unenroll(left, COURSE_ID)

        results = api.bulk_enroll(
            COURSE_ID, names_of([inside, left, never]), action="unenroll"
        )

        assert statuses(results) == ["deactivated", "unchanged", "unchanged"]
        assert state_of(inside, course) == ("audit", False)

    def test_who_is_named_twice_is_unchanged_the_second_time(self) -> None:
        make_course()
        CourseEnrollment.enroll(make_user(), COURSE_ID)

        results = api.bulk_enroll(
            COURSE_ID,
            [username("ada")],
            ["ada@example.org"],
            action="unenroll",
        )

        assert statuses(results) == ["deactivated", "unchanged"]

    def test_the_mode_does_not_matter(self) -> None:
        make_course()
        CourseEnrollment.enroll(make_user(), COURSE_ID)

        results = api.bulk_enroll(
            COURSE_ID, [username("ada")], mode="unheard-of", action="unenroll"
        )

        assert statuses(results) == ["deactivated"]

    def test_who_goes_loses_an_invitation_that_still_waits(self) -> None:
        make_course()
        learner = make_user()
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=COURSE_ID, auto_enroll=True
        )

        results = api.bulk_enroll(
            COURSE_ID, emails=["ada@example.org"], action="unenroll"
        )

        assert statuses(results) == ["uninvited"]
        assert not CourseEnrollmentAllowed.objects.exists()
        assert not CourseEnrollment.is_enrolled(learner, COURSE_ID)


class TestTwice:
    def test_a_second_run_changes_nothing(self) -> None:
        make_modes(make_course(), "audit", "honor")
        names = names_of(make_users(3))
        for action in bulk.ACTIONS:
            request = {
                "usernames": names,
                "emails": ["new@example.org"],
                "mode": "honor",
                "action": action,
            }
            api.bulk_enroll(COURSE_ID, **request)
            before = stored()

            with nothing_written():
                results = api.bulk_enroll(COURSE_ID, **request)

            assert statuses(results) == ["unchanged"] * 4
            assert stored() == before
