"""
Hostile requests to every endpoint: a 4xx with a message, and nothing changes.

Rules B-03 and V1-ERR-07. Bodies, queries, headers, methods and paths are one table
each, and each is sent to all endpoints that it can mean anything to.
"""

from __future__ import annotations

import gzip
import json
import logging
import socket
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.http import SimpleCookie

from django_enrollments.models import (
    CourseEnrollmentAllowed,
    UserRetirementStatus,
    get_course_model,
)
from django_enrollments.views.errors import safe_text
from tests.factories import course_id_of, make_course, make_modes, make_user, username
from tests.groundwork import Groundwork, rows_of
from tests.http import ENROLLMENT, ROOT, client_of, put, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    NothingChanged = Callable[[], AbstractContextManager[None]]

pytestmark = pytest.mark.django_db

#: Names that stand in no log by chance.
ADA, BOSS, BEA = "adalovelace", "bossanova", "beatrixpotter"

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
GOOD = {"course_details": {"course_id": COURSE_ID}}
COLOR = {"namespace": "host", "name": "color", "value": "red"}


def text(body: Any) -> bytes:
    return json.dumps(body).encode()


def deep(levels: int, opening: str = "[", closing: str = "]", core: str = "") -> str:
    return opening * levels + core + closing * levels


def at(key: str, value: str) -> bytes:
    """Return a body that is good but for the JSON text at one key."""
    good = json.dumps(GOOD)[:-1]
    return f'{good}, "{key}": {value}}}'.encode()


#: Bodies that are no JSON, or no JSON object.
NO_OBJECTS: dict[str, bytes] = {
    "blank": b" ",
    "null": b"null",
    "true": b"true",
    "zero": b"0",
    "number": b"1.5e300",
    "infinite number": b"1e999",
    "text": b'"text"',
    "empty list": b"[]",
    "list of good ones": b"[" + text(GOOD) + b"]",
    "empty object": b"{}",
    "no JSON": b"{'course_details': {}}",
    "half of one": text(GOOD)[:-5],
    "two at once": text(GOOD) * 2,
    "trailing comma": b'{"mode": null,}',
    "NaN": b'{"mode": NaN}',
    "infinity": b'{"mode": -Infinity}',
    "comment": b'{} // {"mode": "audit"}',
    "NUL": b"\x00",
    "NUL after it": text(GOOD) + b"\x00",
    "control character": b'{"mode": "a\x01b"}',
    "byte order mark": b"\xef\xbb\xbf" + text(GOOD),
    "not UTF-8": b'{"mode": "\xff\xfe"}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "encoded surrogate": b'{"mode": "\xed\xa0\x80"}',
    "deep list": deep(100_000).encode(),
    "deep list, half": ("[" * 100_000).encode(),
    "deep object": deep(50_000, '{"a":', "}", "1").encode(),
    "lists as deep as they come": deep(960).encode(),
    "huge number": b'{"mode": ' + b"9" * 5_000 + b"}",
    "huge text": b'{"mode": "' + b"x" * 3_000_000 + b'"}',
    "many keys": text({str(n): n for n in range(20_000)}),
    "XML": b"<enrollment/>",
    "form": b"course_details=x&mode=audit",
}

#: Bodies whose course cannot be found.
NO_COURSES: dict[str, bytes] = {
    f"course_details {name}": text({"course_details": value})
    for name, value in {
        "null": None,
        "false": False,
        "number": 12,
        "text": COURSE_ID,
        "list": [{"course_id": COURSE_ID}],
        "empty": {},
    }.items()
} | {
    f"course_id {name}": text({"course_details": {"course_id": value}})
    for name, value in {
        "null": None,
        "false": False,
        "true": True,
        "number": 101,
        "fraction": 1.5,
        "blank": " ",
        "list": [COURSE_ID],
        "object": {"id": COURSE_ID},
        "with NUL": f"{COURSE_ID}\x00",
        "with a line": f"{COURSE_ID}\n",
        "with a surrogate": f"{COURSE_ID}\udfff",
        "with a slash": f"{COURSE_ID}/",
        "in capitals": COURSE_ID.upper(),
        "padded": f" {COURSE_ID} ",
        "of a format": "{0}{username}%s%(a)s",
        "of SQL": "' OR 1=1 --",
        "long": "x" * 256,
        "very long": "x" * 1_000_000,
        "not Latin": "курс-1",
        "right to left": "\u202ecourse",
    }.items()
}

#: Values that are wrong at any key but for which the rest of the body is good.
WRONG_ANYWHERE: dict[str, str] = {
    "zero": "0",
    "number": "7",
    "fraction": "0.5",
    "infinite number": "1e999",
    "huge number": "9" * 4_000,
    "list": "[]",
    "list of lists": "[[]]",
    "list of null": "[null]",
    "list of text": '["audit"]',
    "object": "{}",
    "object in object": '{"a": {"b": []}}',
    "NUL": '"\\u0000"',
    "surrogate": '"\\ud800"',
    "surrogates the wrong way round": '"\\udfff\\ud800"',
    "deep list": deep(900),
    "deepest list": deep(950),
    "deep object": deep(450, '{"a":', "}", "1"),
    "long text": '"' + "x" * 100_000 + '"',
    "format": '"{0.__class__}%s"',
}

