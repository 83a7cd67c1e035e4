"""Consumers of the event feed, and the events that are set aside for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Count, Q, Subquery
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_enrollments import delivery
from django_enrollments.admin.base import NoDeleteAdmin, ReadOnlyMixin, find_key
from django_enrollments.admin.operations import ReasonForm
from django_enrollments.core.transactions import non_atomic
from django_enrollments.models import Consumer, EnrollmentEvent, FeedCounter, SetAside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

#: The number of events that an action changes at most.
EVENTS_CHANGED = 500


class OperatedAdmin(ReadOnlyMixin, NoDeleteAdmin):
    """Rows that only actions change. They need Django's permission to change."""

    sortable_by = ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return ``False`` for a row; without one, Django's permission for actions."""
        return obj is None and super(ReadOnlyMixin, self).has_change_permission(request)

    def act(
        self, request: HttpRequest, rows: Iterable[Any], action: Callable[[Any], None]
    ) -> int:
        """Call a function for each row; show what is not possible."""
        changed = 0
        for row in rows:
            try:
                action(row)
                changed += 1
            except ValueError as error:
                self.message_user(request, str(error), messages.ERROR)
        return changed


@admin.register(Consumer)
class ConsumerAdmin(OperatedAdmin):
    """The consumers that a worker has begun to deliver to."""

    list_display = (
        "name",
        "state",
        "lag",
        "retrying",
        "dead",
        "progressed_at",
        "last_error",
    )
    list_filter = ("state",)
    search_fields = ("name",)
    ordering = ("name",)
    actions = ("pause", "resume")
    fields = (
        "name",
        "state",
        "position",
        "lag",
        "retrying",
        "dead",
        "failures",
        "retry_at",
        "last_error",
        "progressed_at",
        "created",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return consumers with the last position, and their events set aside."""
        rows: QuerySet[Any] = super().get_queryset(request)
        is_dead = Q(set_aside__state=SetAside.STATES.dead)
        found: QuerySet[Any] = rows.annotate(
            last=Subquery(FeedCounter.objects.values("last")[:1]),
            dead_events=Count("set_aside", filter=is_dead),
            open_events=Count("set_aside", filter=~is_dead),
        )
        return found

    @admin.display(description=_("events behind"))
    def lag(self, row: Any) -> int:
        """Return the number of events with a position that follow."""
        return max(int(row.last or 0) - int(row.position), 0)

    @admin.display(description=_("retrying"))
    def retrying(self, row: Any) -> int:
        """Return the number of events that are still to be delivered."""
        return int(row.open_events)

    @admin.display(description=_("given up"))
    def dead(self, row: Any) -> int:
        """Return the number of events that were given up."""
        return int(row.dead_events)

    @admin.action(description=_("Pause selected consumers"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Stop delivering to the selected consumers."""
        names = list(queryset.values_list("pk", flat=True))
        count = self.act(request, names, delivery.pause)
        text = ngettext(
            "%(count)d consumer is paused.", "%(count)d consumers are paused.", count
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Resume selected consumers"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Deliver to the selected consumers again."""
        names = list(queryset.values_list("pk", flat=True))
        count = self.act(request, names, delivery.resume)
        text = ngettext(
            "%(count)d consumer is resumed.", "%(count)d consumers are resumed.", count
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)


@admin.register(SetAside)
class SetAsideAdmin(OperatedAdmin):
    """Events that are retried, wait behind one that is, or were given up."""

    list_display = (
        "position",
        "consumer",
        "state",
        "attempts",
        "retry_at",
        "error",
    )
    list_filter = ("state", "consumer")
    search_fields = ("partition",)
    search_help_text = _("The beginning of the user's key.")
    list_select_related = ("consumer",)
    ordering = ("-pk",)
    actions = ("retry", "discard")
    fields = (
        "consumer",
        "position",
        "event",
        "state",
        "attempts",
        "retry_at",
        "error",
    )
    readonly_fields = fields

    def in_words(self, row: Any) -> str:
        """Return the position and the consumer."""
        return gettext("Event %(position)d for %(consumer)s") % {
            "position": row.position,
            "consumer": row.consumer_id,
        }

    @admin.display(description=_("event"))
    def event(self, row: Any) -> str:
        """Return the type, the course and the learner's key."""
        event = EnrollmentEvent.objects.filter(position=row.position).first()
        if event is None:
            return self.get_empty_value_display()
        return gettext("%(type)s: course %(course)s, user %(user)s") % {
            "type": event.get_type_display(),
            "course": event.course_id,
            "user": event.user_id,
        }

    def get_urls(self) -> list[Any]:
        """Return the URLs, with that of the form that discards."""
        view = self.admin_site.admin_view(self.discard_view)
        page = path("discard/", view, name="django_enrollments_discard")
        return [page, *super().get_urls()]

    @admin.action(description=_("Retry selected events"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Try the selected events at once, also those that were given up."""
        rows = self._selection(request, queryset)
        if rows is None:
            return
        count = self.act(
            request, rows, lambda row: delivery.retry(row.consumer_id, row.position)
        )
        text = ngettext(
            "%(count)d event is tried again.",
            "%(count)d events are tried again.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Discard selected events"), permissions=["change"])
    def discard(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        """Ask for the reason."""
        rows = self._selection(request, queryset)
        return rows and self._ask(request, ReasonForm(rows=rows), rows)

    @non_atomic
    def discard_view(self, request: HttpRequest) -> HttpResponse:
        """
        Discard events for the reason given.

        Raises:
            Http404: No event is named, or the operator may not.
        """
        texts = request.POST.get("keys", "").split(",")
        keys = [
            key for text in texts if (key := find_key(self.model, text)) is not None
        ]
        rows = list(self.get_queryset(request).filter(pk__in=keys[:EVENTS_CHANGED]))
        if not rows or not self.has_change_permission(request):
            raise Http404
        form = ReasonForm(request.POST, rows=rows)
        if not form.is_valid():
            return self._ask(request, form, rows)
        reason = form.cleaned_data["reason"]
        reason = f"{reason} (user {request.user.pk})"
        count = self.act(
            request,
            rows,
            lambda row: delivery.discard(row.consumer_id, row.position, reason),
        )
        text = ngettext(
            "%(count)d event was discarded.", "%(count)d events were discarded.", count
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
        return HttpResponseRedirect(self._list_url())

    def _list_url(self) -> str:
        return reverse(f"{self.admin_site.name}:django_enrollments_setaside_changelist")

    def _ask(self, request: HttpRequest, form: Any, rows: list[Any]) -> HttpResponse:
        text = ngettext(
            "%(count)d event is selected. It is never delivered.",
            "%(count)d events are selected. They are never delivered.",
            len(rows),
        )
        context = {
            **self.admin_site.each_context(request),
            "title": _("Discard events"),
            "subtitle": text % {"count": len(rows)},
            "opts": self.opts,
            "button": _("Discard"),
            "form": form,
            "form_url": reverse(f"{self.admin_site.name}:django_enrollments_discard"),
            "keys": ",".join(str(row.pk) for row in rows),
            "media": self.media + form.media,
            "list_page": self._list_url(),
        }
        template = "admin/django_enrollments/ask.html"
        return TemplateResponse(request, template, context)

    def _selection(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return the selected rows; ``None``, with a message, if they are too many."""
        rows = list(queryset[: EVENTS_CHANGED + 1])
        if len(rows) <= EVENTS_CHANGED:
            return rows
        text = ngettext(
            "Select at most %(limit)d event.",
            "Select at most %(limit)d events.",
            EVENTS_CHANGED,
        )
        self.message_user(request, text % {"limit": EVENTS_CHANGED}, messages.ERROR)
        return None
