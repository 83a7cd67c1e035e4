"""
Hostile requests to every endpoint: a 4xx with a message, and nothing changes.

Bodies, queries, headers, methods and paths are one table each. Each is sent to all
endpoints that it can mean anything to.
"""

from __future__ import annotations

import gzip
import json
import logging
import socket
from importlib.util import find_spec
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.http import SimpleCookie
from rest_framework.parsers import JSONParser

from django_enrollments.models import (
    CourseEnrollmentAllowed,
    UserRetirementStatus,
    get_course_model,
)
from django_enrollments.views import EnrollmentListView
from tests.factories import make_course, make_modes, make_user, username
from tests.http import ENROLLMENT, ROOT, client_of, put, wish
from tests.sampling import spread
from tests.watching import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.rule("V1-ERR-07")]

#: Names that are in no log by chance.
ADA, BOSS, BEA = "adalovelace", "bossanova", "beatrixpotter"

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
GOOD = wish(COURSE_ID)
COLOR = {"namespace": "host", "name": "color", "value": "red"}
INVITATION = {"email": "cleo@example.org", "course_id": COURSE_ID}
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"


def text(body: Any) -> bytes:
    return json.dumps(body).encode()


def deep(levels: int, opening: str = "[", closing: str = "]", core: str = "") -> str:
    return opening * levels + core + closing * levels


# The tables have several entries a line.
# fmt: off

#: Bodies that are no JSON, or no JSON object.
NO_OBJECTS: list[bytes] = [
    b" ", b"null", b"true", b"0", b"1.5e300", b"1e999", b'"text"', b"[]", b"{}",
    b"[" + text(GOOD) + b"]", b"{'course_details': {}}", text(GOOD)[:-5],
    text(GOOD) * 2, b'{"mode": null,}', b'{"mode": NaN}', b'{"mode": -Infinity}',
    b'{} // {"mode": "audit"}', b"\x00", text(GOOD) + b"\x00", b'{"mode": "a\x01b"}',
    b"\xef\xbb\xbf" + text(GOOD), b'{"mode": "\xff\xfe"}', b'{"mode": "\xed\xa0\x80"}',
    json.dumps(GOOD).encode("utf-16"), json.dumps(GOOD).encode("utf-32"),
    b'{"mode": "\xd8\x00"}', gzip.compress(text(GOOD), mtime=0), deep(100_000).encode(),
    b"[" * 100_000, deep(50_000, '{"a":', "}", "1").encode(), deep(960).encode(),
    b'{"mode": ' + b"9" * 5_000 + b"}", b'{"mode": "' + b"x" * 3_000_000 + b'"}',
    text({str(number): number for number in range(20_000)}),
    b"<enrollment/>", b"course_details=x&mode=audit",
]

#: Bodies whose course cannot be found.
NO_COURSES: list[bytes] = [
    *(
        text({"course_details": details})
        for details in (None, False, 12, COURSE_ID, [{"course_id": COURSE_ID}], {})
    ),
    *(
        text(wish("") | {"course_details": {"course_id": course_id}})
        for course_id in (
            None, False, True, 101, 1.5, " ", [COURSE_ID], {"id": COURSE_ID},
            f"{COURSE_ID}\x00", f"{COURSE_ID}\n", f"{COURSE_ID}\udfff", f"{COURSE_ID}/",
            COURSE_ID.upper(), f" {COURSE_ID} ", "{0}{username}%s%(a)s", "' OR 1=1 --",
            "x" * 256, "x" * 1_000_000, "курс-1", "\u202ecourse",
        )
    ),
]

#: JSON texts that no key can have, or that no text can be, where the rest is good.
NO_TEXTS: list[str] = [
    "0", "7", "0.5", "1e999", "9" * 4_000, "[]", "[[]]", "[null]", '["audit"]', "{}",
    '{"a": {"b": []}}', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', deep(900),
    deep(950), deep(450, '{"a":', "}", "1"),
]
WRONG = [*NO_TEXTS, '"' + "x" * 100_000 + '"', '"{0.__class__}%s"']

