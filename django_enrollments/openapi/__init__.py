"""
What drf-spectacular needs to know to describe the REST API (extra ``openapi``).

Importing this package registers extensions of drf-spectacular, which it finds by
itself; :mod:`django_enrollments.apps` imports it where ``drf_spectacular`` is in
``INSTALLED_APPS``, and nothing else does. The views know nothing of it.

``calls`` describes each call, from the building blocks of ``answers`` and the values of
``examples``. ``shapes`` declares what no serializer of the API does. ``schemes``,
``components`` and ``views`` tell it all to drf-spectacular.
"""

from __future__ import annotations

from django_enrollments.openapi import components, schemes, views

__all__ = ["components", "schemes", "views"]
