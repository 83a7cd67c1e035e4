"""Bad input over HTTP: a 4xx with a message, and nothing changes (B-03, V1-ERR-07)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_enrollments.wire import told
from tests.factories import course_id_of, make_course, make_modes, make_user, username
from tests.http import ENROLLMENT, ROOT, client_of, post, put, wish
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
GOOD = {"course_details": {"course_id": COURSE_ID}}
COLOR = {"namespace": "host", "name": "color", "value": "red"}


def text(body: Any) -> bytes:
    return json.dumps(body).encode()


def deep(levels: int, opening: str = "[", closing: str = "]", core: str = "") -> str:
    return opening * levels + core + closing * levels


def at(key: str, value: str) -> bytes:
    """Give a body that is good but for the JSON text at one key."""
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

KEYS = ("user", "email", "mode", "is_active", "force_enrollment")

WRONG_VALUES = {
    f"{key} {name}": at(key, value)
    for key in KEYS
    for name, value in WRONG_ANYWHERE.items()
} | {
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
}

BODIES = NO_OBJECTS | NO_COURSES | WRONG_VALUES


@pytest.fixture
def course() -> Any:
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "honor")
    assert course_id_of(course) == COURSE_ID
    return course


def assert_refused(response: Any) -> None:
    """A client error, in JSON with a message, or a hidden one with no body at all."""
    assert 400 <= response.status_code < 500
    if response.status_code == 404:
        assert response.content == b""
        return
    assert response["Content-Type"] == "application/json"
    body = response.json()
    told = body.get("message") or body.get("detail")
    assert isinstance(told, str)
    assert told


def test_there_are_enough_of_them() -> None:
    assert len(BODIES) >= 150


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
class TestBody:
    def test_err_07_from_a_learner(self, course: Any, body: bytes) -> None:
        ada = make_user("ada")

        with nothing_written():
            response = post(ada, body)

        assert_refused(response)

    def test_err_07_from_global_staff_about_who_left(
        self, course: Any, body: bytes
    ) -> None:
        boss = make_user("boss", is_staff=True)
        put(boss, course, is_active=False)

        with nothing_written():
            response = post(boss, body)

        assert_refused(response)


def test_err_07_from_nobody(course: Any) -> None:
    client = client_of()

    for body in BODIES.values():
        response = client.post(ENROLLMENT, body, content_type="application/json")

        assert response.status_code == 401


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "application/x-yaml",
        "application/json-patch+json",
        "application",
        "/",
        ";",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\x00",
        "multipart/form-data; boundary=ü",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=rot13",
    ],
)
def test_err_07_a_type_that_the_body_does_not_have(
    course: Any, content_type: str
) -> None:
    with nothing_written():
        response = post(make_user("ada"), text(GOOD), content_type=content_type)

    assert_refused(response)


@pytest.mark.parametrize("charset", ["utf-8", "nonsense", "rot13", "hex", "utf-16"])
def test_a_charset_means_nothing_to_json(course: Any, charset: str) -> None:
    content_type = f"application/json; charset={charset}"

    response = post(make_user("ada"), text(GOOD), content_type=content_type)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("DATA_UPLOAD_MAX_MEMORY_SIZE", 10, 413),
        ("DATA_UPLOAD_MAX_NUMBER_FIELDS", 1, 413),
    ],
)
def test_err_07_more_than_the_host_takes(
    course: Any, settings: Any, key: str, value: int, code: int
) -> None:
    setattr(settings, key, value)
    form = "application/x-www-form-urlencoded"
    ada = make_user("ada")

    if key.endswith("SIZE"):
        response = post(ada, text(GOOD))
    else:
        response = post(ada, b"a=1&b=2&c=3", content_type=form)

    assert response.status_code == code
    assert response.json() == {"detail": "The request is too large."}


@pytest.mark.parametrize("path", ["enrollment", "enrollments", "course/django-101"])
def test_err_07_more_parameters_than_the_host_takes(path: str) -> None:
    query = "&".join(["user=ada"] * 2_000)
    boss = make_user("boss", is_staff=True)

    response = client_of(boss).get(f"{ROOT}{path}?{query}")

    assert response.status_code == 413
    assert [*response.json().values()] == ["The request is too large."]


@pytest.mark.parametrize(
    "query",
    [
        "user=%00",
        "user=%ED%A0%80",
        "user=%FF",
        "user",
        "user=&user=",
        "user[]=ada",
        "=",
        "&&&",
        "%",
        "include_expired=%00",
        "user=" + "x" * 20_000,
        "user=%F0%9F%8E%93",
    ],
)
@pytest.mark.parametrize("is_staff", [True, False])
def test_err_07_queries_of_a_list(course: Any, query: str, is_staff: bool) -> None:
    asker = make_user("asker", is_staff=is_staff)

    response = client_of(asker).get(f"{ENROLLMENT}?{query}")

    assert (response.status_code, response.content) == (200, b"[]")


@pytest.mark.parametrize("cookie", ["x", "x" * 9_000, '"abcdefgh\\000ijklmnop"', "ü"])
@pytest.mark.parametrize("name", ["sessionid", "csrftoken"])
def test_err_07_cookies_of_nobody(course: Any, name: str, cookie: str) -> None:
    response = client_of().get(ENROLLMENT, headers={"Cookie": f"{name}={cookie}"})

    assert response.status_code == 401


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "Basic",
        "Basic x",
        "Basic AAAA",
        "Basic YQBiOmM=",  # "a\x00b:c"
        "Basic YTpi\x00",
        "Basic " + "QUFB" * 5_000,
        "Bearer x",
        "JWT x.y.z",
        "\x00",
    ],
)
def test_err_07_credentials_of_nobody(course: Any, credentials: str) -> None:
    response = client_of().get(ENROLLMENT, headers={"Authorization": credentials})

    assert response.status_code == 401
    assert response["WWW-Authenticate"]


def test_err_07_a_value_too_deep_to_be_told_is_told_as_dots() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    assert told(value) == "..."


def test_a_good_body_is_still_good(course: Any) -> None:
    ada = make_user("ada")
    body = wish(
        course,
        user=username("ada"),
        email=None,
        mode="honor",
        is_active=True,
        force_enrollment=False,
        enrollment_attributes=[COLOR],
        unheard_of=[{}],
    )

    assert post(ada, body).status_code == 200