#: Those of them that are no text at all, or none that can be stored.
NO_TEXTS = {
    name: value
    for name, value in WRONG_ANYWHERE.items()
    if name not in {"format", "long text"}
}

KEYS = ("user", "email", "mode", "is_active", "force_enrollment", "email_opt_in")
TEXT_KEYS = ("cohort", "enterprise_uuid", "linked_enterprise_customer")

WRONG_VALUES = {
    f"{key} {name}": at(key, value)
    for key in KEYS
    for name, value in WRONG_ANYWHERE.items()
} | {
    f"{key} {name}": at(key, value)
    for key in (*TEXT_KEYS, "enterprise_course_consent")
    for name, value in NO_TEXTS.items()
}
WRONG_VALUES |= {
    f"attributes {name}": at("enrollment_attributes", value)
    for name, value in WRONG_ANYWHERE.items()
    if name != "list"
}
WRONG_VALUES |= {
    f"attribute's {part} {name}": at(
        "enrollment_attributes",
        json.dumps([COLOR | {part: "HERE"}]).replace('"HERE"', value),
    )
    for part in COLOR
    for name, value in WRONG_ANYWHERE.items()
    if name in {"list", "object", "NUL", "surrogate", "deep list", "long text"}
}
WRONG_VALUES |= {
    "is_active yes": at("is_active", '"true"'),
    "force yes": at("force_enrollment", '"true"'),
    "mode blank": at("mode", '""'),
    "mode missing": at("mode", '"masters"'),
    "user of nobody": at("user", '"nobody"'),
    "user with a space": at("user", '" "'),
    "email of nobody": at("email", '"nobody@example.org"'),
    "email without @": at("email", '"nobody"'),
    "course_details twice": b'{"course_details": '
    + text(GOOD)
    + b', "course_details": 7}',
    "a good body in gzip": gzip.compress(text(GOOD)),
    "UTF-32": json.dumps(GOOD).encode("utf-32"),
    "half a surrogate in UTF-16": b'{"mode": "\xd8\x00"}',
}

BODIES = NO_OBJECTS | NO_COURSES | WRONG_VALUES


#: What else is sent as a body, by the keys that the endpoint reads.
OTHER_BODIES: dict[str, dict[str, bytes]] = {
    "POST unenroll/": NO_OBJECTS
    | {
        f"username {name}": f'{{"username": {value}}}'.encode()
        for name, value in WRONG_ANYWHERE.items()
    },
    **{
        f"{method} enrollment_allowed/": NO_OBJECTS
        | {
            f"{key} {name}": json.dumps(
                {"email": "cleo@example.org", "course_id": COURSE_ID, key: "HERE"}
            )
            .replace('"HERE"', value)
            .encode()
            for key in ("email", "course_id", *flags)
            for name, value in WRONG_ANYWHERE.items()
            if not (key == "course_id" and name == "format")
        }
        for method, flags in {"POST": ["auto_enroll"], "DELETE": []}.items()
    },
}

#: A request to every endpoint that changes nothing, since it wants nothing new.
CALLS: dict[str, tuple[str, bytes]] = {
    "GET enrollment": ("enrollment", b""),
    "POST enrollment": ("enrollment", text(GOOD)),
    "GET enrollment/{course}": (f"enrollment/{COURSE_ID}", b""),
    "GET enrollment/{user},{course}": (f"enrollment/{username(BEA)},{COURSE_ID}", b""),
    "GET enrollments": ("enrollments", b""),
    "GET enrollments/": ("enrollments/", b""),
    "GET course/{course}": (f"course/{COURSE_ID}", b""),
    "GET course/{course}/eligibility": (f"course/{COURSE_ID}/eligibility", b""),
    "POST unenroll/": ("unenroll/", text({"username": "no-one"})),
    "GET roles/": ("roles/", b""),
    "GET enrollment_allowed/": ("enrollment_allowed/", b""),
    "POST enrollment_allowed/": (
        "enrollment_allowed/",
        text({"email": "cleo@example.org", "course_id": COURSE_ID}),
    ),
    "DELETE enrollment_allowed/": (
        "enrollment_allowed/",
        text({"email": "no-one@example.org", "course_id": COURSE_ID}),
    ),
}
READING = [name for name in CALLS if name.startswith("GET")]
WRITING = [name for name in CALLS if name not in READING]

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"


def part(head: str, value: bytes = b"value") -> bytes:
    return b"--x\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


