"""What the tables hold and refuse."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import pre_delete

from django_enrollments import models
from django_enrollments.context import call_context
from django_enrollments.models import (
    Course,
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    CourseMode,
    EmailOptIn,
    EnrollmentEvent,
    SentNotification,
    UserRetirementStatus,
    get_course_adapter,
    get_course_model,
)
from tests.factories import (
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.watching import event_types

pytestmark = pytest.mark.django_db

default_host_only = pytest.mark.skipif(
    not is_default_host(), reason="the other host has a course model of its own"
)

invite = CourseEnrollmentAllowed.objects.create
grant = CourseAccessRole.objects.create


@pytest.fixture
def row(ada, course):
    """Enroll a learner."""
    return CourseEnrollment.enroll(ada, course_id_of(course))


class TestModule:
    def test_exports_the_models_of_the_contract(self):
        assert set(models.__all__) >= {
            "AbstractCourse",
            "Course",
            "CourseMode",
            "CourseEnrollment",
            "CourseEnrollmentAttribute",
            "CourseEnrollmentAllowed",
            "CourseAccessRole",
            "EnrollmentEvent",
            "UserRetirementStatus",
            "EmailOptIn",
            "get_course_model",
        }

    def test_gives_its_models_big_integer_keys(self):
        for model in (CourseEnrollment, CourseMode, EnrollmentEvent, EmailOptIn):
            assert model._meta.pk.get_internal_type() == "BigAutoField"


class TestCourse:
    def test_is_the_model_that_the_setting_names(self, settings):
        assert get_course_model()._meta.label == settings.ENROLLMENTS_COURSE_MODEL

    @pytest.mark.parametrize("label", ["nonsense", "no_such_app.Course"])
    def test_is_misconfigured_by_a_setting_that_names_no_model(self, settings, label):
        settings.ENROLLMENTS_COURSE_MODEL = label

        with pytest.raises(ImproperlyConfigured, match="ENROLLMENTS_COURSE_MODEL"):
            get_course_model()

    @pytest.mark.parametrize(
        "path",
        [
            "no.such.Adapter",
            "a..b",
            ".a",
            "math.pi",
            "tests.swapped.broken.Adapter",
        ],
    )
    def test_is_misconfigured_by_an_adapter_that_cannot_be_imported(
        self, settings, path
    ):
        settings.ENROLLMENTS_COURSE_ADAPTER = path

        with pytest.raises(ImproperlyConfigured, match="ENROLLMENTS_COURSE_ADAPTER"):
            get_course_adapter()

    def test_has_no_table_when_swapped(self):
        tables = connection.introspection.table_names()

        assert (Course._meta.db_table in tables) is is_default_host()

    @default_host_only
    @pytest.mark.parametrize(
        ("course_id", "given", "org"),
        [
            ("course-v1:edX+DemoX+Demo_Course", "", "edX"),
            ("edX/DemoX/2014T2", "", "edX"),
            ("django-101", "", ""),
            ("a+b", "", ""),
            ("edX/DemoX/2014T2", "Institute", "Institute"),
        ],
    )
    def test_has_the_org_given_or_that_of_its_id(self, course_id, given, org):
        course = Course.objects.create(id=course_id, org=given)

        assert course.org == org
        assert str(course) == course_id

    @default_host_only
    def test_stores_the_org_of_its_id_when_it_is_emptied(self):
        course = Course.objects.create(id="edX/DemoX/2014T2", org="Institute")
        course.org = ""
        course.save(update_fields=["display_name"])

        course.refresh_from_db()

        assert course.org == "edX"


class TestCourseMode:
    @pytest.mark.rule("MODE-01")
    def test_names_the_slugs(self):
        for name, slug in {
            "AUDIT": "audit",
            "HONOR": "honor",
            "VERIFIED": "verified",
            "PROFESSIONAL": "professional",
            "NO_ID_PROFESSIONAL": "no-id-professional",
            "CREDIT": "credit",
            "MASTERS": "masters",
            "EXECUTIVE_EDUCATION": "executive-education",
        }.items():
            assert getattr(CourseMode, name) == slug

    @pytest.mark.rule("MODE-13")
    def test_is_unique_by_course_slug_and_lower_case_currency(self, course):
        mode = make_mode(course, currency=" EUR")
        make_mode(course)

        assert mode.currency == "eur"
        assert CourseMode.objects.get(currency="EUR") == mode
        assert str(mode).endswith("audit (0 eur)")
        with pytest.raises(IntegrityError), transaction.atomic():
            make_mode(course, currency="USD")

    @pytest.mark.rule("MODE-14")
    @pytest.mark.parametrize("slug", ["professional", "no-id-professional"])
    def test_may_not_expire_if_it_is_professional(self, course, slug):
        mode = CourseMode(course=course, mode_slug=slug)
        mode.full_clean()
        mode.expiration_datetime = NOON

        with pytest.raises(ValidationError) as refusal:
            mode.full_clean()

        assert refusal.value.message_dict == {
            "expiration_datetime": [
                "Professional education modes are not allowed to have "
                "expiration_datetime set."
            ]
        }

    @pytest.mark.rule("MODE-14")
    def test_may_expire_otherwise_and_has_whole_prices(self, course):
        mode = CourseMode(course=course, mode_slug="verified", expiration_datetime=NOON)
        mode.full_clean()
        mode.suggested_prices = "1,two"

        with pytest.raises(ValidationError):
            mode.full_clean()

    @pytest.mark.rule("MODE-03", "MODE-05")
    def test_is_listed_if_it_is_selectable_and_has_not_expired(self):
        course_id = course_id_of(
            make_course(modes=["audit", "credit"], expired=["verified"])
        )

        def names(**options):
            return [
                mode.name for mode in CourseMode.modes_for_course(course_id, **options)
            ]

        with call_context(NOON):
            assert names() == ["Audit", "Verified"]
        assert names() == ["Audit"]
        assert names(only_selectable=False) == ["Audit", "Credit"]
        assert names(include_expired=True) == ["Audit", "Verified"]

    @pytest.mark.rule("MODE-04")
    @pytest.mark.parametrize("course_id", ["only-credit", "unknown", "not valid", None])
    def test_is_the_default_where_none_is_listed(self, course_id, settings):
        settings.ENROLLMENTS_DEFAULT_MODE = "honor"
        make_course("only-credit", modes=["credit"])

        (mode,) = CourseMode.modes_for_course(course_id)

        assert (mode.slug, mode.name, mode.pk) == ("honor", "Honor", None)


class TestCourseEnrollment:
    @pytest.mark.rule("MDL-01")
    def test_is_active_in_the_default_mode_unless_given(self, settings, ada, course):
        settings.ENROLLMENTS_DEFAULT_MODE = "honor"

        row = CourseEnrollment.objects.create(user=ada, course=course)

        row.refresh_from_db()
        assert (row.mode, row.is_active) == ("honor", True)
        assert row.created is not None

    @pytest.mark.rule("MDL-01")
    def test_is_unique_by_user_and_course(self, row):
        with pytest.raises(IntegrityError), transaction.atomic():
            CourseEnrollment.objects.create(user=row.user, course=row.course)

    @pytest.mark.rule("MDL-01")
    def test_is_ordered_by_user_then_course(self):
        courses = [make_course(f"course-{number}") for number in range(2)]
        for learner in make_users(2):
            for course in courses:
                CourseEnrollment.enroll(learner, course_id_of(course))

        ordered = CourseEnrollment.objects.order_by("user_id", "course_id")
        assert list(CourseEnrollment.objects.all()) == list(ordered)

    @pytest.mark.rule("MDL-01", "MDL-29")
    @pytest.mark.parametrize("deletion", ["instance", "queryset"])
    def test_survives_its_course_unaltered(self, row, course, deletion):
        before = CourseEnrollment.objects.values().get()
        deleted = course if deletion == "instance" else type(course).objects.all()

        deleted.delete()

        assert CourseEnrollment.objects.values().get() == before
        assert EnrollmentEvent.objects.filter(enrollment=row.pk).count() == 1
        with pytest.raises(get_course_model().DoesNotExist):
            _ = CourseEnrollment.objects.get().course

    @pytest.mark.rule("MDL-29")
    @default_host_only
    def test_finds_its_course_again_when_that_is_rebuilt(self, row, course):
        course_id = course_id_of(course)
        course.delete()

        again = make_course(course_id)

        assert CourseEnrollment.objects.get().course == again

    def test_is_deleted_with_its_user_but_not_its_history(self, row):
        row.user.delete()

        assert not CourseEnrollment.objects.exists()
        assert event_types() == ["created"]

    def test_has_a_text_of_keys_without_names(self, row):
        assert str(row) == f"{row.user_id}: {row.course_id} (audit)"
        assert row.username == username("ada")

    @pytest.mark.rule("MDL-15")
    def test_has_unique_attributes_of_255_characters(self, row):
        long = "ü" * 255
        fields = {"enrollment": row, "namespace": long, "name": long}
        attribute = CourseEnrollmentAttribute.objects.create(**fields, value=long)

        with pytest.raises(IntegrityError), transaction.atomic():
            CourseEnrollmentAttribute.objects.create(**fields, value="blue")
        attribute.refresh_from_db()
        assert attribute.value == long
        assert str(attribute) == f"{long}:{long}"

    def test_has_one_notification_for_each_deadline(self, row):
        fields = {
            "enrollment": row,
            "notification_type": "audit_access_expiring_soon",
            "deadline": NOON,
            "sent": NOON,
        }
        sent = SentNotification.objects.create(**fields)

        with pytest.raises(IntegrityError), transaction.atomic():
            SentNotification.objects.create(**fields)
        assert str(sent) == f"audit_access_expiring_soon: {row.pk}"


class TestCourseEnrollmentAllowed:
    @pytest.mark.rule("MDL-14")
    def test_has_these_defaults(self):
        invitation = invite(email=" Ada@Example.ORG ", course_id="any")

        invitation.refresh_from_db()

        assert invitation.email == "ada@example.org"
        assert invitation.auto_enroll is False
        assert invitation.user is None
        assert invitation.created is not None
        assert "ada" not in str(invitation)

    @pytest.mark.rule("MDL-14", "V1-CEA-12")
    def test_is_unique_by_address_in_any_case_and_course(self):
        invite(email="ada@example.org", course_id="any")

        with pytest.raises(IntegrityError), transaction.atomic():
            invite(email="ADA@example.org", course_id="any")
        invite(email="ada@example.org", course_id="another")

    @pytest.mark.rule("MDL-14")
    def test_is_valid_for_the_address_unless_another_user_has_used_it(self):
        ada, bob = make_user("ada"), make_user("bob")
        unused = invite(email="ada@example.org", course_id="unused")
        own = invite(email="ada@example.org", course_id="own", user=ada)
        taken = invite(email="ada@example.org", course_id="taken", user=bob)

        assert set(CourseEnrollmentAllowed.for_user(ada)) == {unused, own}
        assert not CourseEnrollmentAllowed.for_user(bob).exists()
        assert unused.valid_for_user(bob)
        assert own.valid_for_user(ada)
        assert not taken.valid_for_user(ada)

    @pytest.mark.rule("MDL-14")
    @pytest.mark.skipif(not is_default_host(), reason="here all users have addresses")
    def test_is_not_for_a_user_without_an_address(self):
        invite(email="", course_id="any")

        assert not CourseEnrollmentAllowed.for_user(make_user(email="")).exists()

    @pytest.mark.rule("MDL-14", "MDL-27")
    def test_is_listed_until_it_is_used(self, ada, course):
        here = course_id_of(course)
        unused = invite(email="new@example.org", course_id=here)
        invite(email="new@example.org", course_id="elsewhere")
        invite(email="ada@example.org", course_id=here)
        CourseEnrollment.enroll(ada, here, check_access=True)
        CourseEnrollment.unenroll(ada, here)
        type(ada).objects.filter(pk=ada.pk).update(email="changed@example.org")

        listed = CourseEnrollmentAllowed.may_enroll_and_unenrolled(here)

        assert list(listed) == [unused]

    @pytest.mark.rule("MDL-26")
    def test_is_overwritten_then_deleted_when_its_address_is_retired(self, ada):
        seen = []

        def remember(instance, **kwargs):
            seen.append(instance.email)

        # An address that is invited although others are overwritten with it.
        redacted = invite(email="redacted-before-delete@safe.com", course_id="a")
        for course_id, user in (("a", None), ("b", ada)):
            invite(email="ada@example.org", course_id=course_id, user=user)
        pre_delete.connect(remember, CourseEnrollmentAllowed)
        try:
            assert CourseEnrollmentAllowed.retire("Ada@example.org") is True
        finally:
            pre_delete.disconnect(remember, CourseEnrollmentAllowed)

        assert seen == ["redacted-before-delete@safe.com"] * 2
        assert CourseEnrollmentAllowed.objects.get() == redacted
        assert CourseEnrollmentAllowed.retire("ada@example.org") is False
        assert CourseEnrollmentAllowed.retire(redacted.email) is True

    @pytest.mark.rule("MDL-26")
    @pytest.mark.parametrize("email", ["nobody@example.org", "", "a\x00@example.org"])
    def test_is_not_retired_by_an_address_without_any(self, email):
        assert CourseEnrollmentAllowed.retire(email) is False


class TestCourseAccessRole:
    @pytest.mark.rule("MDL-18")
    def test_is_unique_by_its_four_fields(self, ada):
        fields = {"user": ada, "org": "edX", "course_id": "any", "role": "staff"}
        role = grant(**fields)
        grant(**{**fields, "course_id": ""})
        grant(**{**fields, "org": ""})

        with pytest.raises(IntegrityError), transaction.atomic():
            grant(**fields)
        assert str(role) == "staff of any"

    @pytest.mark.rule("MDL-19")
    def test_implies_others_if_it_is_the_instructors(self):
        instructor, staff = make_user("instructor"), make_user("staff")
        grant(user=instructor, course_id="here", role="instructor")
        grant(user=staff, course_id="here", role="staff")
        has = CourseAccessRole.user_has_role

        assert has(staff, "staff", "here")
        assert not has(staff, "staff", "there")
        assert not has(staff, "instructor", "here")
        for implied in ("instructor", "staff", "beta_testers"):
            assert has(instructor, implied, "here")
        assert not has(instructor, "data_researcher", "here")
        assert not has(AnonymousUser(), "staff", "here")

    @pytest.mark.rule("MDL-19")
    def test_is_had_by_global_staff_and_by_no_inactive_user(self):
        has = CourseAccessRole.user_has_role
        former = make_user("former", is_active=False)
        grant(user=former, course_id="here", role="staff")

        assert has(make_user("boss", is_staff=True), "anything", "anywhere")
        left = make_user("left", is_staff=True, is_active=False)
        assert not has(left, "anything", "anywhere")
        assert not has(former, "staff", "here")


class TestUserRetirementStatus:
    def test_outlives_its_user(self, ada):
        status = UserRetirementStatus.objects.create(user=ada, original_username="ada")
        assert str(status) == f"{ada.pk}: pending"

        ada.delete()

        status.refresh_from_db()
        assert (status.user, status.original_username) == (None, "ada")
        assert status.state == "pending"


class TestEmailOptIn:
    def test_is_unique_by_user_and_org(self, ada):
        choice = EmailOptIn.objects.create(user=ada, org="edX", opted_in=True)

        with pytest.raises(IntegrityError), transaction.atomic():
            EmailOptIn.objects.create(user=ada, org="edX", opted_in=False)
        assert str(choice) == f"{ada.pk}: edX"
