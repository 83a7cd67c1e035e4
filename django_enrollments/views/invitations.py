"""Invitations to enroll before having an account, or in a closed course."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import QueryDict
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from django_enrollments.context import call_context, origin_of
from django_enrollments.core.invitations import (
    invite,
    list_invitations,
    withdraw,
)
from django_enrollments.serializers import CourseEnrollmentAllowedSerializer
from django_enrollments.users import email_of
from django_enrollments.views.base import EnrollmentAPIView, IsGlobalStaff
from django_enrollments.views.errors import error_with_message
from django_enrollments.views.inputs import (
    InvitationRequestSerializer,
    InvitationsQuerySerializer,
    WithdrawalRequestSerializer,
    body_of,
    validated,
)

if TYPE_CHECKING:
    from rest_framework.request import Request


class EnrollmentAllowedView(EnrollmentAPIView):
    """Lists, makes and withdraws invitations; for global staff (V1-CEA)."""

    permission_classes = [IsAuthenticated, IsGlobalStaff]
    serializer_class = CourseEnrollmentAllowedSerializer

    def get(self, request: Request) -> Response:
        """
        List the invitations of an address.

        For staff. Used ones too, whatever the case of the address.

        Responses:
            200: The invitations, possibly none.
        """
        query = validated(InvitationsQuerySerializer(data=request.query_params))
        invitations = list_invitations(query.get("email") or email_of(request.user))
        return Response(self.serializer_class(invitations, many=True).data)

    def post(self, request: Request) -> Response:
        """
        Invite an address to a course.

        For staff. The course need not exist yet.

        Responses:
            201: The invitation.
            400: The address or the course id is missing or invalid, `auto_enroll` is
                no boolean, or the body is malformed.
            409: The invitation exists already, and stays as it is.
        """
        body = self._body(request)
        is_form = isinstance(request.data, QueryDict)
        values = validated(
            InvitationRequestSerializer(data=body, context={"is_form": is_form})
        )
        with call_context() as call:
            invitation = invite(
                values["email"],
                values["course_id"],
                auto_enroll=bool(values.get("auto_enroll")),
                at=call.at,
                origin=origin_of(actor=request.user, source="rest"),
            )
        if invitation is None:
            raise error_with_message(
                409,
                "An enrollment allowed with email {} and course {} already exists.",
                body["email"],
                values["course_id"],
            )
        data = self.serializer_class(invitation).data
        return Response(data, status=201)

    def delete(self, request: Request) -> Response:
        """
        Withdraw an invitation.

        For staff. A learner who has enrolled by it stays enrolled.

        Responses:
            204: The invitation is deleted.
            400: The address or the course id is missing or invalid, or the body is
                malformed.
            404: The invitation does not exist.
        """
        values = validated(WithdrawalRequestSerializer(data=self._body(request)))
        email, course_id = values["email"], values["course_id"]
        # An invitation that exists is deleted whatever its address; without one, an
        # invalid address is refused as such.
        if not withdraw(email, course_id):
            validated(InvitationRequestSerializer(data=values))
            raise error_with_message(
                404,
                # Clients know the text as it is spelled here.
                "An enrollment allowed with email {} and course {} doesn't exists.",
                email,
                course_id,
            )
        return Response(status=204)

    def check_required_data(self, request: Request) -> tuple[bool, Any, Any]:
        """
        Return whether a request names an address and a course, and both (V1-CEA-05).

        Returns:
            Whether neither is missing or empty, the address, and the course id, as the
            body has them.
        """
        body = body_of(request)
        email, course_id = body.get("email"), body.get("course_id")
        return bool(email and course_id), email, course_id

    def _body(self, request: Request) -> dict[str, Any]:
        """Return the body of a request, which names an address and a course."""
        is_valid, email, course_id = self.check_required_data(request)
        if not is_valid:
            raise error_with_message(
                400,
                "Please provide a value for 'email' and 'course_id' in the request "
                "data.",
            )
        return {**body_of(request), "email": email, "course_id": course_id}
