"""The page for a form that was sent without a valid token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """
    Explain that nothing was changed, and lead back to the form.

    Args:
        request: The refused request.
        reason: Django's reason, in technical terms.
    """
    return render(request, "403_csrf.html", {"reason": reason}, status=403)
