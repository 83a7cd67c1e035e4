"""Build the package, and enroll somebody in a new project that has only the wheel."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "django_enrollments"

SETTINGS = """
INSTALLED_APPS += ["rest_framework", "django_enrollments"]
"""

URLS = """
from django.urls import include, path

urlpatterns = [path("api/enrollment/v1/", include("django_enrollments.urls"))]
"""

ENROLL = """
from django.contrib.auth import get_user_model
from django_enrollments.models import Course
from django_enrollments.services import EnrollmentsService

learner = get_user_model().objects.create_user("learner")
Course.objects.create(id="django-101")
EnrollmentsService().enroll(learner, "django-101")
assert EnrollmentsService().is_enrolled(learner, "django-101")
"""


def build(folder: Path) -> Path:
    """
    Build the source distribution, and the wheel from it.

    Args:
        folder: Where they go.

    Returns:
        The wheel.
    """
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def check_contents(wheel: Path) -> None:
    """
    Compare what the wheel holds with the package in the tree.

    Args:
        wheel: A wheel file.
    """
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if ".dist-info/" not in name}
    if here != there:
        missing, alien = sorted(here - there), sorted(there - here)
        sys.exit(f"The wheel lacks {missing} and holds too much with {alien}.")


def check_in_new_project(wheel: Path, folder: Path) -> None:
    """
    Enroll somebody in a new project, in an environment of its own.

    Args:
        wheel: What to install.
        folder: An empty folder.
    """
    venv.create(folder / "env", with_pip=True)
    python = str(folder / "env" / "bin" / "python")

    def run(*command: str) -> None:
        subprocess.run([python, *command], check=True, cwd=folder)

    run("-m", "pip", "install", "--quiet", str(wheel))
    run("-m", "django", "startproject", "host", ".")
    with (folder / "host" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    (folder / "host" / "urls.py").write_text(URLS)
    run("manage.py", "check", "--fail-level", "WARNING")
    run("manage.py", "migrate", "--verbosity", "0")
    run("manage.py", "shell", "--command", ENROLL)


def main() -> None:
    """Check the package from source to a learner's enrollment."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        check_contents(wheel)
        project = folder / "project"
        project.mkdir()
        check_in_new_project(wheel, project)
    print(f"{wheel.name} works in a new project.")


if __name__ == "__main__":
    main()
