"""Server-to-server keys in a header of the request (V1-AUTH-06…10, B-01)."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from django_enrollments.conf import conf

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request


def has_valid_key(request: Request | HttpRequest) -> bool:
    """
    Return whether a request carries one of ``ENROLLMENTS_API_KEYS``.

    A blank key never matches. How long it takes tells nothing of the keys: every one
    of them is compared, in constant time.

    Args:
        request: The request; a wrong key is as good as none (V1-AUTH-10).
    """
    headers: Any = request.headers
    given = _digest(headers.get(conf.ENROLLMENTS_API_KEY_HEADER, ""))
    found = False
    for key in conf.ENROLLMENTS_API_KEYS:
        found |= bool(key.strip()) and compare_digest(given, _digest(key))
    return found


def _digest(text: str) -> bytes:
    # Digests are of one length, and headers may hold what no encoding knows.
    return sha256(text.encode(errors="surrogatepass")).digest()
