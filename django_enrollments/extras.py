"""What comes with an extra of the package, and what is told where it is missing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from types import ModuleType


class ExtraMissing(ImproperlyConfigured):
    """
    Something is used whose extra is not installed.

    Attributes:
        remedy: The command that installs it.
    """

    def __init__(self, library: str, extra: str) -> None:
        self.remedy = f'pip install "django-enrollments[{extra}]"'
        super().__init__(f"{library} is missing; install it with: {self.remedy}")


def import_from_extra(module: str, extra: str) -> ModuleType:
    """
    Import what an extra brings.

    Args:
        module: Dotted path of a module of its library.
        extra: Name of the extra.

    Raises:
        ExtraMissing: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ExtraMissing(module.partition(".")[0], extra) from error