#: Keys of the body of POST enrollment, and the values that are wrong there alone.
KEYS = ["user", "email", "mode", "is_active", "force_enrollment", "email_opt_in"]
TEXT_KEYS = [
    "cohort", "enterprise_uuid", "linked_enterprise_customer",
    "enterprise_course_consent",
]
WRONG_FIELDS: list[bytes] = [
    *(
        text(GOOD | fields)
        for fields in (
            {"is_active": "true"}, {"force_enrollment": "true"}, {"mode": ""},
            {"mode": "masters"}, {"user": "nobody"}, {"user": " "}, {"email": "nobody"},
            {"email": "nobody@example.org"},
        )
    ),
    b'{"course_details": ' + text(GOOD) + b', "course_details": 7}',
]

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
    "POST enrollment_allowed/": ("enrollment_allowed/", text(INVITATION)),
    "DELETE enrollment_allowed/": (
        "enrollment_allowed/", text(INVITATION | {"email": "no-one@example.org"})
    ),
}
READING = [name for name in CALLS if name.startswith("GET")]
WRITING = [name for name in CALLS if name not in READING]
OTHER_WRITING = WRITING[1:]

#: Keys that the other endpoints read from bodies.
OTHER_KEYS = [
    ("POST unenroll/", "username"), ("POST enrollment_allowed/", "email"),
    ("POST enrollment_allowed/", "course_id"),
    ("POST enrollment_allowed/", "auto_enroll"),
    ("DELETE enrollment_allowed/", "email"),
    ("DELETE enrollment_allowed/", "course_id"),
]


def part(head: str, value: bytes = b"value") -> bytes:
    return b"--x\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