def field(name: str, more: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{more}'


#: Types of bodies, with what comes as such.
TYPES: dict[str, tuple[str, bytes]] = {
    **{
        f"{kind or 'no type'}": (kind, b"{}")
        for kind in (
            "",
            "text/plain",
            "text/html",
            "application/xml",
            "application/x-yaml",
            "application/octet-stream",
            "application/json-patch+json",
            "application/vnd.api+json",
            "application",
            "/",
            ";",
            "\xff",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\x00",
            "multipart/form-data; boundary=ü",
            "multipart/form-data; boundary=" + "x" * 5_000,
            "multipart/mixed; boundary=x",
            PARTS,
            FORM,
            f"{FORM}; charset=rot13",
            f"{FORM}; charset=utf-16",
        )
    },
    "parts: none": (PARTS, b""),
    "parts: the end alone": (PARTS, b"--x--\r\n"),
    "parts: no end": (PARTS, part(field("user"))),
    "parts: empty ones": (PARTS, b"--x\r\n" * 2_000),
    "parts: without a name": (PARTS, part("Content-Disposition: form-data")),
    "parts: not even a disposition": (PARTS, part("X: y") + b"--x--\r\n"),
    "parts: broken base64": (
        PARTS,
        part(field("email") + "\r\nContent-Transfer-Encoding: base64", b"!!!"),
    ),
    "parts: files for texts": (
        PARTS,
        b"".join(
            part(field(name, '; filename="../../etc/passwd"'), b"\x00\xff")
            for name in ("email", "course_id", "username", "course_details", "user")
        )
        + b"--x--\r\n",
    ),
    "parts: a file as a flag": (
        PARTS,
        part(field("email"), b"cleo@example.org")
        + part(field("course_id"), b"a")
        + part(field("auto_enroll", '; filename="f"'), b"true")
        + b"--x--\r\n",
    ),
    "parts: not UTF-8": (PARTS, part(field("email"), b"\xff\xfe") + b"--x--\r\n"),
    "parts: NUL": (PARTS, part(field("email"), b"\x00@x") + b"--x--\r\n"),
    "parts: too many": (PARTS, part(field("a")) * 1_500 + b"--x--\r\n"),
    "parts: too many files": (
        PARTS,
        part(field("a", '; filename="f"')) * 150 + b"--x--\r\n",
    ),
    "parts: too much": (PARTS, part(field("a"), b"x" * 3_000_000) + b"--x--\r\n"),
    "form: too many": (FORM, b"&".join([b"a=b"] * 2_000)),
    "form: too much": (FORM, b"a=" + b"b" * 3_000_000),
    "form: not UTF-8": (FORM, b"email=%ff&course_id=%ff&username=%ff"),
    "form: NUL": (FORM, b"email=%00@x&course_id=%00&username=%00"),
    "form: surrogates": (FORM, b"email=%ed%a0%80&course_id=a&username=%ed%a0%80"),
    "form: brackets": (FORM, b"email[]=a@x&course_details[course_id]=a&username[]=b"),
    "form: a flag that is none": (FORM, b"email=a@x&course_id=a&auto_enroll=2"),
}

#: Headers that no view should be led astray by.
HEADERS: dict[str, dict[str, str]] = {
    f"{name}: {value[:40]}": {name: value}
    for name, values in {
        "Accept": [
            "text/html",
            "application/xml",
            "*/*;q=0",
            ";;;,,,q=x",
            "application/json; indent=999999999",
            "application/json; indent=-1",
            "\xff",
            "x" * 50_000,
        ],
        "Accept-Charset": ["utf-16"],
        "Accept-Encoding": ["gzip, \xff"],
        "Accept-Language": ["\xff", "x" * 50_000, "../../etc/passwd"],
        "Content-Encoding": ["gzip", "br, gzip, \xff"],
        "Content-Range": ["bytes 0-1/2"],
        "Cookie": [
            "x" * 50_000,
            "sessionid",
            "sessionid=x; csrftoken=x",
            "sessionid=\x00; csrftoken=\x00",
            "csrftoken=ü",
            '=; ;; "',
        ],
        "Expect": ["100-continue", "\xff"],
        "Forwarded": ["for=\xff"],
        "If-Match": ["*"],
        "If-Modified-Since": ["x", "Thu, 01 Jan 1970 00:00:00 GMT"],
        "If-None-Match": ["*"],
        "Origin": ["null", "http://[", "\xff"],
        "Range": ["bytes=0-1"],
        "Referer": ["\xff", "http://[", "x" * 50_000],
        "Transfer-Encoding": ["chunked", "\xff"],
        "User-Agent": ["\x00", "x" * 50_000],
        "X-CSRFToken": ["\xff", "x" * 50_000, "\x00"],
        "X-Edx-Api-Key": ["", " ", "\xff\xfe", "schlüssel", "x" * 50_000, "\x00"],
        "X-Forwarded-For": ["\xff", "x" * 50_000, ",,,", "::1\r\nX: y"],
        "X-Forwarded-Proto": ["javascript"],
        "X-HTTP-Method": ["DELETE"],
        "X-HTTP-Method-Override": ["DELETE", "TRACE", "\xff"],
        "X-Original-URL": ["/admin/"],
        "X-Requested-With": ["XMLHttpRequest"],
        "X-User-Id": ["1"],
    }.items()
    for value in values
}

#: Credentials that nobody has.
CREDENTIALS = [
    "",
    " ",
    "\x00",
    "\xff",
    "x" * 100_000,
    "Nonsense x",
    "Basic",
    "Basic x",
    "Basic AAAA",
    "Basic //79",
    "Basic YQBiOmM=",  # "a\x00b:c"
    "Basic YTpi\x00",
    "Basic YWRhOiA=  x",
    "Basic " + "QUFB" * 5_000,
    "JWT",
    "JWT x",
    "JWT x y",
    "JWT x.y.z",
    "JWT eyJhbGciOiJub25lIn0.e30.",
    "JWT \xff.\xff.\xff",
    "JWT " + "x" * 50_000 + "..",
    "Bearer",
    "Bearer x",
    "Bearer x y",
    "Bearer x.y.z",
    "Bearer \xff",
    "Bearer \x00",
    "Bearer " + "x" * 50_000,
    "Digest username=a",
    "Token x",
]

#: Query strings, wherever they are sent to.
QUERIES = [
    "",
    "=",
    "&&&",
    "%",
    "%zz",
    "?",
    "=&=&=",
    "a" * 100_000,
    "&".join(["a=b"] * 999),
    "&".join(["a=b"] * 2_000),
    *(f"format={value}" for value in ("xml", "api", "html", "", "%00", "../x")),
    "_method=DELETE",
    "callback=x",
    "version=v9",
    "fields=password",
    "ordering=user__password",
    "search=%00",
    "limit=-1&offset=9e9",
    "user__password__startswith=a",
    "email__contains=a",
    *(
        f"{name}={value}"
        for name in ("user", "username", "email", "course_id", "course_ids", "mode")
        for value in ("%00", "%FF", "%ED%A0%80", "%F0%9F%8E%93", "x" * 20_000)
    ),
    "user",
    "user=&user=",
    "user[]=a",
    "user=../../etc/passwd",
    "username=" + "a," * 200,
    "username=,",
    "username=%20",
    "email=" + "a@x," * 200,
    "email=@",
    "email=%00,",
    "course_id[]=x",
    "course_id=a&course_id=b",
    "course_id=a%20b",
    "course_ids=" + "a," * 200,
    "course_ids=%00,%00",
    "mode[]=audit",
    "include_expired=%00",
    "include_expired",
    *(
        f"cursor={value}"
        for value in (
            "x",
            "%",
            "%00",
            "%FF",
            "%F0%9F%8E%93",
            "0",
            "-1",
            "bj0x",
            "cD0yMDI2LTAxLTAx",
            "A" * 20_000,
            "bi45OTk5OTk5OTk5OTk5OTk5OTk5LjE",
        )
    ),
    *(
        f"page_size={value}"
        for value in ("0", "-1", "1e400", "NaN", "%00", "%D9%A1", "9" * 5_000, "[]")
    ),
    *(f"page={value}" for value in ("0", "-1", "x", "last", "9" * 5_000)),
]

#: Paths below the root of the API that lead nowhere, or where they should not.
PATHS = [
    "",
    "%00",
    "%2e%2e/admin/",
    "../../../admin/",
    "./roles/",
    "//roles/",
    "Enrollment",
    "enrollment/",
    "enrollment//",
    "enrollment;x=1",
    "enrollment.json",
    "enrollments//",
    "enrollments.json",
    "enrollments/x",
    "roles",
    "roles/.json",
    "roles/%00",
    "roles/x",
    "unenroll/x",
    "unenroll/%2e%2e/roles/",
    "enrollment_allowed/x",
    *(
        f"{prefix}/{course_id}"
        for prefix in ("enrollment", "course")
        for course_id in (
            ".",
            "..",
            "../roles/",
            "..%2f..%2fetc%2fpasswd",
            "%00",
            "a%00b",
            "%0a",
            "a%0ab",
            "a%0d%0aX:%20y",
            "%2F",
            "a%2Fb%2Fc",
            "a//b",
            "a/",
            "%20",
            "a%20b",
            "a%23b",
            "a%3Fb",
            "a%25b",
            "a\\b",
            "%",
            "%zz",
            "%c0%af",
            "%c0%ae%c0%ae/",
            "%e0%80%af",
            "%ff",
            "%ed%a0%80",
            "%E2%80%AE",
            "%F0%9F%8E%93",
            ";",
            "{0}",
            "%7B0.__class__%7D",
            "%25s",
            "'%20OR%201=1%20--",
            "x" * 256,
            "x" * 100_000,
            "a/" * 5_000 + "b",
        )
    ),
    *(
        f"enrollment/{pair}"
        for pair in (
            ",",
            ",,",
            "a,",
            ",a",
            "a,b,c",
            "%2C",
            "a%2Cb",
            "%00,a",
            "a,%00",
            "%ff,a",
            "%ed%a0%80,a",
            "%F0%9F%8E%93,a",
            "%20,a",
            "..,a",
            "../a,b",
            "x" * 100_000 + ",a",
            "a," + "x" * 100_000,
        )
    ),
    *(
        f"course/{rest}"
        for rest in (
            "/eligibility",
            "%00/eligibility",
            "a%0a/eligibility",
            "a%2Feligibility",
            "a/eligibility/",
            "a/eligibility/x",
            "../eligibility",
        )
    ),
]

#: Methods, whether or not an endpoint serves them.
METHODS = [
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "BREW",
    "get",
    "",
    "__INIT__",
    "DISPATCH",
    "\xff",
    "X" * 10_000,
]


def fingerprint() -> dict[str, list[Any]]:
    ours = apps.get_app_config("django_enrollments").get_models()
    rows = rows_of({*ours, get_user_model(), get_course_model()})
    assert any(rows.values())
    return rows


@pytest.fixture
def nothing_changed(ground: Groundwork) -> NothingChanged:
    """Assert that a block leaves every row of every table as it is."""

    @contextmanager
    def assert_nothing_changed() -> Iterator[None]:
        before = ground.recall(fingerprint)
        yield
        assert fingerprint() == before

    return assert_nothing_changed


@pytest.fixture(autouse=True)
def _host(settings: Any) -> None:
    settings.ENROLLMENTS_API_KEYS = ["the key of the billing service"]
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


@pytest.fixture(autouse=True)
def _nobody_is_named(caplog: Any) -> Iterator[None]:
    """No log line names anybody, whatever is refused; paths are of V1-AUTH-20."""
    caplog.set_level(logging.DEBUG, "django_enrollments")
    yield
    formatter = logging.Formatter()
    for record in caplog.get_records("call"):
        if not record.name.startswith("django_enrollments"):
            continue
        line = formatter.format(record)
        if not line.startswith("ApiKeyHeaderPermission used"):
            assert not any(name in line for name in (ADA, BOSS, BEA)), line


class Asker:
    """Somebody whose session no answer can end, for each request comes without it."""

    def __init__(self, user: Any) -> None:
        self._client = client_of(user)
        cookies = self._client.cookies.items()
        self.cookies = {name: cookie.value for name, cookie in cookies}

    def send(self, method: str, path: str, body: bytes = b"", **extra: Any) -> Any:
        self._client.cookies = SimpleCookie(self.cookies)
        extra.setdefault("content_type", "application/json")
        return self._client.generic(method, f"{ROOT}{path}", body, **extra)

    def call(self, name: str, query: str = "", **extra: Any) -> Any:
        method = name.partition(" ")[0]
        path, body = CALLS[name]
        return self.send(method, f"{path}?{query}" if query else path, body, **extra)


def a_course() -> Any:
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "honor")
    assert course_id_of(course) == COURSE_ID
    return course


