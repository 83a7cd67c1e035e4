"""
Runs the samples of the README and the documentation.

The language and the first line of a fenced block decide:

- ``python``: The code is run. With ``>>>`` prompts, its output is compared. A first
  line such as ``# school/filters.py`` writes that file of the project, and
  ``# school/settings.py, at the end`` appends to it.
- ``text`` with a caption: The file with that name is written.
- ``console``: The commands are run. With prompts, their output is compared.
- ``json`` with a URL as caption: The response of the running site is compared.

In expected output, ``...`` matches anything. The blocks of a page run one after the
other. The how-to pages run in the default test host. A page that describes a whole
project runs in a new project.
"""

from __future__ import annotations

import doctest
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from django.core.management import CommandError, call_command
from django.db import ConnectionHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?:\{code-block\} )?(?P<language>\w+)\n"
    r"(?::caption: (?P<caption>[^\n]+)\n+)?"
    r"(?P<text>.*?)"
    r"^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (?P<path>[\w/]+\.py)(?P<added>, at the end)?\n")
#: Commands that are not run: they need a network or another environment.
_PASSED_OVER = re.compile(r"make |.*pip install|python -m venv|.*activate")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    caption: str
    text: str
    line: int

    @property
    def file(self) -> tuple[str, bool] | None:
        """The path of a file block, and whether to append to the file."""
        if self.language == "text" and self.caption:
            return self.caption, False
        match = self.language == "python" and _FILE.match(self.text)
        return (match["path"], bool(match["added"])) if match else None


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            match["language"],
            match["caption"] or "",
            match["text"],
            text.count("\n", 0, match.start("text")),
        )
        for match in _FENCE.finditer(text)
    ]


