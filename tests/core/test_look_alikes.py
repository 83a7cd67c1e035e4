"""Course ids and names are compared exactly, whatever the collation."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from django_enrollments import api
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseEnrollmentFullError,
    CourseNotFoundError,
    EnrollmentNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import make_course, make_mode, make_user

service = EnrollmentsService()


def _columns_of_host():
    users, courses = get_user_model(), get_course_model()
    names = [(courses, get_course_adapter().course_id), (users, users.USERNAME_FIELD)]
    return [(model, model._meta.get_field(name)) for model, name in names]


@pytest.fixture
def _lenient_columns(transactional_db):
    """Let the columns of the host ignore case, as its own migrations might."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            indexes = _make_lenient_on_postgresql(cursor)
        yield
        with connection.cursor() as cursor:
            for model, field in _columns_of_host():
                table, column = model._meta.db_table, field.column
                sql = f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE {{}}'
                cursor.execute(sql.format(field.db_type(connection)))
            for definition in indexes:
                cursor.execute(definition)
    elif connection.vendor == "sqlite":
        # LIKE ignores case and collations there, so the name of users can stay.
        (model, old), _ = _columns_of_host()
        new = old.clone()
        new.db_collation = "NOCASE"
        new.set_attributes_from_name(old.name)
        new.model = model
        with connection.schema_editor() as editor:
            editor.alter_field(model, old, new)
        yield
        with connection.schema_editor() as editor:
            editor.alter_field(model, new, old)
    else:
        # The columns of MySQL ignore case anyway.
        yield


def _make_lenient_on_postgresql(cursor):
    """Return the definitions of the indexes that had to go."""
    cursor.execute(
        "CREATE COLLATION IF NOT EXISTS ignoring_case "
        "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    definitions = []
    for model, field in _columns_of_host():
        table = model._meta.db_table
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes "
            "WHERE tablename = %s AND indexdef LIKE '%%_pattern_ops%%'",
            [table],
        )
        for name, definition in cursor.fetchall():
            cursor.execute(f'DROP INDEX "{name}"')
            definitions.append(definition)
        kind = field.db_type(connection)
        cursor.execute(
            f'ALTER TABLE "{table}" ALTER COLUMN "{field.column}" '
            f"TYPE {kind} COLLATE ignoring_case"
        )
    return definitions


@pytest.mark.django_db
class TestCourseIds:
    def test_an_old_row_of_a_look_alike_holds_no_seat(self):
        make_course("Al-1", max_student_enrollments_allowed=1)
        service.enroll(make_user("alice"), "Al-1")
        get_course_model().objects.all().delete()
        make_course("al-1", max_student_enrollments_allowed=1)

        enrollment = service.enroll(make_user("bob"), "al-1")

        assert enrollment.is_active
        with pytest.raises(CourseEnrollmentError):
            service.enroll(make_user("carol"), "al-1")

    @pytest.mark.parametrize("was_active", [True, False])
    def test_an_old_row_of_a_look_alike_is_no_row_in_a_course(self, was_active):
        learner, other = make_user("alice"), make_user("bob")
        course = make_course("Al-1")
        service.enroll(learner, course)
        if not was_active:
            service.unenroll(learner, course)
        course.delete()
        course = make_course("al-1", max_student_enrollments_allowed=1)
        name = learner.get_username()

        assert service.explain(learner, "al-1")["allowed"]
        assert service.explain(learner, course)["allowed"]
        assert not service.is_enrolled(learner, course)
        for call in (
            lambda: service.unenroll(learner, "al-1"),
            lambda: service.unenroll(learner, course),
            lambda: service.change_mode(learner, "al-1", "audit"),
        ):
            with pytest.raises(EnrollmentNotFoundError):
                call()
        (result,) = api.bulk_enroll("al-1", [name], action="unenroll")
        assert result["status"] == "unchanged"

        service.enroll(other, "al-1")
        with pytest.raises(CourseEnrollmentFullError):
            service.enroll(learner, "al-1")
        assert CourseEnrollment.objects.filter(user=learner).exists()
        service.unenroll(other, "al-1")
        enrollment = service.enroll(learner, "al-1")

        assert enrollment.is_active
        assert service.is_enrolled(learner, "al-1")
        assert service.explain(other, course)["seats"]["left"] == 0
        events = EnrollmentEvent.objects.filter(user=learner, course_id="al-1")
        assert [event.type for event in events] == ["created"]
        assert EnrollmentEvent.objects.filter(user=learner, course_id="Al-1").exists()
        with pytest.raises(CourseEnrollmentError):
            service.enroll(other, "al-1")

    @pytest.mark.rule("ACC-13")
    def test_an_old_row_of_a_look_alike_uses_no_invitation_up(self):
        learner = make_user("alice")
        service.enroll(learner, make_course("Al-1"))
        get_course_model().objects.all().delete()
        make_course("al-1")
        CourseEnrollmentAllowed.objects.create(
            email=learner.email, course_id="al-1", auto_enroll=True
        )

        learner.save()

        assert service.is_enrolled(learner, "al-1")

    def test_a_role_with_a_space_at_its_end_is_another(self):
        course = make_course("pd-1", max_student_enrollments_allowed=1)
        member = make_user("member")
        CourseAccessRole.objects.create(user=member, role="staff ", course_id="pd-1")
        CourseAccessRole.objects.create(user=member, role="staff", course_id="pd-1 ")

        assert not CourseAccessRole.objects.exempt_from_capacity("pd-1").exists()
        service.enroll(member, course)
        assert CourseEnrollment.objects.is_course_full(course)


@pytest.mark.usefixtures("_lenient_columns")
@pytest.mark.django_db(transaction=True)
class TestLenientColumns:
    def test_unenroll_refuses_a_look_alike(self):
        make_mode(make_course("Django-101"))
        learner = make_user("alice")
        service.enroll(learner, "Django-101")

        with pytest.raises(CourseNotFoundError):
            service.unenroll(learner, "DJANGO-101")

        assert service.is_enrolled(learner, "Django-101")
        assert not service.is_enrolled(learner, "DJANGO-101")
        assert not CourseEnrollment.is_enrolled(learner, "DJANGO-101")
        assert api.get_enrollment(learner.get_username(), "DJANGO-101") is None
        assert not CourseMode.objects.of_course("DJANGO-101").exists()
        assert CourseMode.objects.of_course("Django-101").exists()
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("DJANGO-101")

    def test_searches_find_texts_in_any_case(self, client):
        make_course("Django-101", enable_proctored_exams=True)
        learner = make_user("alice")
        service.enroll(learner, "Django-101")
        CourseEnrollment.objects.get().update_enrollment(mode="verified")
        client.force_login(make_user("root", is_staff=True))

        answer = client.get("/api/enrollment/v1/enrollments?course_ids=DJANGO")
        found = service.get_enrollments_can_take_proctored_exams("Django-101", "ALIC")

        assert answer.status_code == 200
        assert len(answer.json()["results"]) == 1
        assert found is not None
        assert len(found) == 1
