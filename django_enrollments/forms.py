"""The query parameters of the list of all enrollments (V1-ADM)."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError

from django_enrollments.identifiers import find_course_id, is_username


class CourseEnrollmentsApiListForm(forms.Form):
    """
    The filters of the list. All are optional; a missing one is ``""`` (UTIL-01).

    Messages are part of the protocol and are not translated.
    """

    #: Maximum number of values per filter.
    MAX_INPUT_COUNT = 100

    course_id = forms.CharField(
        required=False, help_text="Keeps those in exactly this course."
    )
    course_ids = forms.CharField(
        required=False,
        help_text="Keeps those in courses whose id contains one of these texts, "
        "whatever its case.",
    )
    # An account is found by its exact address, including spaces.
    email = forms.CharField(
        required=False,
        strip=False,
        help_text="Keeps those of learners with one of these addresses, whatever its "
        "case.",
    )
    username = forms.CharField(
        required=False, help_text="Keeps those of exactly these learners."
    )

    def clean_course_id(self) -> str:
        """
        Return the course id (V1-ADM-04).

        Raises:
            ValidationError: The course id is not valid.
        """
        course_id: str = self.cleaned_data["course_id"]
        if course_id and find_course_id(course_id) is None:
            raise ValidationError(f"'{course_id}' is not a valid course id.")
        return course_id

    def clean_course_ids(self) -> list[str] | str:
        """
        Return the parts of course ids (V1-ADM-05).

        Empty parts are left out, because every id contains them (B-12).

        Raises:
            ValidationError: There are too many parts.
        """
        return self._split("course_ids", "course_ids")

    def clean_email(self) -> list[str] | str:
        """
        Return the e-mail addresses, valid or not (V1-ADM-07).

        Empty ones are left out, because users without an address match them (B-12).

        Raises:
            ValidationError: There are too many addresses.
        """
        if not self.cleaned_data["email"].strip():
            return ""
        return self._split("email", "emails")

    def clean_username(self) -> list[str] | str:
        """
        Return the usernames (V1-ADM-06).

        Raises:
            ValidationError: There are too many usernames, or one does not match
                ``ENROLLMENTS_USERNAME_PATTERN`` or has surrounding spaces (V1-ADM-10,
                V1-ADM-13).
        """
        usernames = self._split("username", "usernames", keep_empty=True)
        for username in usernames:
            if username != username.strip() or not is_username(username):
                raise ValidationError(
                    "Usernames can only contain letters (A-Z, a-z), numerals (0-9), "
                    "underscores (_), and hyphens (-)."
                )
        return usernames

    def _split(
        self, field: str, plural: str, *, keep_empty: bool = False
    ) -> list[str] | str:
        value: str = self.cleaned_data[field]
        if not value:
            return value
        elements = value.split(",")
        if len(elements) > self.MAX_INPUT_COUNT:
            raise ValidationError(
                f"Too many {plural} in a single request - {len(elements)}. "
                f"A maximum of {self.MAX_INPUT_COUNT} is allowed"
            )
        return [element for element in elements if element or keep_empty]
