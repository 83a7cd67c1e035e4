"""Who may enroll before having an account, or into a closed course."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import QueryDict
from rest_framework import status
from rest_framework.fields import BooleanField
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from django_enrollments.context import one_call, origin_of
from django_enrollments.core.invitations import (
    invite,
    list_invitations,
    withdraw,
)
from django_enrollments.identifiers import find_course_id
from django_enrollments.serializers import CourseEnrollmentAllowedSerializer
from django_enrollments.text import clean_address
from django_enrollments.users import email_of
from django_enrollments.views.base import (
    EnrollmentAPIView,
    IsGlobalStaff,
    body_of,
    refused,
)

if TYPE_CHECKING:
    from rest_framework.request import Request

    from django_enrollments.wire import Refused


class EnrollmentAllowedView(EnrollmentAPIView):
    """Lists, makes and takes back invitations; for global staff (V1-CEA)."""

    permission_classes = [IsAuthenticated, IsGlobalStaff]
    serializer_class = CourseEnrollmentAllowedSerializer

    def get(self, request: Request) -> Response:
        """
        List the invitations of an address, or of the requester's own.

        Args:
            request: The request; ``?email=`` names the address.
        """
        address = request.query_params.get("email") or email_of(request.user)
        invitations = list_invitations(address)
        return Response(self.serializer_class(invitations, many=True).data)

    def post(self, request: Request) -> Response:
        """
        Invite an address to a course.

        Args:
            request: The request, with ``email``, ``course_id`` and, if the address is
                to be enrolled once it has an account, ``auto_enroll``.
        """
        address, course_id = self._required_data(request)
        email = clean_address(address)
        if email is None:
            raise _invalid(address)
        auto_enroll = _auto_enroll_of(request)
        with one_call() as call:
            invitation = invite(
                email,
                course_id,
                auto_enroll=auto_enroll,
                at=call.at,
                origin=origin_of(actor=request.user, source="rest"),
            )
        if invitation is None:
            raise refused(
                status.HTTP_409_CONFLICT,
                "An enrollment allowed with email {} and course {} already exists.",
                request.data["email"],
                course_id,
            )
        data = self.serializer_class(invitation).data
        return Response(data, status=status.HTTP_201_CREATED)

    def delete(self, request: Request) -> Response:
        """
        Take an invitation back.

        Args:
            request: The request, with ``email`` and ``course_id`` in its body.
        """
        address, course_id = self._required_data(request)
        # One that is there is deleted whatever its address.
        if not withdraw(address, course_id):
            if clean_address(address) is None:
                raise _invalid(address)
            raise refused(
                status.HTTP_404_NOT_FOUND,
                # The grammar is what clients know.
                "An enrollment allowed with email {} and course {} doesn't exists.",
                request.data["email"],
                course_id,
            )
        return Response(status=status.HTTP_204_NO_CONTENT)

    def check_required_data(self, request: Request) -> tuple[bool, Any, Any]:
        """
        Return whether a request names an address and a course (V1-CEA-05).

        Args:
            request: The request.

        Returns:
            Whether it names both, then the address and the course id as they came.
        """
        body = body_of(request)
        email, course_id = body.get("email"), body.get("course_id")
        return bool(email and course_id), email, course_id

    def _required_data(self, request: Request) -> tuple[Any, str]:
        """
        Return the address as it came, and the course id.

        Raises:
            Refused: One is missing, or the course id is invalid.
        """
        is_valid, address, given = self.check_required_data(request)
        if not is_valid:
            raise refused(
                status.HTTP_400_BAD_REQUEST,
                "Please provide a value for 'email' and 'course_id' in the request "
                "data.",
            )
        course_id = find_course_id(given) if isinstance(given, str) else None
        if course_id is None:
            raise refused(
                status.HTTP_400_BAD_REQUEST,
                "No course '{}' found for enrollment",
                given,
            )
        return address, course_id


def _invalid(address: object) -> Refused:
    """Return the refusal of what is no address (V1-CEA-11)."""
    text = "'{}' is not a valid email address."
    return refused(status.HTTP_400_BAD_REQUEST, text, address)


def _auto_enroll_of(request: Request) -> bool:
    """Return the flag of a request: a boolean in JSON, its usual texts in forms."""
    flag = request.data.get("auto_enroll")
    is_form = isinstance(request.data, QueryDict)
    # Parts of a form may be files, and those have names that say nothing.
    if is_form and (flag is None or isinstance(flag, str)):
        text = (flag or "false").strip().lower()
        if text in BooleanField.TRUE_VALUES:
            return True
        if text in BooleanField.FALSE_VALUES:
            return False
    elif not is_form and (flag is None or isinstance(flag, bool)):
        return bool(flag)
    raise refused(
        status.HTTP_400_BAD_REQUEST, "'{}' is an invalid auto enroll status.", flag
    )
