"""Courses whose id is their primary key, which is no text."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from django_enrollments import api
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import is_default_host, make_course, make_mode, make_user
from tests.http import ROOT, ask, client_of, get
from tests.other_host.adapters import SeminarAdapter
from tests.watching import event_types

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(is_default_host(), reason="The shipped course's key is text."),
]

#: None is the id of a course, and some are of no kind that an id can be.
STRANGE = ["nope", "0" * 32, "course-v1:edX+DemoX+R", "-1", "1" * 40]


class KeyAdapter(SeminarAdapter):
    course_id = "pk"


@pytest.fixture(autouse=True)
def _ids_are_keys(settings):
    settings.ENROLLMENTS_COURSE_ADAPTER = "tests.hosts.test_uuid_course_ids.KeyAdapter"


@pytest.fixture
def course():
    course = make_course()
    make_mode(course, "audit")
    make_mode(course, "verified")
    return course


@pytest.fixture
def ada():
    return make_user("ada").get_username()


def strange_ids(course):
    """Return texts that are no course id; some are other spellings of one."""
    text = str(course.pk)
    return [*STRANGE, str(uuid4()), text.upper(), text.replace("-", ""), f"{{{text}}}"]


class TestPython:
    def test_a_learner_enrolls_and_leaves(self, course, ada):
        course_id = str(course.pk)

        added = api.add_enrollment(ada, course_id)
        assert added["course_details"]["course_id"] == course_id
        assert api.get_enrollment(ada, course_id) == added
        assert api.get_enrollments(ada) == [added]
        changed = api.update_enrollment(ada, course_id, mode="verified")
        assert changed["mode"] == "verified"
        left = api.update_enrollment(ada, course_id, is_active=False)
        assert not left["is_active"]

        assert event_types() == ["created", "mode_changed", "deactivated"]

    def test_a_key_is_taken_like_its_text(self, course, ada):
        api.add_enrollment(ada, course.pk)

        assert isinstance(course.pk, UUID)
        assert api.get_enrollment(ada, course.pk) is not None
        assert CourseEnrollment.objects.in_course(course.pk).count() == 1
        assert CourseEnrollment.is_enrolled(
            CourseEnrollment.objects.get().user, str(course.pk)
        )

    def test_leaving_all_returns_ids(self, course, ada):
        api.add_enrollment(ada, str(course.pk))

        assert api.unenroll_user_and_list_courses(ada) == [str(course.pk)]

    def test_many_at_once(self, course, ada):
        results = api.bulk_enroll(str(course.pk), [ada])

        assert [one["status"] for one in results] == ["created"]
        service = EnrollmentsService()
        assert service.get_active_enrollments_by_course(str(course.pk)).count() == 1

    @pytest.mark.rule("V1-ERR-07")
    def test_what_is_no_id_finds_nothing(self, course, ada):
        api.add_enrollment(ada, str(course.pk))
        before = event_types()

        for strange in strange_ids(course):
            assert api.get_enrollment(ada, strange) is None
            for call in (
                lambda one=strange: api.add_enrollment(ada, one),
                lambda one=strange: api.get_course_enrollment_details(one),
                lambda one=strange: api.bulk_enroll(one, [ada]),
            ):
                with pytest.raises(CourseNotFoundError):
                    call()
            assert not CourseEnrollment.objects.in_course(strange).exists()
            assert not CourseMode.modes_for_course(strange)[1:]

        assert event_types() == before


class TestHTTP:
    def test_a_learner_enrolls_and_staff_see_it(self, course):
        ada = make_user("ada")
        boss = make_user("boss", is_superuser=True, is_staff=True)
        course_id = str(course.pk)

        assert ask(ada, course_id).status_code == 200

        one = get(ada, f"enrollment/{course_id}").json()
        assert one["course_details"]["course_id"] == course_id
        assert get(ada).json() == [one]
        (listed,) = get(boss, "enrollments/", course_id=course_id).json()["results"]
        assert listed["course_id"] == course_id
        for part, found in ((course_id[:8].upper(), [listed]), ("nope", [])):
            page = get(boss, "enrollments/", course_ids=part).json()
            assert page["results"] == found
        assert get(None, f"course/{course_id}").json()["course_id"] == course_id
        moved = ask(boss, course_id, user=ada.get_username(), mode="verified")
        assert moved.status_code == 200
        assert event_types() == ["created", "mode_changed"]

    @pytest.mark.rule("V1-ERR-07")
    def test_what_is_no_id_is_never_a_500(self, course):
        boss = make_user("boss", is_superuser=True, is_staff=True)
        name = boss.get_username()

        for strange in strange_ids(course):
            wanted = ask(boss, strange)
            assert wanted.status_code == 400
            assert wanted.json() == {
                "message": f"No course '{strange}' found for enrollment"
            }
            for path in (
                f"course/{strange}",
                f"course/{strange}/eligibility",
                f"enrollment/{strange}",
                f"enrollment/{name},{strange}",
                f"roles/?course_id={strange}",
                f"enrollments/?course_id={strange}",
                f"enrollments/?course_ids={strange}",
            ):
                assert client_of(boss).get(f"{ROOT}{path}").status_code < 500, path
        assert not CourseEnrollment.objects.exists()

    def test_an_invitation_opens_a_course(self, course):
        course.by_invitation = True
        course.save()
        ada = make_user("ada")
        assert ask(ada, str(course.pk)).status_code == 400
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=str(course.pk)
        )

        assert ask(ada, str(course.pk)).status_code == 200
