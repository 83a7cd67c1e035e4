"""The OpenAPI description (extra openapi)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.factories import is_default_host

#: The reviewed description of the default host. After a change, write it again and
#: review the difference:
#:
#:     python -m django spectacular --settings tests.settings --file tests/openapi.yaml
GOLDEN_FILE = Path(__file__).parent / "openapi.yaml"

needs_extra = pytest.mark.skipif(
    find_spec("drf_spectacular") is None, reason="The extra openapi is not installed."
)


@needs_extra
@pytest.mark.skipif(not is_default_host(), reason="Types of user keys differ.")
def test_description_is_the_reviewed_one(tmp_path: Path) -> None:
    produced = tmp_path / "openapi.yaml"

    call_command("spectacular", file=produced)

    assert produced.read_text() == GOLDEN_FILE.read_text()
