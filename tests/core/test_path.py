"""The functions that an enrollment passes through, so that they do not multiply."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import django_enrollments
from django_enrollments import api
from tests.factories import course_id_of, make_course, make_user, username

pytestmark = pytest.mark.django_db

ROOT = Path(django_enrollments.__file__).parent


class Profile:
    """The functions of the package that are called while it is active."""

    def __init__(self) -> None:
        self.functions: set[tuple[str, str, int]] = set()
        self.depth = self.deepest = 0

    def __call__(self, frame, event, argument):
        code = frame.f_code
        path = Path(code.co_filename)
        # Python 3.12 has no frames for comprehensions.
        if ROOT not in path.parents or code.co_name.startswith("<"):
            return
        if event == "call":
            self.functions.add((code.co_filename, code.co_name, code.co_firstlineno))
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)
        elif event == "return":
            self.depth -= 1

    def __enter__(self) -> Profile:
        sys.setprofile(self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)


def test_of_an_enrollment_stays_short():
    course = make_course()
    for name in ("ada", "bea"):
        make_user(name)
    # Imports and caches are filled by the first one.
    api.add_enrollment(username("ada"), course_id_of(course))

    with Profile() as profile:
        api.add_enrollment(username("bea"), course_id_of(course))

    modules = {filename for filename, *_ in profile.functions}
    assert len(profile.functions) <= 110, sorted(profile.functions)
    assert len(modules) <= 23, sorted(modules)
    assert profile.deepest <= 13
