"""Addresses and texts of the admin's pages."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse

from tests.factories import make_user


def url(model, page: str, *arguments) -> str:
    options = model._meta
    name = f"admin:{options.app_label}_{options.model_name}_{page}"
    return reverse(name, args=arguments)


def texts(response) -> list[str]:
    """Return the messages that the next page will show."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def shown(response) -> str:
    """Return the text of a page."""
    text = re.sub(
        r"<(script|style).*?</\1>", " ", response.content.decode(), flags=re.S
    )
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def make_clerk(*permissions: str) -> Any:
    """Make staff with some permissions."""
    clerk = make_user("clerk", is_staff=True)
    for codename in permissions:
        clerk.user_permissions.add(Permission.objects.get(codename=codename))
    return clerk
