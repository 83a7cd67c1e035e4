"""Cross-products of which ``make test`` takes a sample, and ``make test-all`` all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection


def spread(values: Collection[Any], places: Collection[Any]) -> list[Any]:
    """
    Return parameters ``(value, places)`` that try every value at every place.

    Those that try everything are marked ``full``. The others try each value once, and
    each place at least once.

    Args:
        values: By name, or such that their ``repr()`` names them.
        places: Where each value is tried.
    """
    if isinstance(values, Mapping):
        named = [*values.items()]
    else:
        named = [(repr(value)[:40], value) for value in values]
    places, full, params = [*places], pytest.mark.full, []
    for number, (name, value) in enumerate(named):
        some = places[number % len(places) :: len(named)]
        params.append(pytest.param(value, some, id=name))
        params.append(pytest.param(value, places, id=f"{name} everywhere", marks=full))
    return params