def field(name: str, more: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{more}'


#: Types of bodies, with what is sent as such.
TYPES: dict[str, tuple[str, bytes]] = {
    **{
        kind or "no type": (kind, b"{}")
        for kind in (
            "", "text/plain", "text/html", "application/xml", "application/x-yaml",
            "application/octet-stream", "application/json-patch+json",
            "application/vnd.api+json", "application", "/", ";", "\xff",
            "multipart/form-data", "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\x00", "multipart/form-data; boundary=ü",
            "multipart/form-data; boundary=" + "x" * 5_000,
            "multipart/mixed; boundary=x", PARTS, FORM, f"{FORM}; charset=rot13",
            f"{FORM}; charset=utf-16",
        )
    },
    "parts: none": (PARTS, b""),
    "parts: the end alone": (PARTS, b"--x--\r\n"),
    "parts: no end": (PARTS, part(field("user"))),
    "parts: empty": (PARTS, b"--x\r\n" * 2_000),
    "parts: no name": (PARTS, part("Content-Disposition: form-data")),
    "parts: no disposition": (PARTS, part("X: y") + b"--x--\r\n"),
    "parts: broken base64": (
        PARTS, part(field("email") + "\r\nContent-Transfer-Encoding: base64", b"!!!")
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
        part(field("email"), b"cleo@example.org") + part(field("course_id"), b"a")
        + part(field("auto_enroll", '; filename="f"'), b"true") + b"--x--\r\n",
    ),
    "parts: not UTF-8": (PARTS, part(field("email"), b"\xff\xfe") + b"--x--\r\n"),
    "parts: NUL": (PARTS, part(field("email"), b"\x00@x") + b"--x--\r\n"),
    "parts: too many": (PARTS, part(field("a")) * 1_500 + b"--x--\r\n"),
    "parts: too many files": (
        PARTS, part(field("a", '; filename="f"')) * 150 + b"--x--\r\n"
    ),
    "parts: too long": (PARTS, part(field("a"), b"x" * 3_000_000) + b"--x--\r\n"),
    "form: too many": (FORM, b"&".join([b"a=b"] * 2_000)),
    "form: too long": (FORM, b"a=" + b"b" * 3_000_000),
    "form: not UTF-8": (FORM, b"email=%ff&course_id=%ff&username=%ff"),
    "form: NUL": (FORM, b"email=%00@x&course_id=%00&username=%00"),
    "form: surrogates": (FORM, b"email=%ed%a0%80&course_id=a&username=%ed%a0%80"),
    "form: brackets": (FORM, b"email[]=a@x&course_details[course_id]=a&username[]=b"),
    "form: a flag that is none": (FORM, b"email=a@x&course_id=a&auto_enroll=2"),
}

HEADERS: dict[str, dict[str, str]] = {
    f"{name}: {value[:40]}": {name: value}
    for name, values in {
        "Accept": [
            "text/html", "application/xml", "*/*;q=0", ";;;,,,q=x", "\xff",
            "application/json; indent=999999999", "application/json; indent=-1",
            "x" * 50_000,
        ],
        "Accept-Charset": ["utf-16"],
        "Accept-Encoding": ["gzip, \xff"],
        "Accept-Language": ["\xff", "x" * 50_000, "../../etc/passwd"],
        "Content-Encoding": ["gzip", "br, gzip, \xff"],
        "Content-Range": ["bytes 0-1/2"],
        "Cookie": [
            "x" * 50_000, "sessionid", "sessionid=x; csrftoken=x",
            "sessionid=\x00; csrftoken=\x00", "csrftoken=ü", '=; ;; "',
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

#: Credentials that no user has.
CREDENTIALS = [
    "", " ", "\x00", "\xff", "x" * 100_000, "Nonsense x", "Basic", "Basic x",
    "Basic AAAA", "Basic //79", "Basic YQBiOmM=", "Basic YTpi\x00", "Basic YWRhOiA=  x",
    "Basic " + "QUFB" * 5_000, "JWT", "JWT x", "JWT x y", "JWT x.y.z",
    "JWT eyJhbGciOiJub25lIn0.e30.", "JWT \xff.\xff.\xff", "JWT " + "x" * 50_000 + "..",
    "Bearer", "Bearer x", "Bearer x y", "Bearer x.y.z", "Bearer \xff", "Bearer \x00",
    "Bearer " + "x" * 50_000, "Digest username=a", "Token x",
]

QUERIES = [
    "", "=", "&&&", "%", "%zz", "?", "=&=&=", "a" * 100_000, "&".join(["a=b"] * 999),
    "&".join(["a=b"] * 2_000), "_method=DELETE", "callback=x", "version=v9",
    "fields=password", "ordering=user__password", "search=%00", "limit=-1&offset=9e9",
    "user__password__startswith=a", "email__contains=a", "user", "user=&user=",
    "user[]=a", "user=../../etc/passwd", "username=" + "a," * 200, "username=,",
    "username=%20", "email=" + "a@x," * 200, "email=@", "email=%00,", "course_id[]=x",
    "course_id=a&course_id=b", "course_id=a%20b", "course_ids=" + "a," * 200,
    "course_ids=%00,%00", "mode[]=audit", "include_expired=%00", "include_expired",
    *(f"format={value}" for value in ("xml", "api", "html", "", "%00", "../x")),
    *(
        f"{name}={value}"
        for name in ("user", "username", "email", "course_id", "course_ids", "mode")
        for value in ("%00", "%FF", "%ED%A0%80", "%F0%9F%8E%93", "x" * 20_000)
    ),
    *(
        f"cursor={value}"
        for value in (
            "x", "%", "%00", "%FF", "%F0%9F%8E%93", "0", "-1", "bj0x",
            "cD0yMDI2LTAxLTAx", "A" * 20_000, "bi45OTk5OTk5OTk5OTk5OTk5OTk5LjE",
        )
    ),
    *(
        f"page_size={value}"
        for value in ("0", "-1", "1e400", "NaN", "%00", "%D9%A1", "9" * 5_000, "[]")
    ),
    *(f"page={value}" for value in ("0", "-1", "x", "last", "9" * 5_000)),
]

#: Paths below the root of the API that have no route, or the wrong one.
PATHS = [
    "", "%00", "%2e%2e/admin/", "../../../admin/", "./roles/", "//roles/", "Enrollment",
    "enrollment/", "enrollment//", "enrollment;x=1", "enrollment.json", "enrollments//",
    "enrollments.json", "enrollments/x", "roles", "roles/.json", "roles/%00", "roles/x",
    "unenroll/x", "unenroll/%2e%2e/roles/", "enrollment_allowed/x",
    *(
        f"{prefix}/{course_id}"
        for prefix in ("enrollment", "course")
        for course_id in (
            ".", "..", "../roles/", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "%0a",
            "a%0ab", "a%0d%0aX:%20y", "%2F", "a%2Fb%2Fc", "a//b", "a/", "%20", "a%20b",
            "a%23b", "a%3Fb", "a%25b", "a\\b", "%", "%zz", "%c0%af", "%c0%ae%c0%ae/",
            "%e0%80%af", "%ff", "%ed%a0%80", "%E2%80%AE", "%F0%9F%8E%93", ";", "{0}",
            "%7B0.__class__%7D", "%25s", "'%20OR%201=1%20--", "x" * 256, "x" * 100_000,
            "a/" * 5_000 + "b",
        )
    ),
    *(
        f"enrollment/{pair}"
        for pair in (
            ",", ",,", "a,", ",a", "a,b,c", "%2C", "a%2Cb", "%00,a", "a,%00", "%ff,a",
            "%ed%a0%80,a", "%F0%9F%8E%93,a", "%20,a", "..,a", "../a,b",
            "x" * 100_000 + ",a", "a," + "x" * 100_000,
        )
    ),
    *(
        f"course/{rest}"
        for rest in (
            "/eligibility", "%00/eligibility", "a%0a/eligibility", "a%2Feligibility",
            "a/eligibility/", "a/eligibility/x", "../eligibility",
        )
    ),
]

#: Methods, whether or not an endpoint serves them.
METHODS = [
    "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT",
    "PROPFIND", "BREW", "get", "", "__INIT__", "DISPATCH", "\xff", "X" * 10_000,
]

#: Requests that no client library sends, and the statuses that each may get; no
#: response at all is allowed too.
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
        b"GET {root}course/\xff\xfe\xed\xa0\x80 HTTP/1.1\r\n{host}\r\n", {400, 404}
    ),
    "raw bytes in the query": (
        b"GET {root}course/a?x=\xff\x00 HTTP/1.1\r\n{host}\r\n", {400}
    ),
    "a whole URL": (b"GET http://evil{root}roles/ HTTP/1.1\r\n{host}\r\n", {401, 404}),
    "a path of dots": (b"GET {root}../../x/../roles/ HTTP/1.1\r\n{host}\r\n", {404}),
    "a long line": (b"GET {root}" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", {414}),
    "no host": (b"GET {root}roles/ HTTP/1.0\r\n\r\n", {401}),
    "a host that is none": (b"GET {root}roles/ HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    "two hosts": (b"GET {root}roles/ HTTP/1.1\r\n{host}Host: evil\r\n\r\n", {400, 401}),
    "a header without a colon": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}nonsense\r\n\r\n", {400, 401}
    ),
    "a header of bytes": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}X-Edx-Api-Key: \xff\x00\xfe\r\n\r\n",
        {400, 401},
    ),
    "a header on two lines": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}Authorization: Basic\r\n x\r\n\r\n",
        {400, 401},
    ),
    "a body longer than announced": (
        b"POST {root}enrollment HTTP/1.1\r\n{host}Content-Length: 2\r\n\r\n{}{}{}",
        {401},
    ),
    "a body shorter than announced": (
        b"{post}{json}Content-Length: 99\r\n\r\n{", {400}
    ),
    "a form that breaks off": (
        b"{post}Content-Length: 9999\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n",
        {400},
    ),
    "a negative length": (b"{post}{json}Content-Length: -5\r\n\r\n{}", {400}),
    "a length of letters": (b"{post}{json}Content-Length: x\r\n\r\n{}", {400}),
    "two lengths": (
        b"{post}{json}Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}xyz", {400}
    ),
    "chunks": (
        b"{post}{json}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", {400}
    ),
    "chunks and a length": (
        b"{post}{json}Transfer-Encoding: chunked\r\n"
        b"Content-Length: 4\r\n\r\nff\r\n{",
        {400},
    ),
    "a body of a GET": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\n\xff\x00\xfe",
        {401},
    ),
    "an upgrade": (
        b"GET {root}roles/ HTTP/1.1\r\n{host}Connection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n",
        {401},
    ),
}

