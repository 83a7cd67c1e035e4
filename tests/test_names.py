"""The names that hosts write in their own code."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import AppConfig, apps

from django_enrollments.apps import EnrollmentsConfig
from django_enrollments.data import DATA_FUNCTIONS
from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.paginators import CourseEnrollmentsApiListPagination
from django_enrollments.permissions import ENROLL_IN_COURSE
from django_enrollments.services import EnrollmentsService

MODULES = {
    "api": "get_enrollments get_verified_enrollments get_enrollment add_enrollment "
    "update_enrollment get_course_enrollment_details set_enrollment_attributes "
    "get_enrollment_attributes validate_course_mode unenroll_user_from_all_courses "
    "get_user_roles serialize_enrollments is_enrollment_valid_for_proctoring "
    "explain_enrollment bulk_enroll",
    "apps": "EnrollmentsConfig",
    "authentication": "SessionAuthenticationAllowInactiveUser JwtAuthentication "
    "BearerAuthenticationAllowInactiveUser",
    "data": "get_course_enrollments get_course_enrollment get_user_enrollments "
    "create_course_enrollment update_course_enrollment add_or_update_enrollment_attr "
    "get_enrollment_attributes unenroll_user_from_all_courses "
    "get_course_enrollment_info get_user_roles serialize_enrollments",
    "enrollments_notifications": "EnrollmentNotificationSender",
    "errors": "CourseEnrollmentError CourseEnrollmentClosedError "
    "CourseEnrollmentExistsError CourseEnrollmentFullError "
    "CourseEnrollmentNotUpdatableError CourseModeNotFoundError EnrollmentApiLoadError "
    "EnrollmentNotFoundError InvalidEnrollmentAttribute UserNotFoundError "
    "CourseNotFoundError CohortNotFoundError EnrollmentNotAllowed",
    "forms": "CourseEnrollmentsApiListForm",
    "models": "AbstractCourse Course CourseMode CourseEnrollment "
    "CourseEnrollmentAttribute CourseEnrollmentAllowed CourseAccessRole "
    "EnrollmentEvent UserRetirementStatus EmailOptIn get_course_model",
    "paginators": "CourseEnrollmentsApiListPagination",
    "permissions": "ENROLL_IN_COURSE VIEW_ENROLLMENT_DATA CREATE_ENROLLMENT "
    "DEACTIVATE_ENROLLMENT RETIRE_USER",
    "serializers": "StringListField CourseSerializer CourseEnrollmentSerializer "
    "CourseEnrollmentsApiListSerializer ModeSerializer "
    "CourseEnrollmentAllowedSerializer",
    "services": "EnrollmentsService",
    "signals": "enrollment_created enrollment_activated enrollment_deactivated "
    "enrollment_mode_changed notification_requested",
    "urls": "app_name urlpatterns",
    "views": "ApiKeyPermissionMixIn EnrollmentCrossDomainSessionAuth "
    "EnrollmentUserThrottle EnrollmentView EnrollmentListView EnrollmentUserRolesView "
    "EnrollmentCourseDetailView CourseEnrollmentsApiListView EnrollmentAllowedView "
    "UnenrollmentView",
}


@pytest.mark.rule("NAM-01", "NAM-02", "NAM-05")
@pytest.mark.parametrize("module", MODULES)
def test_modules_have_their_names(module):
    found = import_module(f"django_enrollments.{module}")

    assert [name for name in MODULES[module].split() if not hasattr(found, name)] == []


def test_the_protocol_of_data_layers_lists_the_functions_of_the_contract():
    assert {*DATA_FUNCTIONS} == {*MODULES["data"].split()}


@pytest.mark.rule("NAM-05")
def test_the_app_is_configured_by_its_class():
    config = apps.get_app_config("django_enrollments")

    assert type(config) is EnrollmentsConfig
    assert EnrollmentsConfig.name == "django_enrollments"
    assert "ready" in vars(EnrollmentsConfig)
    assert issubclass(EnrollmentsConfig, AppConfig)
    assert config.default_auto_field == "django.db.models.BigAutoField"


@pytest.mark.rule("NAM-05")
def test_the_form_the_paginator_and_the_service_have_their_names():
    form, service = CourseEnrollmentsApiListForm, EnrollmentsService

    for name in ("course_id", "course_ids", "email", "username"):
        assert callable(getattr(form, f"clean_{name}"))
    assert form.MAX_INPUT_COUNT == 100
    assert CourseEnrollmentsApiListPagination.page_size == 100
    for name in (
        "get_active_enrollments_by_course",
        "get_active_enrollments_by_course_and_user",
        "get_enrollments_can_take_proctored_exams",
    ):
        assert callable(getattr(service, name))


@pytest.mark.rule("NAM-06")
def test_enrolling_has_a_permission_of_its_own():
    assert ENROLL_IN_COURSE == "django_enrollments.enroll_in_course"