def a_learner() -> Asker:
    return Asker(make_user(ADA))


def somebody_hostile_things_are_about(course: Any) -> Asker:
    bea = make_user(BEA)
    put(bea, course)
    UserRetirementStatus.objects.create(user=bea, original_username=username(BEA))
    CourseEnrollmentAllowed.objects.create(
        email="cleo@example.org", course_id=COURSE_ID
    )
    return Asker(bea)


def global_staff() -> Asker:
    return Asker(make_user(BOSS, is_staff=True))


def global_staff_who_left(course: Any) -> Asker:
    boss = make_user(BOSS, is_staff=True)
    put(boss, course, is_active=False)
    return Asker(boss)


def a_superuser(course: Any) -> Asker:
    boss = make_user(BOSS, is_staff=True, is_superuser=True)
    put(boss, course)
    return Asker(boss)


@pytest.fixture
def course(ground: Groundwork) -> Any:
    return ground.lay(a_course)


@pytest.fixture
def ada(ground: Groundwork, course: Any) -> Asker:
    return ground.lay(a_learner)


@pytest.fixture
def bea(ground: Groundwork, course: Any) -> Asker:
    """A learner whom all that is hostile is about."""
    return ground.lay(somebody_hostile_things_are_about, course)


@pytest.fixture
def boss(ground: Groundwork, bea: Asker, course: Any) -> Asker:
    """Somebody who may do everything, so that nothing is refused for that reason."""
    return ground.lay(a_superuser, course)