# fmt: on


class Sender:
    """Sends each request with the cookies of the login, whatever responses set."""

    def __init__(self, user=None):
        self._client = client_of(user)
        cookies = self._client.cookies.items()
        self.cookies = {name: cookie.value for name, cookie in cookies}

    def send(self, method: str, path: str, body: bytes = b"", **extra):
        self._client.cookies = SimpleCookie(self.cookies)
        extra.setdefault("content_type", JSON)
        return self._client.generic(method, f"{ROOT}{path}", body, **extra)

    def call(self, name: str, query: str = "", **extra):
        method = name.partition(" ")[0]
        path, body = CALLS[name]
        return self.send(method, f"{path}?{query}" if query else path, body, **extra)


@pytest.fixture(autouse=True)
def _host(settings):
    settings.ENROLLMENTS_API_KEYS = ["the key of the billing service"]
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


@pytest.fixture(autouse=True)
def _no_name_is_logged(caplog):
    """Assert that no log line has a username, but in the path of V1-AUTH-20."""
    caplog.set_level(logging.DEBUG, "django_enrollments")
    yield
    formatter = logging.Formatter()
    for record in caplog.get_records("call"):
        line = formatter.format(record)
        if record.name.startswith("django_enrollments") and not line.startswith(
            "ApiKeyHeaderPermission used"
        ):
            assert not any(name in line for name in (ADA, BOSS, BEA)), line


