"""Values that the base template needs on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.teams import is_on_a_team

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


def navigation(request: HttpRequest) -> dict[str, Callable[[], bool]]:
    """
    Return which links the visitor gets besides the catalogue.

    The value is a function, so that pages without a navigation cost no statement.
    """
    return {"is_on_a_team": lambda: is_on_a_team(request.user)}
