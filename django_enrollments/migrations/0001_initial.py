import re
import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import model_utils.fields
from django.conf import settings
from django.db import migrations, models

import django_enrollments.models.delegates
import django_enrollments.models.enrollments
import django_enrollments.models.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        migrations.swappable_dependency(settings.ENROLLMENTS_COURSE_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Course",
            fields=[
                (
                    "created",
                    model_utils.fields.AutoCreatedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="created",
                    ),
                ),
                (
                    "modified",
                    model_utils.fields.AutoLastModifiedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="modified",
                    ),
                ),
                (
                    "id",
                    models.CharField(
                        help_text="For example course-v1:edX+DemoX+Demo_Course or django-101.",
                        max_length=255,
                        primary_key=True,
                        serialize=False,
                        verbose_name="course id",
                    ),
                ),
                (
                    "org",
                    models.CharField(
                        blank=True,
                        help_text="Taken from the course id when left blank.",
                        max_length=255,
                        verbose_name="organization",
                    ),
                ),
                (
                    "display_name",
                    models.CharField(
                        blank=True,
                        max_length=255,
                        null=True,
                        verbose_name="display name",
                    ),
                ),
                (
                    "start",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="course start"
                    ),
                ),
                (
                    "end",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="course end"
                    ),
                ),
                (
                    "enrollment_start",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="enrollment opens"
                    ),
                ),
                (
                    "enrollment_end",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="enrollment closes"
                    ),
                ),
                (
                    "invitation_only",
                    models.BooleanField(default=False, verbose_name="invitation only"),
                ),
                (
                    "max_student_enrollments_allowed",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Most active learners, course staff aside; empty is no limit.",
                        null=True,
                        verbose_name="seats",
                    ),
                ),
                (
                    "self_paced",
                    models.BooleanField(default=False, verbose_name="self-paced"),
                ),
                (
                    "enable_proctored_exams",
                    models.BooleanField(default=False, verbose_name="proctored exams"),
                ),
                (
                    "proctoring_provider",
                    models.CharField(
                        blank=True, max_length=255, verbose_name="proctoring provider"
                    ),
                ),
            ],
            options={
                "verbose_name": "course",
                "verbose_name_plural": "courses",
                "ordering": ("id",),
                "abstract": False,
                "swappable": "ENROLLMENTS_COURSE_MODEL",
            },
        ),
        migrations.CreateModel(
            name="CourseEnrollment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "created",
                    model_utils.fields.AutoCreatedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="created",
                    ),
                ),
                (
                    "modified",
                    model_utils.fields.AutoLastModifiedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="modified",
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        default=django_enrollments.models.enrollments.default_mode,
                        max_length=100,
                        verbose_name="mode",
                    ),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                (
                    "course",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.ENROLLMENTS_COURSE_MODEL,
                        verbose_name="course",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "course enrollment",
                "verbose_name_plural": "course enrollments",
                "ordering": ("user_id", "course_id"),
            },
            bases=(
                django_enrollments.models.delegates.EnrollmentMethods,
                models.Model,
            ),
        ),
        migrations.CreateModel(
            name="CourseEnrollmentAllowed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "email",
                    django_enrollments.models.fields.LowercaseCharField(
                        max_length=255, verbose_name="e-mail address"
                    ),
                ),
                (
                    "course_id",
                    django_enrollments.models.fields.ExactCharField(
                        help_text="The course may not exist yet.",
                        max_length=255,
                        verbose_name="course id",
                    ),
                ),
                (
                    "auto_enroll",
                    models.BooleanField(
                        default=False,
                        help_text="Enroll as soon as an account with this address appears.",
                        verbose_name="enroll at once",
                    ),
                ),
                (
                    "created",
                    model_utils.fields.AutoCreatedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="created",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who enrolled by it; empty until then.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "invitation",
                "verbose_name_plural": "invitations",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="CourseEnrollmentAttribute",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "namespace",
                    django_enrollments.models.fields.ExactCharField(
                        max_length=255, verbose_name="namespace"
                    ),
                ),
                (
                    "name",
                    django_enrollments.models.fields.ExactCharField(
                        max_length=255, verbose_name="name"
                    ),
                ),
                (
                    "value",
                    models.CharField(blank=True, max_length=255, verbose_name="value"),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attributes",
                        to="django_enrollments.courseenrollment",
                        verbose_name="enrollment",
                    ),
                ),
            ],
            options={
                "verbose_name": "enrollment attribute",
                "verbose_name_plural": "enrollment attributes",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="CourseMode",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("mode_slug", models.CharField(max_length=100, verbose_name="mode")),
                (
                    "mode_display_name",
                    models.CharField(blank=True, max_length=255, verbose_name="name"),
                ),
                (
                    "min_price",
                    models.PositiveIntegerField(
                        default=0, verbose_name="minimum price"
                    ),
                ),
                (
                    "suggested_prices",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Whole numbers separated by commas.",
                        max_length=255,
                        validators=[
                            django.core.validators.RegexValidator(
                                re.compile("^\\d+(?:,\\d+)*\\Z"),
                                code="invalid",
                                message="Enter only digits separated by commas.",
                            )
                        ],
                        verbose_name="suggested prices",
                    ),
                ),
                (
                    "currency",
                    django_enrollments.models.fields.LowercaseCharField(
                        default="usd", max_length=8, verbose_name="currency"
                    ),
                ),
                (
                    "expiration_datetime",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="offered until"
                    ),
                ),
                (
                    "description",
                    models.TextField(blank=True, null=True, verbose_name="description"),
                ),
                (
                    "sku",
                    models.CharField(
                        blank=True, max_length=255, null=True, verbose_name="SKU"
                    ),
                ),
                (
                    "bulk_sku",
                    models.CharField(
                        blank=True, max_length=255, null=True, verbose_name="bulk SKU"
                    ),
                ),
                (
                    "course",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.ENROLLMENTS_COURSE_MODEL,
                        verbose_name="course",
                    ),
                ),
            ],
            options={
                "verbose_name": "course mode",
                "verbose_name_plural": "course modes",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="EmailOptIn",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "org",
                    django_enrollments.models.fields.ExactCharField(
                        blank=True, max_length=255, verbose_name="organization"
                    ),
                ),
                ("opted_in", models.BooleanField(verbose_name="opted in")),
                (
                    "modified",
                    model_utils.fields.AutoLastModifiedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="modified",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "e-mail opt-in",
                "verbose_name_plural": "e-mail opt-ins",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="EnrollmentEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "event_id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        unique=True,
                        verbose_name="event id",
                    ),
                ),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("created", "created"),
                            ("activated", "activated"),
                            ("deactivated", "deactivated"),
                            ("mode_changed", "mode changed"),
                        ],
                        max_length=16,
                        verbose_name="type",
                    ),
                ),
                ("time", models.DateTimeField(verbose_name="time")),
                ("username", models.TextField(verbose_name="username")),
                (
                    "course_id",
                    django_enrollments.models.fields.ExactCharField(
                        max_length=255, verbose_name="course id"
                    ),
                ),
                (
                    "mode_before",
                    models.CharField(
                        max_length=100, null=True, verbose_name="mode before"
                    ),
                ),
                (
                    "mode_after",
                    models.CharField(max_length=100, verbose_name="mode after"),
                ),
                (
                    "active_before",
                    models.BooleanField(null=True, verbose_name="active before"),
                ),
                ("active_after", models.BooleanField(verbose_name="active after")),
                ("source", models.CharField(max_length=16, verbose_name="source")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                (
                    "enterprise_uuid",
                    models.CharField(
                        blank=True, max_length=255, verbose_name="enterprise customer"
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="actor",
                    ),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="django_enrollments.courseenrollment",
                        verbose_name="enrollment",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "enrollment event",
                "verbose_name_plural": "enrollment events",
                "ordering": ("pk",),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="SentNotification",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "notification_type",
                    models.CharField(max_length=100, verbose_name="type"),
                ),
                ("deadline", models.DateTimeField(verbose_name="deadline")),
                ("sent", models.DateTimeField(verbose_name="sent")),
                (
                    "enrollment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sent_notifications",
                        to="django_enrollments.courseenrollment",
                        verbose_name="enrollment",
                    ),
                ),
            ],
            options={
                "verbose_name": "sent notification",
                "verbose_name_plural": "sent notifications",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="UserRetirementStatus",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "created",
                    model_utils.fields.AutoCreatedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="created",
                    ),
                ),
                (
                    "modified",
                    model_utils.fields.AutoLastModifiedField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="modified",
                    ),
                ),
                (
                    "original_username",
                    django_enrollments.models.fields.ExactCharField(
                        db_index=True, max_length=500, verbose_name="original username"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("in_progress", "in progress"),
                            ("complete", "complete"),
                            ("aborted", "aborted"),
                        ],
                        default="pending",
                        max_length=32,
                        verbose_name="state",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "user retirement status",
                "verbose_name_plural": "user retirement statuses",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="CourseAccessRole",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "org",
                    django_enrollments.models.fields.ExactCharField(
                        blank=True, max_length=255, verbose_name="organization"
                    ),
                ),
                (
                    "course_id",
                    django_enrollments.models.fields.ExactCharField(
                        blank=True,
                        help_text="Blank for a role on all courses of the organization.",
                        max_length=255,
                        verbose_name="course id",
                    ),
                ),
                (
                    "role",
                    django_enrollments.models.fields.ExactCharField(
                        max_length=64, verbose_name="role"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="django_enrollments_%(class)s_set",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "course access role",
                "verbose_name_plural": "course access roles",
                "ordering": ("pk",),
                "indexes": [
                    models.Index(
                        fields=["course_id", "role", "user"],
                        name="enrollments_role_course_idx",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "org", "course_id", "role"),
                        name="django_enrollments_courseaccessrole_unique",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="courseenrollment",
            index=models.Index(
                fields=["course", "created", "id"],
                name="enrollments_course_created_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="courseenrollment",
            index=models.Index(
                fields=["course", "is_active", "user"],
                name="enrollments_course_seats_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="courseenrollment",
            index=models.Index(
                fields=["created", "id"], name="enrollments_created_idx"
            ),
        ),
        migrations.AddConstraint(
            model_name="courseenrollment",
            constraint=models.UniqueConstraint(
                fields=("user", "course"),
                name="django_enrollments_courseenrollment_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="courseenrollmentallowed",
            constraint=models.UniqueConstraint(
                fields=("email", "course_id"),
                name="django_enrollments_courseenrollmentallowed_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="courseenrollmentattribute",
            constraint=models.UniqueConstraint(
                fields=("enrollment", "namespace", "name"),
                name="django_enrollments_attribute_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="coursemode",
            constraint=models.UniqueConstraint(
                fields=("course", "mode_slug", "currency"),
                name="django_enrollments_coursemode_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="emailoptin",
            constraint=models.UniqueConstraint(
                fields=("user", "org"), name="django_enrollments_emailoptin_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="enrollmentevent",
            index=models.Index(
                fields=["enrollment", "id"], name="enrollments_event_enroll_idx"
            ),
        ),
        migrations.AddIndex(
            model_name="enrollmentevent",
            index=models.Index(
                fields=["user", "id"], name="enrollments_event_user_idx"
            ),
        ),
        migrations.AddConstraint(
            model_name="sentnotification",
            constraint=models.UniqueConstraint(
                fields=("enrollment", "notification_type", "deadline"),
                name="django_enrollments_sentnotification_unique",
            ),
        ),
    ]
