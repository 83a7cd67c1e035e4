"""What schemathesis cannot read in the description: a body that may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import schemathesis

if TYPE_CHECKING:
    from schemathesis import Case, HookContext, Response

MAY_BE_EMPTY = "x-may-be-empty"


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Any, case: Case, response: Response
) -> bool:
    """
    Return whether a failure is one, and no body that is missing rightly.

    Args:
        context: Where the hook is asked.
        failure: What a check found.
        case: The request.
        response: Its answer.
    """
    answers = case.operation.definition.raw["responses"]
    answer = answers.get(str(response.status_code), {})
    is_empty = not response.content and "content-type" not in response.headers
    return not (is_empty and answer.get(MAY_BE_EMPTY))