@pytest.fixture
def course():
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "honor")
    return course


@pytest.fixture
def ada(course):
    """A learner who is not enrolled."""
    return Sender(make_user(ADA))


@pytest.fixture
def bea(course):
    """A learner whom the requests are about, and an invitation."""
    bea = make_user(BEA)
    put(bea, course)
    UserRetirementStatus.objects.create(user=bea, original_username=username(BEA))
    CourseEnrollmentAllowed.objects.create(**INVITATION)
    return Sender(bea)


@pytest.fixture
def boss(bea, course):
    """An enrolled user who may do everything, so that permissions refuse nothing."""
    boss = make_user(BOSS, is_staff=True, is_superuser=True)
    put(boss, course)
    return Sender(boss)


@pytest.fixture
def left(course):
    """Global staff with an inactive enrollment."""
    boss = make_user(BOSS, is_staff=True)
    put(boss, course, is_active=False)
    return Sender(boss)


@pytest.fixture
def anonymous(bea):
    return Sender()


by_both = pytest.mark.parametrize(
    "sender", ["ada", pytest.param("left", marks=pytest.mark.full)]
)


def nothing_changed():
    ours = apps.get_app_config("django_enrollments").get_models()
    return nothing_written(*ours, get_user_model(), get_course_model())


def assert_refused(response, *place):
    """Assert a client error: JSON with a message, or a 404 without a body."""
    assert 400 <= response.status_code < 500, place
    if response.status_code == 404 and response.content == b"":
        return
    assert response["Content-Type"] == JSON, place
    body = response.json()
    if isinstance(body, dict):
        texts = [body.get(key) for key in ("message", "detail", "developer_message")]
        body = next(filter(None, texts), None) or body["field_errors"]
    assert body, place


