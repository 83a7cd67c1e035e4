"""Invitations."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import BaseAdmin, CourseIdForm
from django_enrollments.conf import conf
from django_enrollments.context import origin_of
from django_enrollments.core.invitations import (
    after_commit,
    redeem,
    redeem_for_addresses,
)
from django_enrollments.core.transactions import write_alias
from django_enrollments.identifiers import find_course
from django_enrollments.models import CourseEnrollmentAllowed, get_course_adapter
from django_enrollments.users import find_users_by_email, is_inactive

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

logger = logging.getLogger(__name__)

#: The number of invitations that an action changes at most.
INVITATIONS_CHANGED = 100

_MAIL = "django_enrollments/email/course_invitation"


class UsedFilter(admin.SimpleListFilter):
    """Used or unused invitations."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return both states."""
        return [("unused", _("Unused")), ("used", _("Used"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the invitations in the chosen state."""
        is_unused = {"unused": True, "used": False}.get(self.value() or "")
        if is_unused is None:
            return queryset
        return queryset.filter(user__isnull=is_unused)


@admin.register(CourseEnrollmentAllowed)
class CourseEnrollmentAllowedAdmin(BaseAdmin):
    """Invitations. Their user is shown only: enrolling sets it."""

    form = CourseIdForm
    list_display = ("email", "course_id", "state", "auto_enroll", "learner", "created")
    list_filter = (UsedFilter, "auto_enroll", "created")
    list_select_related = ("user",)
    search_fields = ("email", "course_id")
    search_help_text = _("The beginning of an address or of a course id.")
    sortable_by = ()
    ordering = ("-pk",)
    actions = ("resend", "take_back")
    fields = (
        "email",
        "course_id",
        "auto_enroll",
        "mode",
        "reason",
        "actor",
        "learner",
        "created",
    )
    readonly_fields = ("actor", "learner", "created")

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Save with the operator as actor. With auto-enroll, enroll the account."""
        if not change:
            obj.actor_id = origin_of(actor=request.user).actor_id
        super().save_model(request, obj, form, change)
        if obj.auto_enroll:
            enroll = partial(redeem_for_addresses, [obj.email], obj.course_id)
            after_commit(enroll, using=write_alias())

    def in_words(self, row: Any) -> str:
        """Return the address and the course id."""
        return gettext("%(email)s to %(course)s") % {
            "email": row.email,
            "course": row.course_id,
        }

    @admin.display(description=_("state"))
    def state(self, row: Any) -> str:
        """Return whether the invitation has been used."""
        return gettext("Unused") if row.user_id is None else gettext("Used")

    @admin.action(
        description=_("Resend selected invitations by e-mail"), permissions=["change"]
    )
    def resend(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """
        E-mail the invited people, and enroll those whose account waits for it.

        Used invitations are left out, and so are accounts that are not active.
        """
        rows = self._limited_selection(request, queryset)
        if rows is None:
            return
        enrolled, sent, failed = 0, 0, 0
        accounts = find_users_by_email([row.email for row in rows], write_alias())
        for row in rows:
            users = accounts.get(row.email, [])
            active = [user for user in users if not is_inactive(user)]
            if row.user_id is not None or (users and not active):
                continue
            if row.auto_enroll and len(active) == 1 and redeem(active[0], row) is None:
                enrolled += 1
                continue
            try:
                sent += send_invitation(row)
            except Exception as error:  # noqa: BLE001 - of any mail backend.
                failed += 1
                # The text of the error may contain the address.
                kind = type(error).__name__
                logger.warning("Mail of invitation %s failed: %s.", row.pk, kind)
        self._tell(request, sent, enrolled, len(rows) - sent - enrolled - failed)
        if failed:
            text = ngettext(
                "%(count)d e-mail could not be sent. The log has the reason.",
                "%(count)d e-mails could not be sent. The log has the reasons.",
                failed,
            )
            self.message_user(request, text % {"count": failed}, messages.ERROR)

    def _tell(
        self, request: HttpRequest, sent: int, enrolled: int, skipped: int
    ) -> None:
        text = ngettext(
            "%(count)d e-mail was sent.", "%(count)d e-mails were sent.", sent
        )
        level = messages.SUCCESS if sent or enrolled else messages.WARNING
        self.message_user(request, text % {"count": sent}, level)
        if enrolled:
            text = ngettext(
                "%(count)d learner had an account already and was enrolled.",
                "%(count)d learners had an account already and were enrolled.",
                enrolled,
            )
            self.message_user(request, text % {"count": enrolled}, messages.SUCCESS)
        if skipped:
            text = ngettext(
                "%(count)d invitation was left out: it is used, or its account is "
                "not active.",
                "%(count)d invitations were left out: they are used, or their "
                "accounts are not active.",
                skipped,
            )
            self.message_user(request, text % {"count": skipped}, messages.WARNING)

    @admin.action(
        description=_("Take selected invitations back"), permissions=["delete"]
    )
    def take_back(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete the unused invitations. Learners who used one stay enrolled."""
        rows = self._limited_selection(request, queryset)
        if rows is None:
            return
        unused = CourseEnrollmentAllowed.objects.using(write_alias()).unused()
        taken, _deleted = unused.filter(pk__in=[row.pk for row in rows]).delete()
        text = ngettext(
            "%(count)d invitation was taken back.",
            "%(count)d invitations were taken back.",
            taken,
        )
        level = messages.SUCCESS if taken else messages.WARNING
        self.message_user(request, text % {"count": taken}, level)
        if used := len(rows) - taken:
            text = ngettext(
                "%(count)d invitation has been used. Unenroll the learner instead.",
                "%(count)d invitations have been used. Unenroll the learners instead.",
                used,
            )
            self.message_user(request, text % {"count": used}, messages.WARNING)

    def _limited_selection(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> list[Any] | None:
        rows = list(queryset[: INVITATIONS_CHANGED + 1])
        if len(rows) <= INVITATIONS_CHANGED:
            return rows
        text = ngettext(
            "Select at most %(limit)d invitation.",
            "Select at most %(limit)d invitations.",
            INVITATIONS_CHANGED,
        )
        text %= {"limit": INVITATIONS_CHANGED}
        self.message_user(request, text, messages.ERROR)
        return None


def send_invitation(invitation: CourseEnrollmentAllowed) -> int:
    """
    E-mail an invited person, and return the number of e-mails.

    The templates are ``subject.txt``, ``body.txt`` and ``body.html`` in
    ``django_enrollments/email/course_invitation/``.

    Raises:
        Exception: Any exception of the mail backend.
    """
    course = find_course(invitation.course_id)
    base = conf.ENROLLMENTS_LEARNING_BASE_URL.rstrip("/")
    context = {
        "course": invitation.course_id
        if course is None
        else get_course_adapter().facts(course).display_name,
        "content_url": f"{base}/course/{invitation.course_id}/home" if base else "",
        "invitation": invitation,
    }
    subject = render_to_string(f"{_MAIL}/subject.txt", context)
    return send_mail(
        # A header must be one line.
        " ".join(subject.split()),
        render_to_string(f"{_MAIL}/body.txt", context),
        None,
        [invitation.email],
        html_message=render_to_string(f"{_MAIL}/body.html", context),
    )
