"""
The example project, run by its commands in its own processes.

It replays a hundredth of the registrations, together with all that have no date.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import socket
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from importlib.util import find_spec
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from django.conf import settings

from tests.example import (
    ACTIVE,
    DATA,
    ENROLLMENTS,
    LEFT,
    Demo,
    address,
    make_slice,
    read_rows,
)
from tests.factories import is_default_host

HAS_WEBHOOKS = bool(find_spec("standardwebhooks") and find_spec("requests_hardened"))
#: How the lines about consumers begin.
CONSUMERS = ("  counter", "  webhook")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_default_host()
        or settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
        reason="the example project brings its own host and database: once is enough",
    ),
]

#: The course runs of the dataset; the demo adds those of a made-up school.
PRESENTATIONS = {
    f"{row['code_module']}-{row['code_presentation']}" for row in read_rows()
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Put a slice of the dataset into a folder."""
    folder = tmp_path_factory.mktemp("data")
    make_slice(folder)
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Run the demo once, to its end."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    demo.data = data
    return demo, demo.run()


@pytest.fixture
def demo(tmp_path, data):
    """Make a demo that has not been run."""
    demo = Demo(tmp_path)
    demo.data = data
    return demo


@pytest.fixture
def used_demo(demo, finished):
    """Make a demo that has been run, as a copy."""
    source = sqlite3.connect(finished[0].database)
    target = sqlite3.connect(demo.database)
    source.backup(target)
    source.close()
    target.close()
    return demo


class TestDemo:
    def test_ends_well(self, finished):
        _, done = finished

        assert done.stderr.count("calls") >= 1
        assert "Traceback" not in done.stderr
        assert done.returncode == 0, done.stderr

    def test_replays_every_registration_and_withdrawal(self, finished):
        demo, _ = finished

        states = Counter(
            is_active
            for _, code, is_active, *_ in demo.enrollments()
            if code in PRESENTATIONS
        )
        types = Counter(type_ for type_, *_ in demo.events())

        assert states == {1: ACTIVE, 0: LEFT}
        assert types == {"created": ENROLLMENTS, "deactivated": LEFT}

    def test_replays_in_time_order_at_the_real_moments(self, finished):
        demo, _ = finished
        first = next(row for row in read_rows() if row["id_student"] == "11391")

        times = [time for _, time, *_ in demo.events()]
        created = {(who, code): at for who, code, _, _, at, _ in demo.enrollments()}

        assert times == sorted(times)
        assert first["date_registration"] == "-159"
        # 159 days before the first of October.
        assert created["student11391", "AAA-2013J"] == "2013-04-25 00:00:00"

    def test_keeps_registrations_without_a_date_and_counts_them(self, finished):
        demo, done = finished

        undated = [event for event in demo.events() if "not recorded" in event[-1]]
        at = {event[2:4]: event[1] for event in undated}

        assert len(undated) == 45
        assert "45 registrations have no date; 39 of them were" in done.stdout
        # Never withdrawn: the first day. Withdrawn 33 days before it: that day.
        assert at["student630346", "BBB-2013B"] == "2013-02-01 00:00:00"
        assert at["student342678", "BBB-2013J"] == "2013-08-29 00:00:00"
        # Withdrawn on day 146: the first day again.
        assert at["student568751", "EEE-2013J"] == "2013-10-01 00:00:00"

    def test_prints_the_totals(self, finished):
        _, done = finished

        (heads, *_), (totals, *_) = (
            [line.split() for line in done.stdout.splitlines() if line[:6] == start]
            for start in ("  Cour", "  22  ")
        )

        assert heads[:3] == ["Course", "run", "Enrollments"]
        assert totals[2:6] == [
            str(number) for number in (ENROLLMENTS, ACTIVE, LEFT, ENROLLMENTS + LEFT)
        ]

    def test_shows_a_full_and_a_closed_course_refuse(self, finished):
        _, done = finished

        assert '"code": "course_full"' in done.stdout
        assert "CourseEnrollmentFullError, code 'course_full'" in done.stdout
        assert '"code": "enrollment_ended"' in done.stdout
        assert "CourseEnrollmentClosedError, code 'enrollment_closed'" in done.stdout

    def test_enrolls_the_learner_over_http(self, finished):
        demo, done = finished

        sources = demo.query(
            "SELECT source, type, actor_id = user_id "
            "FROM django_enrollments_enrollmentevent WHERE course_id = 'DJANGO-101'"
        )

        assert "GET /api/enrollment/v1/course/DJANGO-101" in done.stdout
        assert "POST /api/enrollment/v1/enrollment" in done.stdout
        assert "GET /api/enrollment/v1/enrollment\n" in done.stdout
        assert done.stdout.count("  200 ") == 3
        assert sources == [("rest", "created", 1)]

    def test_delivers_each_event_in_order_while_processes_are_killed(self, finished):
        _, done = finished
        events = ENROLLMENTS + LEFT

        lines = done.stdout.splitlines()
        counts = [line.split() for line in lines if line[:9] in CONSUMERS]

        receiver = " and the receiver 2 times" if HAS_WEBHOOKS else ""
        assert f"the worker 2 times{receiver}." in done.stdout
        names = ["counter", *(["webhook"] if HAS_WEBHOOKS else [])]
        assert [one[:2] + one[3:] for one in counts] == [
            [name, str(events), "0", "0", "0"] for name in names
        ]
        assert f"  {events} events, each delivered, in order" in lines

    def test_fails_when_an_event_was_not_delivered(self, used_demo):
        # The records of the consumers are not in the copy.
        assert used_demo.run().returncode == 0
        records = used_demo.database.with_name("demo.sqlite3-counter")
        with closing(sqlite3.connect(records)) as database, database:
            database.execute("DELETE FROM delivery WHERE number IN (3, 5)")

        done = used_demo.run()

        assert done.returncode == 1
        assert "An event was not delivered, or not in order." in done.stderr

    def test_a_second_run_changes_nothing(self, used_demo):
        before = used_demo.enrollments(), used_demo.events()

        done = used_demo.run()

        assert done.returncode == 0, done.stderr
        assert "All of it was replayed earlier." in done.stdout
        assert (used_demo.enrollments(), used_demo.events()) == before

    def test_continues_an_interrupted_replay(self, demo, finished):
        half = (
            "from pathlib import Path; from demo import oulad, replay;"
            f"data = oulad.read(Path({str(demo.data)!r})); codes = data.presentations;"
            "replay.load_catalog(codes.values());"
            "replay.load_learners(data.students());"
            "replay.replay(data.steps()[:200], codes=codes)"
        )
        demo.manage("migrate", "--verbosity=0")
        demo.manage("shell", "--command", half)
        assert len(demo.events()) == 200

        done = demo.run()

        assert done.returncode == 0, done.stderr
        assert "200 calls were made earlier" in done.stdout
        assert demo.events() == finished[0].events()

    def test_fails_when_a_total_is_off(self, used_demo):
        used_demo.query(
            "UPDATE django_enrollments_courseenrollment SET is_active = 0 WHERE id = "
            "(SELECT MIN(id) FROM django_enrollments_courseenrollment WHERE is_active)"
        )

        done = used_demo.run()

        assert done.returncode == 1
        assert f"active: {ACTIVE - 1} instead of {ACTIVE}." in done.stderr
        assert "enrollments that differ from the file: 1." in done.stderr
        assert "enrollments that differ from their history: 1." in done.stderr

    def test_names_the_line_of_a_broken_row(self, demo, tmp_path):
        demo.data = shutil.copytree(demo.data, tmp_path / "broken")
        file = demo.data / "studentRegistration.csv"
        heading, first, *rest = file.read_text().splitlines()
        broken = first.replace("11391", "eleven")
        file.write_text("\n".join([heading, broken, *rest]))

        done = demo.run()

        assert done.returncode == 1
        assert done.stderr == (
            "CommandError: studentRegistration.csv, line 2: 'eleven' is no whole "
            "number.\n"
        )

    def test_takes_another_port_when_the_wanted_one_is_taken(self, used_demo):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            done = used_demo.run(f"--port={port}")

        assert done.returncode == 0, done.stderr
        assert f"Port {port} is not free; " in done.stdout

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGINT")
    def test_serves_until_it_is_interrupted(self, used_demo):
        open_url = build_opener(ProxyHandler({})).open
        with used_demo.serve() as (process, printed):
            url = address(printed)
            with open_url(url, timeout=300) as response:
                page = response.read().decode()
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=300)

        assert printed[-3:] == [
            f"  Home page  {url}\n",
            "  Accounts   learner (learner), teacher (course team), operator (staff)\n",
            "  Passwords  demo-learner, demo-teacher, demo-operator. "
            "Ctrl-C ends the site.\n",
        ]
        assert "AAA-2013J" in page
        assert "POTTERY-1" in page
        assert status == 0
        with pytest.raises(URLError):
            open_url(url, timeout=300)

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGINT")
    def test_prints_the_mail_of_the_site(self, used_demo):
        open_url = build_opener(ProxyHandler({}), HTTPCookieProcessor()).open
        with used_demo.serve() as (process, printed):
            url = f"{address(printed)}/accounts/password_reset/"
            with open_url(url, timeout=300) as response:
                page = response.read().decode()
            token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)[1]
            form = {"email": "learner@example.org", "csrfmiddlewaretoken": token}
            with open_url(url, urlencode(form).encode(), timeout=300):
                process.send_signal(signal.SIGINT)
            mail = process.stdout.read()

        assert "To: learner@example.org" in mail
        assert "/accounts/reset/" in mail


