"""Filters of the site's templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.paginator import Paginator

register = template.Library()


@register.filter
def page_numbers(paginator: Paginator, number: int) -> Iterator[int | str]:  # type: ignore[type-arg]
    """Return the page numbers around ``number``, shortened by ellipses."""
    return paginator.get_elided_page_range(number, on_each_side=1, on_ends=1)