@pytest.fixture
def nobody(bea: Asker, strangers: Asker) -> Asker:
    return strangers


@pytest.fixture(scope="module")
def strangers() -> Asker:
    return Asker(None)


def assert_refused(response: Any) -> None:
    """A client error, in JSON with a message, or a hidden one with no body at all."""
    assert 400 <= response.status_code < 500
    if response.status_code == 404 and response.content == b"":
        return
    assert response["Content-Type"] == "application/json"
    body = response.json()
    if isinstance(body, dict):
        told = [body.get(key) for key in ("message", "detail", "developer_message")]
        body = next(filter(None, told), None) or body["field_errors"]
    assert body


def assert_answered(response: Any) -> None:
    """Anything but a failure of the server; if it is refused, then with a message."""
    assert response.status_code < 500
    if response.status_code >= 400:
        assert_refused(response)


def test_there_are_enough_of_them() -> None:
    sizes = map(len, (BODIES, TYPES, HEADERS, CREDENTIALS, QUERIES, PATHS, METHODS))

    assert sum(sizes) + sum(map(len, OTHER_BODIES.values())) >= 700


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
class TestBody:
    @pytest.mark.rule("V1-ERR-07")
    def test_from_a_learner(
        self, ada: Asker, nothing_changed: NothingChanged, body: bytes
    ) -> None:
        with nothing_changed():
            response = ada.send("POST", "enrollment", body)

        assert_refused(response)

    @pytest.mark.rule("V1-ERR-07")
    def test_from_global_staff_about_who_left(
        self,
        ground: Groundwork,
        course: Any,
        nothing_changed: NothingChanged,
        body: bytes,
    ) -> None:
        boss = ground.lay(global_staff_who_left, course)

        with nothing_changed():
            response = boss.send("POST", "enrollment", body)

        assert_refused(response)