class TestExampleProject:
    @pytest.mark.parametrize(
        ("path", "status"), [("/team/AAA-2013J/", "403"), ("/nothing/", "404")]
    )
    def test_logs_no_traceback_of_a_refused_page(self, used_demo, path, status):
        ask = (
            "from accounts.models import User; from django.test import Client;"
            "client = Client(HTTP_HOST='localhost');"
            "client.force_login(User.objects.get(username='learner'));"
            f"print(client.get('{path}').status_code)"
        )

        done = used_demo.manage("shell", "--command", ask)

        assert done.stdout.split()[-1] == status
        assert done.stderr == ""

    def test_passes_djangos_checks(self, demo):
        done = demo.manage("check", "--fail-level=WARNING")

        assert done.returncode == 0, done.stderr

    def test_has_a_migration_for_every_change(self, demo):
        done = demo.manage("makemigrations", "--check", "--dry-run")

        assert done.returncode == 0, done.stdout

    def test_has_the_data_as_it_was_published(self):
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in DATA.glob("*.csv")
        }
        rows = read_rows()

        assert digests == {
            "courses.csv": (
                "4f16eee7454b15e109b0a21a0e43be820e6846ed6f9301bb7feb5ab5ad737a75"
            ),
            "studentRegistration.csv": (
                "0d32676285372aaf2e7a80304e5b274b4fba24313e2ca4c04317225e1ec90170"
            ),
        }
        assert len(rows) == 32_593
        assert sum(not row["date_unregistration"] for row in rows) == 22_521
        assert json.loads((DATA / "known_answers.json").read_text()) == {
            "course_runs": 22,
            "learners": 28_785,
            "enrollments": 32_593,
            "active": 22_521,
        }
