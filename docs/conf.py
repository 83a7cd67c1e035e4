"""Configuration of Sphinx. Building needs no database and no network."""

from __future__ import annotations

import sys
from pathlib import Path

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

settings.configure(
    SECRET_KEY="only for building the documentation",  # noqa: S106 - signs nothing.
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "django_enrollments",
    ],
    USE_TZ=True,
)
django.setup()

import django_enrollments  # noqa: E402 - its models need Django to be set up.

project = "django-enrollments"
author = "django-enrollments contributors"
project_copyright = f"%Y, {author}"
version = release = django_enrollments.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "enrollments_reference",
]
exclude_patterns = ["_build"]
nitpicky = True
# Names of other projects are not resolved, because that needs a network.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(collections|contextlib|dataclasses|datetime|django|model_utils|"
        r"rest_framework|types|typing|uuid)\..*",
    ),
    # Short forms in docstrings and signatures.
    (
        r"py:.*",
        r"datetime|AbstractContextManager|QuerySet|ImproperlyConfigured|PermissionDenied|"
        r"ValidationError",
    ),
    # Type aliases are documented as data.
    (r"py:class", r"Source"),
    # The private package has no reference pages.
    (r"py:.*", r"django_enrollments\.core(\..*)?"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_use_legacy_class_based = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"django-enrollments {release}"
html_static_path = ["_static"]
html_css_files = ["reference.css"]
html_theme_options = {"navigation_with_keys": True}
