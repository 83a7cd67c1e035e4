#!/usr/bin/env python
"""Run the commands of the example project."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Pass the command line to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed here; `make demo` installs it."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