def assert_no_failure(response, *place):
    """Assert that a request succeeds, or is refused with a message."""
    assert response.status_code < 500, place
    if response.status_code >= 400:
        assert_refused(response, *place)


class TestBody:
    @by_both
    @pytest.mark.parametrize(
        "body",
        [*NO_OBJECTS, *NO_COURSES, *WRONG_FIELDS],
        ids=lambda body: repr(body)[:40],
    )
    def test_that_is_wrong_is_refused(self, request, sender, body):
        sender = request.getfixturevalue(sender)

        with nothing_changed():
            assert_refused(sender.send("POST", "enrollment", body))

    @by_both
    @pytest.mark.parametrize(
        ("value", "keys"), [*spread(WRONG, KEYS), *spread(NO_TEXTS, TEXT_KEYS)]
    )
    def test_with_a_wrong_value_is_refused(self, request, sender, value, keys):
        sender, good = request.getfixturevalue(sender), json.dumps(GOOD)[:-1]

        with nothing_changed():
            for key in keys:
                body = f'{good}, "{key}": {value}}}'.encode()
                assert_refused(sender.send("POST", "enrollment", body), key)

    @by_both
    @pytest.mark.parametrize(
        ("value", "parts"),
        spread([one for one in WRONG if not one.startswith('"{')], COLOR),
    )
    def test_with_a_wrong_attribute_is_refused(self, request, sender, value, parts):
        if not value.startswith(("[", "{", '"')):
            parts = []
        sender, bodies = request.getfixturevalue(sender), []
        if value != "[]":
            bodies.append(text(GOOD | {"enrollment_attributes": "HERE"}))
        for name in parts:
            attributes = [COLOR | {name: "HERE"}]
            bodies.append(text(GOOD | {"enrollment_attributes": attributes}))

        with nothing_changed():
            for body in bodies:
                body = body.replace(b'"HERE"', value.encode())
                assert_refused(sender.send("POST", "enrollment", body), body[-80:])

    @pytest.mark.parametrize(
        ("value", "places"),
        [*spread(NO_OBJECTS, OTHER_WRITING), *spread(WRONG, OTHER_KEYS)],
    )
    def test_of_other_endpoints_is_refused(self, boss, value, places):
        with nothing_changed():
            for place in places:
                name, body = place, value
                if isinstance(place, tuple):
                    if place[1] == "course_id" and "__class__" in value:
                        continue
                    name, key = place
                    body = json.dumps(INVITATION | {key: "HERE"})
                    body = body.replace('"HERE"', value).encode()
                assert_refused(boss.send(*name.split(), body), place)

    def test_is_not_read_without_a_login(self, anonymous):
        with nothing_changed():
            for number, body in enumerate([*NO_OBJECTS, *NO_COURSES, *WRONG_FIELDS]):
                method, path = WRITING[number % len(WRITING)].split()

                assert anonymous.send(method, path, body).status_code == 401

    @pytest.mark.parametrize(("typed", "names"), spread(TYPES, WRITING))
    def test_of_another_type_is_refused(self, boss, typed, names):
        content_type, body = typed

        with nothing_changed():
            for name in names:
                response = boss.send(*name.split(), body, content_type=content_type)
                assert_refused(response, name)

    @pytest.mark.parametrize("name", READING)
    def test_of_a_get_request_is_not_read(self, boss, name):
        for content_type, body in ((JSON, b"\xff"), (PARTS, b"\x00")):
            with nothing_changed():
                path = CALLS[name][0]
                response = boss.send("GET", path, body, content_type=content_type)

            assert response.status_code == 200

    @pytest.mark.parametrize("charset", ["utf-8", "nonsense", "rot13", "hex", "utf-16"])
    def test_in_json_has_no_charset(self, ada, charset):
        content_type = f"{JSON}; charset={charset}"

        response = ada.send("POST", "enrollment", text(GOOD), content_type=content_type)

        assert response.status_code == 200

    @pytest.mark.parametrize(
        ("setting", "value", "body", "content_type"),
        [
            ("DATA_UPLOAD_MAX_MEMORY_SIZE", 10, text(GOOD), JSON),
            ("DATA_UPLOAD_MAX_NUMBER_FIELDS", 1, b"a=1&b=2&c=3", FORM),
        ],
    )
    @pytest.mark.parametrize("name", WRITING)
    def test_larger_than_the_host_accepts_is_a_413(
        self, boss, settings, name, setting, value, body, content_type
    ):
        setattr(settings, setting, value)

        with nothing_changed():
            response = boss.send(*name.split(), body, content_type=content_type)

        assert response.status_code == 413
        assert response.json() == {"detail": "The request is too large."}

    @pytest.mark.parametrize("content_type", [JSON, PARTS, FORM])
    @pytest.mark.parametrize("name", WRITING)
    def test_that_breaks_off_is_a_400(self, boss, name, content_type):
        class BrokenOff(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError("Connection reset by peer")

            readline = read

        extra = {"wsgi.input": BrokenOff()}

        with nothing_changed():
            response = boss.call(name, content_type=content_type, **extra)

        assert response.status_code == 400
        assert response.json() == {"detail": "The request could not be read."}

    @pytest.mark.parametrize(
        ("length", "names"),
        spread(
            ["0", "1", "-1", "x", "", "9" * 12, "1e9", "\xff"],
            [*WRITING, "GET enrollments"],
        ),
    )
    def test_of_another_length_is_no_failure(self, boss, length, names):
        with nothing_changed():
            for name in names:
                assert_no_failure(boss.call(name, CONTENT_LENGTH=length), name)

    def test_too_deep_to_be_shown_is_shown_as_dots(self, rf):
        """A parser of the host may accept what this Python cannot print."""
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]

        class Parser(JSONParser):
            def parse(self, *args, **kwargs):
                return wish("") | {"course_details": {"course_id": value}}

        class View(EnrollmentListView):
            authentication_classes = permission_classes = throttle_classes = []
            parser_classes = [Parser]

        response = View.as_view()(rf.post(ENROLLMENT, {}, JSON))

        assert response.status_code == 400
        assert response.data == {"message": "No course '...' found for enrollment"}

    def test_that_is_good_is_still_accepted(self, ada):
        body = GOOD | {
            "user": username(ADA),
            "email": None,
            "mode": "honor",
            "is_active": True,
            "force_enrollment": False,
            "enrollment_attributes": [COLOR],
            "unheard_of": [{}],
        }

        assert ada.send("POST", "enrollment", text(body)).status_code == 200


