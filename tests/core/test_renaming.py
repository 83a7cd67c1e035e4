"""Roles and invitations move to the new id of a course."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import transaction

from django_enrollments import api
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import is_default_host, make_course, make_user

pytestmark = pytest.mark.django_db

service = EnrollmentsService()

only_other_host = pytest.mark.skipif(
    is_default_host(), reason="the course id of the shipped course is its key"
)


def grant(user, course_id, role="staff", org=""):
    CourseAccessRole.objects.create(user=user, course_id=course_id, role=role, org=org)


def invite(name, course_id, **fields):
    CourseEnrollmentAllowed.objects.create(
        email=f"{name}@example.org", course_id=course_id, **fields
    )


def roles():
    rows = CourseAccessRole.objects.values_list("user", "org", "course_id", "role")
    return set(rows)


def invitations():
    rows = CourseEnrollmentAllowed.objects.values_list("email", "course_id", "reason")
    return {(email.partition("@")[0], *others) for email, *others in rows}


class TestRenameCourseId:
    def test_moves_roles_and_invitations_and_nothing_else(self, ada):
        grant(ada, "old-1")
        grant(ada, "old-1", "instructor", org="old")
        grant(ada, "", "staff", org="old-1")
        grant(ada, "old-10")
        invite("bob", "old-1", auto_enroll=True, mode="honor", actor=ada, reason="r")
        invite("bob", "old-10")

        moved = api.rename_course_id("old-1", "new-1")

        assert json.loads(json.dumps(moved)) == {"roles": 2, "invitations": 1}
        assert roles() == {
            (ada.pk, "", "new-1", "staff"),
            (ada.pk, "old", "new-1", "instructor"),
            (ada.pk, "old-1", "", "staff"),
            (ada.pk, "", "old-10", "staff"),
        }
        assert invitations() == {("bob", "new-1", "r"), ("bob", "old-10", "")}
        invitation = CourseEnrollmentAllowed.objects.get(course_id="new-1")
        assert (invitation.auto_enroll, invitation.mode) == (True, "honor")
        assert invitation.actor == ada

    def test_moves_nothing_twice_and_moves_back(self, ada):
        grant(ada, "old")
        invite("bob", "old")
        before = roles(), invitations()
        nothing = {"roles": 0, "invitations": 0}

        assert api.rename_course_id("old", "old") == nothing
        assert api.rename_course_id("old", "new") == {"roles": 1, "invitations": 1}
        assert api.rename_course_id("old", "new") == nothing
        assert api.rename_course_id("new", "old") == {"roles": 1, "invitations": 1}
        assert (roles(), invitations()) == before

    def test_merges_roles_on_both_ids(self):
        ada, bob = make_user("ada"), make_user("bob")
        for course_id in ("old", "new"):
            grant(ada, course_id)
        grant(ada, "old", org="org")
        grant(bob, "old")

        assert api.rename_course_id("old", "new")["roles"] == 3
        assert roles() == {
            (ada.pk, "", "new", "staff"),
            (ada.pk, "org", "new", "staff"),
            (bob.pk, "", "new", "staff"),
        }

    @pytest.mark.parametrize(
        ("old", "new", "kept"),
        [
            ({}, {}, "new"),
            ({"auto_enroll": True}, {}, "old"),
            ({}, {"auto_enroll": True}, "new"),
            ({"auto_enroll": True}, {"auto_enroll": True}, "new"),
            ({"user": "bob"}, {"auto_enroll": True}, "old"),
            ({"auto_enroll": True}, {"user": "bob"}, "new"),
            ({"user": "bob"}, {"user": "bob"}, "new"),
        ],
    )
    def test_keeps_the_stronger_of_two_invitations_of_one_address(self, old, new, kept):
        bob = make_user("bob")
        for course_id, fields in (("old", old), ("new", new)):
            if "user" in fields:
                fields = {**fields, "user": bob}
            invite("bob", course_id, reason=course_id, **fields)
        invite("eve", "old", reason="old")

        assert api.rename_course_id("old", "new")["invitations"] == 2
        assert invitations() == {("bob", "new", kept), ("eve", "new", "old")}

    def test_many_at_once(self, ada):
        for course_id in ("old", "new"):
            CourseAccessRole.objects.bulk_create(
                CourseAccessRole(user=ada, course_id=course_id, role=f"role{n}")
                for n in range(1200)
            )
            CourseEnrollmentAllowed.objects.bulk_create(
                CourseEnrollmentAllowed(email=f"u{n}@example.org", course_id=course_id)
                for n in range(1200)
            )

        moved = api.rename_course_id("old", "new")

        assert moved == {"roles": 1200, "invitations": 1200}
        assert CourseAccessRole.objects.filter(course_id="new").count() == 1200
        assert CourseEnrollmentAllowed.objects.filter(course_id="new").count() == 1200
        assert not CourseAccessRole.objects.filter(course_id="old").exists()

    @pytest.mark.parametrize("look_alike", ["OLD", "óld", "old ", "old-1"])
    def test_leaves_ids_that_look_alike(self, ada, look_alike):
        for course_id in (look_alike, "old"):
            grant(ada, course_id)
            invite("bob", course_id)

        assert api.rename_course_id("old", "new") == {"roles": 1, "invitations": 1}
        assert roles() == {
            (ada.pk, "", look_alike, "staff"),
            (ada.pk, "", "new", "staff"),
        }
        assert invitations() == {("bob", look_alike, ""), ("bob", "new", "")}

    @pytest.mark.parametrize(("old", "new"), [("Al-1", "al-1"), ("a b", "a-b")])
    def test_may_change_the_case_or_an_id_that_is_no_longer_valid(self, ada, old, new):
        grant(ada, old)
        invite("bob", old)

        moved = api.rename_course_id(old, make_course(new))

        assert moved == {"roles": 1, "invitations": 1}
        assert roles() == {(ada.pk, "", new, "staff")}
        assert invitations() == {("bob", new, "")}

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            *((old, "new") for old in ("", None, b"old", "x" * 256, "\x00", ["old"])),
            *(("old", new) for new in ("", None, "a b", "x" * 256, "\x00", ["new"])),
            ("old", get_course_model()(pk="5")),
        ],
    )
    def test_refuses_invalid_course_ids(self, ada, old, new):
        grant(ada, "", org="org")
        grant(ada, "old")
        before = roles()

        with pytest.raises(CourseNotFoundError):
            api.rename_course_id(old, new)
        assert roles() == before

    def test_the_history_keeps_the_id_of_its_time(self, ada):
        service.enroll(ada, make_course("old"))

        api.rename_course_id("old", "new")

        assert EnrollmentEvent.objects.get().course_id == "old"

    def test_drops_the_details_of_both_ids(self, django_capture_on_commit_callbacks):
        courses = [make_course("old"), make_course("new")]
        for course_id in ("old", "new"):
            api.get_course_enrollment_details(course_id)
        for course in courses:
            type(course).objects.filter(pk=course.pk).update(
                **{"invitation_only" if is_default_host() else "by_invitation": True}
            )

        api.rename_course_id("old", "new")

        for course_id in ("old", "new"):
            assert api.get_course_enrollment_details(course_id)["invite_only"]
        cache.clear()
        with django_capture_on_commit_callbacks() as callbacks:
            api.rename_course_id("old", "new")
        assert callbacks

    @only_other_host
    def test_keeps_the_learners_staff_and_invitations_of_a_course(self):
        course = make_course(
            "old", invitation_only=True, max_student_enrollments_allowed=1
        )
        ada, member, bob = make_user("ada"), make_user("member"), make_user("bob")
        grant(member, "old")
        invite("ada", "old")
        service.enroll(member, course)
        service.enroll(ada, course)
        invite("bob", "old")

        with transaction.atomic():
            course.slug = "new"
            course.save()
            api.rename_course_id("old", course)

        assert CourseEnrollment.is_enrolled(ada, "new")
        assert CourseAccessRole.user_has_role(member, "staff", course)
        explained = service.explain(bob, course)
        assert [one["code"] for one in explained["reasons"]] == ["course_full"]
        assert explained["seats"]["taken"] == 1


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_move_all_or_nothing(self, ada, monkeypatch):
        grant(ada, "old")
        invite("bob", "old")

        def fail(*args, **kwargs):
            raise RuntimeError

        monkeypatch.setattr(
            CourseEnrollmentAllowed.objects.none().__class__, "update", fail
        )
        with pytest.raises(RuntimeError):
            api.rename_course_id("old", "new")
        assert roles() == {(ada.pk, "", "old", "staff")}

    def test_merge_a_role_granted_meanwhile(self, monkeypatch):
        from django_enrollments.core import renaming

        ada = make_user("ada")
        grant(ada, "old")
        find = renaming._held_twice
        looks = []

        def find_before_the_grant(*args):
            found = find(*args)
            looks.append(found)
            if len(looks) == 1:
                # The unique constraint refuses the move, which is decided anew.
                grant(ada, "new")
            return found

        monkeypatch.setattr(renaming, "_held_twice", find_before_the_grant)

        moved = api.rename_course_id("old", "new")

        assert len(looks) == 2
        assert moved == {"roles": 1, "invitations": 0}
        assert roles() == {(ada.pk, "", "new", "staff")}

    def test_are_part_of_a_transaction_of_the_callers(self, ada):
        grant(ada, "old")

        with transaction.atomic():
            api.rename_course_id("old", "new")
            transaction.set_rollback(True)

        assert roles() == {(ada.pk, "", "old", "staff")}


class TestCommand:
    def test_moves_and_prints_how_many(self, ada):
        grant(ada, "old")
        invite("bob", "old")
        out = StringIO()

        call_command("rename_course_id", "old", "new", stdout=out)

        assert out.getvalue() == "Roles moved: 1, invitations moved: 1\n"
        assert roles() == {(ada.pk, "", "new", "staff")}

    @pytest.mark.parametrize("ids", [("", "new"), ("old", ""), ("old", "a b")])
    def test_refuses_invalid_course_ids(self, ids):
        with pytest.raises(CommandError, match="no course id"):
            call_command("rename_course_id", *ids)