@pytest.mark.rule("V1-ERR-07")
def test_bodies_from_nobody(nobody: Asker, nothing_changed: NothingChanged) -> None:
    with nothing_changed():
        for number, body in enumerate(BODIES.values()):
            method, path = WRITING[number % len(WRITING)].split()

            assert nobody.send(method, path, body).status_code == 401


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param(name, body, id=f"{name} {what}")
        for name, bodies in OTHER_BODIES.items()
        for what, body in bodies.items()
    ],
)
def test_bodies_of_other_endpoints(
    boss: Asker, nothing_changed: NothingChanged, name: str, body: bytes
) -> None:
    method, path = name.split()

    with nothing_changed():
        response = boss.send(method, path, body)

    assert_refused(response)


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize(("content_type", "body"), TYPES.values(), ids=TYPES)
def test_a_type_that_the_body_does_not_have(
    boss: Asker, nothing_changed: NothingChanged, content_type: str, body: bytes
) -> None:
    with nothing_changed():
        for name in WRITING:
            method, path = name.split()

            assert_refused(boss.send(method, path, body, content_type=content_type))


@pytest.mark.parametrize("name", READING)
def test_a_body_means_nothing_to_who_only_reads(
    boss: Asker, nothing_changed: NothingChanged, name: str
) -> None:
    path, _ = CALLS[name]

    for content_type, body in (("application/json", b"\xff"), (PARTS, b"\x00")):
        with nothing_changed():
            response = boss.send("GET", path, body, content_type=content_type)

        assert response.status_code == 200


@pytest.mark.parametrize("charset", ["utf-8", "nonsense", "rot13", "hex", "utf-16"])
def test_a_charset_means_nothing_to_json(ada: Asker, charset: str) -> None:
    content_type = f"application/json; charset={charset}"

    response = ada.send("POST", "enrollment", text(GOOD), content_type=content_type)

    assert response.status_code == 200


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize(
    ("key", "value"),
    [("DATA_UPLOAD_MAX_MEMORY_SIZE", 10), ("DATA_UPLOAD_MAX_NUMBER_FIELDS", 1)],
)
@pytest.mark.parametrize("name", WRITING)
def test_more_than_the_host_takes(
    boss: Asker,
    nothing_changed: NothingChanged,
    settings: Any,
    key: str,
    value: int,
    name: str,
) -> None:
    setattr(settings, key, value)
    method, path = name.split()

    with nothing_changed():
        if key.endswith("SIZE"):
            response = boss.send(method, path, text(GOOD))
        else:
            response = boss.send(method, path, b"a=1&b=2&c=3", content_type=FORM)

    assert response.status_code == 413
    assert response.json() == {"detail": "The request is too large."}


