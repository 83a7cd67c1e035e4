"""Users who are no accounts of the user model, although they have a key and a name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory

from django_enrollments import api
from django_enrollments.backends.permissions import CourseRoleBackend
from django_enrollments.context import origin_of
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    EnrollmentEvent,
    UserRetirementStatus,
)
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
    decide,
    decide_on,
    has_perm,
)
from django_enrollments.policies import Requester
from django_enrollments.services import EnrollmentsService
from django_enrollments.throttling import EnrollmentUserThrottle
from django_enrollments.views.base import (
    ApiKeyOrAuthenticated,
    CanRetireUser,
    IsGlobalStaff,
    requester_of,
)
from tests.factories import course_id_of, make_course, make_user, username
from tests.http import ROOT, client_of, put, wish
from tests.watching import raises_without_writes

pytestmark = pytest.mark.django_db

KEY = "server-to-server"
PERMS = [
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
]


class Foreign:
    """An authenticated user of another system, with the key and name of an account."""

    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = True
    is_superuser = True

    def __init__(self, account):
        self.pk = self.id = account.pk
        self.name = account.get_username()
        self.email = getattr(account, "email", "")

    def get_username(self):
        return str(self.name)

    def has_perm(self, perm, obj=None):
        return True


class ForeignAuthentication(BaseAuthentication):
    """Authenticates each request as a foreign user with the key of one account."""

    account: Any = None

    def authenticate(self, request):
        return Foreign(self.account), None


@pytest.fixture
def ada():
    return make_user("ada", is_staff=True, is_superuser=True)


@pytest.fixture
def course(ada):
    course = make_course("django-101", modes=["audit", "honor"])
    CourseAccessRole.objects.create(
        user=ada, org="", course_id=course_id_of(course), role="instructor"
    )
    return course


class TestOriginOf:
    def test_takes_users_of_the_model_however_they_come(self, ada):
        class Child(get_user_model()):
            class Meta:
                proxy = True
                app_label = "tests"

        for actor in (ada, SimpleLazyObject(lambda: ada), Child.objects.get(pk=ada.pk)):
            assert origin_of(actor=actor).actor_id == ada.pk

    def test_of_none_is_a_program_and_of_others_refused(self, ada, course):
        for actor in (None, AnonymousUser()):
            assert origin_of(actor=actor).actor_id is None
            assert origin_of(actor=SimpleLazyObject(lambda a=actor: a)).actor_id is None
        for actor in (Foreign(ada), SimpleLazyObject(lambda: Foreign(ada)), course):
            with pytest.raises(TypeError, match="actor"):
                origin_of(actor=actor)

    def test_changes_nothing_where_the_actor_is_no_user(self, ada, course):
        course_id, actor = course_id_of(course), Foreign(ada)
        service = EnrollmentsService()
        before = [
            lambda: service.enroll(ada, course, actor=actor),
            lambda: service.ensure_enrolled(ada, course, actor=actor),
            lambda: service.bulk_enroll(course, [ada], actor=actor),
            lambda: CourseEnrollment.enroll(ada, course_id, actor=actor),
            lambda: CourseEnrollment.unenroll(ada, course_id, actor=actor),
            lambda: api.bulk_enroll(course_id, [ada.get_username()], actor=actor),
        ]
        after = [
            lambda: service.unenroll(ada, course, actor=actor),
            lambda: service.change_mode(ada, course, "honor", actor=actor),
            lambda: CourseEnrollment.unenroll(ada, course_id, actor=actor),
        ]

        for calls in (before, after):
            for call in calls:
                with raises_without_writes(TypeError, match="actor"):
                    call()
            put(ada, course)


class TestPermissions:
    @pytest.mark.parametrize("perm", PERMS)
    @pytest.mark.parametrize("backend", ["CourseRoleBackend", "DjangoAuthBackend"])
    def test_are_not_granted_by_the_key_of_an_account(
        self, ada, course, settings, perm, backend
    ):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"django_enrollments.backends.permissions.{backend}"
        ]
        foreign = Foreign(ada)

        assert not has_perm(foreign, perm)
        assert not has_perm(foreign, perm, course)
        assert not has_perm(SimpleLazyObject(lambda: foreign), perm, course)
        assert [one.granted for one in decide_on(foreign, perm, [course])] == [False]
        first, second = decide([foreign, ada], perm, course)
        assert (first.granted, second.granted) == (False, has_perm(ada, perm, course))
        roles = CourseRoleBackend()
        assert not roles.has_perm(foreign, perm)
        assert not roles.has_perm(foreign, perm, course)
        assert roles.grants_on(foreign, perm, [course]) == set()

    def test_are_granted_to_a_lazy_account(self, ada, course):
        lazy = SimpleLazyObject(lambda: ada)

        assert has_perm(lazy, CREATE_ENROLLMENT)
        assert Requester(lazy).visible_courses([course]) == [course]


class TestHTTP:
    @pytest.fixture(autouse=True)
    def _foreign(self, ada, course, settings, monkeypatch):
        monkeypatch.setattr(ForeignAuthentication, "account", ada)
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            f"{__name__}.ForeignAuthentication"
        ]
        settings.ENROLLMENTS_API_KEYS = [KEY]
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("ada")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "enrollment"),
            ("POST", "enrollment"),
            ("GET", "enrollment/{course}"),
            ("GET", "enrollment/{ada},{course}"),
            ("GET", "enrollments/"),
            ("GET", "course/{course}/eligibility"),
            ("GET", "roles/"),
            ("GET", "enrollment_allowed/"),
            ("POST", "enrollment_allowed/"),
            ("DELETE", "enrollment_allowed/"),
            ("POST", "unenroll/"),
        ],
    )
    def test_is_not_logged_in(self, ada, course, method, path):
        put(ada, course)
        UserRetirementStatus.objects.create(
            user=ada, original_username=ada.get_username()
        )
        course_id = course_id_of(course)
        url = ROOT + path.format(course=course_id, ada=ada.get_username())
        body = {
            **wish(course, mode="honor"),
            "username": ada.get_username(),
            "email": "new@example.org",
            "course_id": course_id,
        }
        if path == "enrollment_allowed/":
            del body["course_details"]

        response = client_of().generic(
            method, url, json.dumps(body), "application/json"
        )

        assert response.status_code == 401
        assert EnrollmentEvent.objects.count() == 1

    def test_is_no_actor_and_has_no_rights_beside_an_api_key(self, ada, course):
        headers = {"X-Edx-Api-Key": KEY}
        put(ada, course)
        before = EnrollmentEvent.objects.count()

        listed = client_of().get(f"{ROOT}enrollment", headers=headers)
        roles = client_of().get(f"{ROOT}roles/", headers=headers)
        own, others = (
            client_of().post(
                f"{ROOT}enrollment", body, "application/json", headers=headers
            )
            for body in (
                wish(course),
                wish(course, user=make_user("grace").get_username()),
            )
        )

        assert (listed.status_code, listed.json()) == (200, [])
        assert (roles.status_code, own.status_code) == (400, 406)
        assert others.status_code == 200
        (event,) = EnrollmentEvent.objects.order_by("pk")[before:]
        assert event.actor_id is None

    def test_of_the_middleware_is_not_logged_in_either(self, ada, course, settings):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = None
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.put_foreign_user"]

        assert client_of().get(f"{ROOT}enrollment").status_code == 401
        assert client_of().get(f"{ROOT}roles/").status_code == 401

    def test_of_a_token_without_an_account_is_not_logged_in(
        self, ada, course, settings
    ):
        tokens = pytest.importorskip("rest_framework_simplejwt.tokens")
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"
        ]
        token = tokens.AccessToken.for_user(ada)

        response = client_of().get(
            f"{ROOT}enrollment", headers={"Authorization": f"Bearer {token}"}
        )

        assert response.status_code == 401

    def test_is_counted_by_address(self, ada, settings):
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "5/minute", "staff": "9/minute"}
        throttle = EnrollmentUserThrottle()
        request = APIRequestFactory().get("/")
        request.user = Foreign(ada)
        other = APIRequestFactory().get("/")
        other.user = AnonymousUser()

        throttle.scope = "user"
        assert throttle.get_cache_key(request, None) == throttle.get_cache_key(
            other, None
        )
        assert throttle.allow_request(request, None)
        assert throttle.limit == 5

    def test_passes_no_guard_of_a_view_of_the_host(self, ada):
        for method in ("get", "post"):
            request = getattr(APIRequestFactory(), method)("/")
            request.user = Foreign(ada)

            for guard in (IsGlobalStaff, CanRetireUser, ApiKeyOrAuthenticated):
                assert not guard().has_permission(request, None)
            requester = requester_of(request)
            assert requester.username == ""
            assert not requester.can_view_others
            assert not requester.can_force

    def test_is_not_logged_in_where_anonymous_users_are_none(
        self, ada, course, monkeypatch
    ):
        monkeypatch.setattr(api_settings, "UNAUTHENTICATED_USER", None)

        assert client_of().get(f"{ROOT}enrollment").status_code == 401


def put_foreign_user(get_response):
    """Set a foreign user on each request, as middleware."""

    def middleware(request):
        request.user = Foreign(ForeignAuthentication.account)
        return get_response(request)

    return middleware