@pytest.mark.parametrize(("headers", "names"), spread(HEADERS, CALLS))
def test_headers_are_no_failure(boss, anonymous, headers, names):
    with nothing_changed():
        for name in names:
            assert_no_failure(boss.call(name, headers=headers), name)
        for name in ("GET enrollment", "GET course/{course}", "POST unenroll/"):
            assert_no_failure(anonymous.call(name, headers=headers), name)


@pytest.mark.rule("V1-AUTH-11")
@pytest.mark.parametrize(("credentials", "names"), spread(CREDENTIALS, CALLS))
def test_credentials_of_no_user_are_a_401(anonymous, settings, credentials, names):
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
        for name in names:
            response = anonymous.call(name, headers={"Authorization": credentials})

            if name == "GET course/{course}":
                assert response.status_code == 200
            else:
                assert response.status_code == 401
                assert response["WWW-Authenticate"]
                assert_refused(response, name)


@pytest.mark.parametrize(
    ("query", "names"), spread(QUERIES, [*READING, "POST enrollment"])
)
def test_queries_are_no_failure(boss, anonymous, query, names):
    with nothing_changed():
        for name in names:
            assert_no_failure(boss.call(name, query), name)
        assert_no_failure(anonymous.call("GET course/{course}", query))


@pytest.mark.parametrize("path", ["enrollment", "enrollments", f"course/{COURSE_ID}"])
def test_more_parameters_than_the_host_accepts_are_a_413(boss, path):
    response = boss.send("GET", f"{path}?{'&'.join(['user=ada'] * 2_000)}")

    assert response.status_code == 413
    assert [*response.json().values()] == ["The request is too large."]