class BrokenOff(BytesIO):
    """The body of a client that hung up while sending it."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("Connection reset by peer")

    readline = read  # type: ignore[assignment]


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("content_type", ["application/json", PARTS, FORM])
@pytest.mark.parametrize("name", WRITING)
def test_a_body_that_breaks_off(
    boss: Asker, nothing_changed: NothingChanged, name: str, content_type: str
) -> None:
    extra = {"wsgi.input": BrokenOff()}

    with nothing_changed():
        response = boss.call(name, content_type=content_type, **extra)

    assert response.status_code == 400
    assert response.json() == {"detail": "The request could not be read."}


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("length", ["0", "1", "-1", "x", "", "9" * 12, "1e9", "\xff"])
@pytest.mark.parametrize("name", [*WRITING, "GET enrollments"])
def test_a_length_that_the_body_does_not_have(
    boss: Asker, nothing_changed: NothingChanged, name: str, length: str
) -> None:
    with nothing_changed():
        assert_answered(boss.call(name, CONTENT_LENGTH=length))


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_headers(
    boss: Asker, nobody: Asker, nothing_changed: NothingChanged, headers: dict[str, str]
) -> None:
    with nothing_changed():
        for name in CALLS:
            assert_answered(boss.call(name, headers=headers))
        for name in ("GET enrollment", "GET course/{course}", "POST unenroll/"):
            assert_answered(nobody.call(name, headers=headers))


@pytest.mark.rule("V1-ERR-07", "V1-AUTH-11")
@pytest.mark.parametrize("credentials", CREDENTIALS, ids=lambda text: repr(text)[:40])
def test_credentials_of_nobody(
    nobody: Asker, nothing_changed: NothingChanged, settings: Any, credentials: str
) -> None:
    module = "django_enrollments.authentication"
    # Long enough a secret for the library not to warn of it.
    settings.SECRET_KEY = "only for tests, and longer than thirty-two bytes"
    settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
        f"{module}.{name}"
        for name, library in {
            "JwtAuthentication": "rest_framework_simplejwt",
            "BearerAuthenticationAllowInactiveUser": "oauth2_provider",
        }.items()
        if find_spec(library)
    ] + ["rest_framework.authentication.BasicAuthentication"]

    with nothing_changed():
        for name in CALLS:
            response = nobody.call(name, headers={"Authorization": credentials})

            if name == "GET course/{course}":
                assert response.status_code == 200
            else:
                assert response.status_code == 401
                assert response["WWW-Authenticate"]
                assert_refused(response)


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: repr(query)[:40])
def test_queries(
    boss: Asker, nobody: Asker, nothing_changed: NothingChanged, query: str
) -> None:
    with nothing_changed():
        for name in (*READING, "POST enrollment"):
            assert_answered(boss.call(name, query))
        assert_answered(nobody.call("GET course/{course}", query))


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("path", ["enrollment", "enrollments", "course/django-101"])
def test_more_parameters_than_the_host_takes(ground: Groundwork, path: str) -> None:
    query = "&".join(["user=ada"] * 2_000)
    boss = ground.lay(global_staff)

    response = boss.send("GET", f"{path}?{query}")

    assert response.status_code == 413
    assert [*response.json().values()] == ["The request is too large."]


@pytest.mark.rule("V1-ERR-07", "V1-URL-14")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: repr(method)[:40])
def test_methods(
    boss: Asker, nobody: Asker, nothing_changed: NothingChanged, method: str
) -> None:
    served = {(name.partition(" ")[0], path) for name, (path, _) in CALLS.items()}
    sent, method = method, method.upper()

    with nothing_changed():
        for path in sorted({path for path, _ in CALLS.values()}):
            if (method, path) in served:
                continue
            response = boss.send(sent, path, text({"email": "a@b", "course_id": "a"}))

            if method in {"HEAD", "OPTIONS"} and response.status_code == 200:
                continue
            assert response.status_code == 405
            assert method == "HEAD" or f'"{method}\\"' in response.content.decode()
            assert method not in response["Allow"].split(", ")
            assert nobody.send(sent, path).status_code in {401, 405}


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path)[:40])
def test_paths(
    boss: Asker, nobody: Asker, nothing_changed: NothingChanged, path: str
) -> None:
    with nothing_changed():
        for asker, method in ((boss, "GET"), (boss, "POST"), (nobody, "DELETE")):
            response = asker.send(method, path, b"{}" if method == "POST" else b"")

            # Django answers for itself where no route leads.
            if response.status_code == 404 and response.content:
                assert "text/html" in response["Content-Type"]
            elif response.status_code != 301:
                assert_answered(response)


@pytest.mark.rule("V1-ERR-07")
@pytest.mark.parametrize("host", ["evil.example", "a b", "\xff", "[", "testserver:x"])
def test_hosts_that_are_not_ours(
    boss: Asker, nothing_changed: NothingChanged, host: str
) -> None:
    with nothing_changed():
        for name in CALLS:
            assert boss.call(name, headers={"Host": host}).status_code == 400


@pytest.mark.rule("V1-ERR-07")
def test_a_value_too_deep_to_be_told_is_told_as_dots() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    assert safe_text(value) == "..."


def test_a_good_body_is_still_good(course: Any, ada: Asker) -> None:
    body = wish(
        course,
        user=username(ADA),
        email=None,
        mode="honor",
        is_active=True,
        force_enrollment=False,
        enrollment_attributes=[COLOR],
        unheard_of=[{}],
    )

    assert ada.send("POST", "enrollment", text(body)).status_code == 200


#: What no client library sends, and what status each may be answered with; none at all
#: is an answer too.
RAW: dict[str, tuple[bytes, set[int]]] = {
    "nothing": (b"", set()),
    "an empty line": (b"\r\n\r\n", set()),
    "no request": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "no version": (b"GET {root}enrollment\r\n\r\n", {400, 401}),
    "no path": (b"GET HTTP/1.1\r\n\r\n", {400, 404}),
    "too many words": (b"GET {root}enrollment x HTTP/1.1\r\n\r\n", {400}),
    "a lower-case method": (b"get {root}enrollment HTTP/1.1\r\n{host}\r\n", {401}),
    "a method of bytes": (b"\xff\xfe {root}roles/ HTTP/1.1\r\n{host}\r\n", {401}),
    "raw NUL in the path": (b"GET {root}course/a\x00b HTTP/1.1\r\n{host}\r\n", {404}),
    "raw bytes in the path": (
        b"GET {root}course/\xff\xfe\xed\xa0\x80 HTTP/1.1\r\n{host}\r\n",
        {400, 404},
    ),
    "raw bytes in the query": (
        b"GET {root}course/a?x=\xff\x00 HTTP/1.1\r\n{host}\r\n",
        {400},
    ),
    "a whole URL": (b"GET http://evil{root}roles/ HTTP/1.1\r\n{host}\r\n", {401, 404}),
    "a path of dots": (b"GET {root}../../x/../roles/ HTTP/1.1\r\n{host}\r\n", {404}),
    "a long line": (b"GET {root}" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", {414}),
    "no host": (b"GET {root}roles/ HTTP/1.0\r\n\r\n", {401}),
    "a host that is none": (b"GET {root}roles/ HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    "two hosts": (b"GET {root}roles/ HTTP/1.1\r\n{host}Host: evil\r\n\r\n", {400, 401}),
    "a header without a colon": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}nonsense\r\n\r\n",
        {400, 401},
    ),
    "a header of bytes": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}X-Edx-Api-Key: \xff\x00\xfe\r\n\r\n",
        {400, 401},
    ),
    "a header that goes on": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}Authorization: Basic\r\n x\r\n\r\n",
        {400, 401},
    ),
    "more than was announced": (
        b"POST {root}enrollment HTTP/1.1\r\n{host}Content-Length: 2\r\n\r\n{}{}{}",
        {401},
    ),
    "less than was announced": (
        b"{post}{json}Content-Length: 99\r\n\r\n{",
        {400},
    ),
    "a form that breaks off": (
        b"{post}Content-Length: 9999\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n",
        {400},
    ),
    "a length below nothing": (
        b"{post}{json}Content-Length: -5\r\n\r\n{}",
        {400},
    ),
    "a length of letters": (
        b"{post}{json}Content-Length: x\r\n\r\n{}",
        {400},
    ),
    "two lengths": (
        b"{post}{json}Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}xyz",
        {400},
    ),
    "chunks": (
        b"{post}Transfer-Encoding: chunked"
        b"\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        {400},
    ),
    "chunks and a length": (
        b"{post}Transfer-Encoding: chunked\r\n"
        b"Content-Length: 4\r\nContent-Type: application/json\r\n\r\nff\r\n{",
        {400},
    ),
    "a body that is read by nobody": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\n\xff\x00\xfe",
        {401},
    ),
    "an upgrade": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}Connection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n",
        {401},
    ),
}


#: One that Django would take for its own.
TOKEN = "x" * 32


class TestWire:
    """What is sent past any client library, to a server that listens."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize(("sent", "codes"), RAW.values(), ids=RAW)
    def test_raw_requests(
        self,
        live_server: Any,
        bea: Asker,
        nothing_changed: NothingChanged,
        sent: bytes,
        codes: set[int],
    ) -> None:
        address = urlsplit(live_server.url)
        session = bea.cookies["sessionid"]
        for name, value in {
            b"{post}": f"POST {ENROLLMENT} HTTP/1.1\r\n{{host}}{{login}}",
            b"{root}": ROOT,
            b"{host}": f"Host: {address.netloc}\r\nConnection: close\r\n",
            b"{login}": f"Cookie: sessionid={session}; csrftoken={TOKEN}\r\n"
            f"X-CSRFToken: {TOKEN}\r\n",
            b"{json}": "Content-Type: application/json\r\n",
        }.items():
            sent = sent.replace(name, value.encode())

        with nothing_changed():
            answer = exchange(address.hostname, address.port, sent)

            if answer:
                assert code_of(answer) in codes, answer[:200]
            # Whatever came, the next one is served.
            good = f"GET {ROOT}course/{COURSE_ID} HTTP/1.0\r\n\r\n".encode()
            assert code_of(exchange(address.hostname, address.port, good)) == 200


def exchange(host: str | None, port: int | None, sent: bytes) -> bytes:
    """Send bytes, end there, and give all that comes back."""
    with socket.create_connection((host or "", port or 0), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while some := connection.recv(65_536):
            received += some
    return received


def code_of(answer: bytes) -> int:
    """Return the status of an answer, which may be without a status line (HTTP/0.9)."""
    if not answer.startswith(b"HTTP/"):
        assert b"Traceback" not in answer
        return 400
    return int(answer.split()[1])