def read_commands(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield the commands of a console block, with output if there are prompts."""
    if not text.startswith("$ "):
        yield from ((command, None) for command in text.splitlines())
        return
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def assert_output(wanted: str | None, got: str, where: str):
    if wanted is None:
        return
    checker = doctest.OutputChecker()
    if not checker.check_output(wanted, got, FLAGS):
        example = doctest.Example(where, wanted)
        difference = checker.output_difference(example, got, FLAGS)
        raise AssertionError(f"{where}\n{difference}")


def run_python(block: Block, page: str, names: dict[str, Any]):
    if ">>> " not in block.text:
        # Padded, so that a traceback names the line of the page.
        padded = "\n" * block.line + block.text
        exec(compile(padded, page, "exec"), names)  # noqa: S102 - our own page.
        return
    session = doctest.DocTestParser().get_doctest(
        block.text, names, page, page, block.line
    )
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failed, tried = runner.run(session, out=said.write, clear_globs=False)
    names.update(session.globs)
    assert tried
    assert not failed, said.getvalue()


def open_databases(databases: dict[str, Any]):
    """Connect to databases whose settings the running process cannot use."""
    for connection in ConnectionHandler(databases).all():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.close()


class Reader:
    """Runs the blocks of a how-to page in the test host."""

    def __init__(self, page: str, folder: Path, settings):
        self.page = page
        self.folder = folder
        self.settings = settings
        self.port = str(_free_port())
        self.names: dict[str, Any] = {"__name__": "docs"}
        self.modules: list[str] = []

    def follow(self, blocks: list[Block]):
        for block in blocks:
            block = replace(block, text=block.text.replace("8001", self.port))
            if block.file:
                self.keep_file(block, block.file[0])
            elif block.language == "python":
                run_python(block, self.page, self.names)
            elif block.language == "console":
                self.run_commands(block)

    def keep_file(self, block: Block, path: str):
        if block.language == "text":
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            return
        name = path.removesuffix(".py").replace("/", ".")
        if name.endswith("settings"):
            # What the settings of a new project have above.
            known = {"BASE_DIR": self.folder, "TEMPLATES": self.settings.TEMPLATES}
            values: dict[str, Any] = deepcopy(known)
            run_python(block, self.page, values)
            for setting, value in values.items():
                if setting in known and value == known[setting]:
                    continue
                if setting == "DATABASES":
                    open_databases(value)
                elif setting.isupper():
                    setattr(self.settings, setting, value)
            return
        module = sys.modules.get(name)
        if module is None:
            package = name.partition(".")[0]
            sys.modules.setdefault(package, ModuleType(package))
            module = sys.modules[name] = ModuleType(name)
            self.modules += [package, name]
        run_python(block, self.page, module.__dict__)

    def run_commands(self, block: Block):
        for command, wanted in read_commands(block.text):
            words = shlex.split(command)
            said = io.StringIO()
            if words[0] == "cat":
                said.write((self.folder / words[1]).read_text(encoding="utf-8"))
            else:
                assert words[:2] == ["python", "manage.py"], command
                try:
                    with redirect_stdout(said):  # What the host's code prints.
                        call_command(*words[2:], stdout=said, stderr=said)
                except CommandError as error:
                    # As manage.py prints it.
                    said.write(f"{type(error).__name__}: {error}\n")
            assert_output(wanted, said.getvalue(), f"{self.page}: {command}")

    def forget(self):
        for name in self.modules:
            sys.modules.pop(name, None)


class Project:
    """Runs the blocks of a page in a new folder."""

    def __init__(self, page: str, folder: Path):
        self.page = page
        self.folder = folder
        self.port = _free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name != "DJANGO_SETTINGS_MODULE" and not name.startswith("COV")
        } | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}

    def follow(self, blocks: list[Block]):
        session: list[Block] = []
        for block in blocks:
            if block.file:
                self.keep_file(block, *block.file)
            elif block.language == "python":
                session.append(block)
                continue
            if session and block.language == "console":
                self.run_session(session)
                session = []
            if block.language == "console":
                self.run_commands(block)
            elif block.language == "json" and "http" in block.caption:
                self.ask_site(block)
        if session:
            self.run_session(session)

    def keep_file(self, block: Block, path: str, added: bool):
        file = self.folder / path
        assert file.exists() or not added, f"{path} is not there to be added to"
        known = file.read_text(encoding="utf-8") if added else ""
        file.write_text(known + block.text, encoding="utf-8")

    def run_commands(self, block: Block):
        for command, wanted in read_commands(block.text):
            words = shlex.split(command)
            if _PASSED_OVER.match(command):
                continue
            if words[0] == "cd":
                self.folder = self.folder / words[1]
            elif "runserver" in words:
                self.start_server()
            elif words[-1] != "shell":  # What is typed there comes next.
                done = self.run(*words)
                assert_output(wanted, done, f"{self.page}: {command}")

    def run(self, *words: str) -> str:
        program = {"django-admin": ["-m", "django"], "python": []}[words[0]]
        done = subprocess.run(  # noqa: S603 - our own page.
            [sys.executable, *program, *words[1:]],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0 or done.stdout, f"{words} failed without a word"
        return done.stdout

    def run_session(self, blocks: list[Block]):
        """Run the blocks of one shell in one process."""
        script = [
            "import django",
            "django.setup()",
            "from tests.pages import Block, run_python",
            "names = {'__name__': 'docs'}",
            *(f"run_python({block!r}, {self.page!r}, names)" for block in blocks),
        ]
        (settings_file,) = self.folder.glob("*/settings.py")
        done = subprocess.run(  # noqa: S603 - our own page.
            [sys.executable, "-c", "\n".join(script)],
            cwd=self.folder,
            env=self.environment
            | {
                "DJANGO_SETTINGS_MODULE": f"{settings_file.parent.name}.settings",
                "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout

    def start_server(self):
        command = [sys.executable, "manage.py", "runserver", "--noreload"]
        self.server = subprocess.Popen(  # noqa: S603 - our own page.
            [*command, str(self.port)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask_site(self, block: Block):
        url = block.caption.replace(":8000", f":{self.port}")
        # As a browser asks.
        request = Request(url, headers={"Accept": "text/html,*/*;q=0.8"})  # noqa: S310
        while True:
            try:
                with urlopen(request, timeout=300) as answer:  # noqa: S310 - ourselves.
                    got = json.load(answer)
                break
            except URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                assert self.server
                assert self.server.poll() is None, "The site did not start."
                time.sleep(0.2)
        assert got == json.loads(block.text)

    def stop(self):
        if self.server:
            self.server.terminate()
            self.server.wait(timeout=300)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def project(page: str, folder: Path) -> Iterator[Project]:
    made = Project(page, folder)
    try:
        yield made
    finally:
        made.stop()