@pytest.mark.rule("V1-URL-14")
@pytest.mark.parametrize(
    ("sent", "paths"), spread(METHODS, sorted({path for path, _ in CALLS.values()}))
)
def test_methods_that_a_path_does_not_serve_are_a_405(boss, anonymous, sent, paths):
    served = {(name.partition(" ")[0], path) for name, (path, _) in CALLS.items()}
    method = sent.upper()

    with nothing_changed():
        for path in paths:
            if (method, path) in served:
                continue
            response = boss.send(sent, path, text({"email": "a@b", "course_id": "a"}))

            if method in {"HEAD", "OPTIONS"} and response.status_code == 200:
                continue
            assert response.status_code == 405, path
            assert method == "HEAD" or f'"{method}\\"' in response.content.decode()
            assert method not in response["Allow"].split(", "), path
            assert anonymous.send(sent, path).status_code in {401, 405}, path


@pytest.mark.parametrize(
    ("path", "requests"), spread(PATHS, ["boss GET", "boss POST", "anonymous DELETE"])
)
def test_paths_are_no_failure(boss, anonymous, path, requests):
    senders = {"boss": boss, "anonymous": anonymous}

    with nothing_changed():
        for request in requests:
            sender, method = request.split()
            body = b"{}" if method == "POST" else b""
            response = senders[sender].send(method, path, body)

            # Without a route, the response is Django's own.
            if response.status_code == 404 and response.content:
                assert "text/html" in response["Content-Type"]
            elif response.status_code != 301:
                assert_no_failure(response, request)


@pytest.mark.parametrize(
    ("host", "names"),
    spread(["evil.example", "a b", "\xff", "[", "testserver:x"], CALLS),
)
def test_hosts_that_are_not_allowed_are_a_400(boss, host, names):
    with nothing_changed():
        for name in names:
            response = boss.call(name, headers={"Host": host})
            assert response.status_code == 400, name


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("sent", "codes"), RAW.values(), ids=RAW)
def test_raw_requests_to_a_server_are_no_failure(live_server, bea, sent, codes):
    address = urlsplit(live_server.url)
    token = "x" * 32  # Of the length that Django expects.
    cookies = f"sessionid={bea.cookies['sessionid']}; csrftoken={token}"
    for name, value in {
        b"{post}": f"POST {ENROLLMENT} HTTP/1.1\r\n{{host}}{{login}}",
        b"{root}": ROOT,
        b"{host}": f"Host: {address.netloc}\r\nConnection: close\r\n",
        b"{login}": f"Cookie: {cookies}\r\nX-CSRFToken: {token}\r\n",
        b"{json}": f"Content-Type: {JSON}\r\n",
    }.items():
        sent = sent.replace(name, value.encode())

    with nothing_changed():
        response = exchange(address, sent)

        if response:
            assert code_of(response) in codes, response[:200]
        # The next request is served.
        good = f"GET {ROOT}course/{COURSE_ID} HTTP/1.0\r\n\r\n".encode()
        assert code_of(exchange(address, good)) == 200


def exchange(address, sent: bytes) -> bytes:
    """Send bytes and nothing after them; return all that is received."""
    server = (address.hostname, address.port)
    with socket.create_connection(server, timeout=300) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while some := connection.recv(65_536):
            received += some
    return received


def code_of(response: bytes) -> int:
    """Return the status of a response, 400 without a status line (HTTP/0.9)."""
    if not response.startswith(b"HTTP/"):
        assert b"Traceback" not in response
        return 400
    return int(response.split()[1])
