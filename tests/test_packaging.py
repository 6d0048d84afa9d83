"""What leaves this folder: the wheel carries all that the service reads at run time, and the locks can be trusted."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PACKAGES = ("app", "ingest", "reports")


def _pins(name: str) -> dict[str, set[str]]:
    """Of each library in the lock, the versions (one for each range of Python versions)."""
    pins: dict[str, set[str]] = {}
    for library, version in re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE):
        pins.setdefault(library, set()).add(version)
    return pins


def _base_names(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name}


def test_the_wheel_contains_data_files_and_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    migrations = [path for path in (ROOT / "alembic").rglob("*") if path.suffix in (".py", ".mako")]
    wanted |= {"app/migrations/" + path.relative_to(ROOT / "alembic").as_posix() for path in migrations}
    assert wanted - carried == set()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_with_hashes_and_names_no_address(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    logical_lines = text.replace("\\\n", " ").splitlines()
    assert [line for line in logical_lines if "--hash=sha256:" not in line] == []
    assert [line for line in logical_lines if "://" in line or line.startswith(("#", "-"))] == []


def test_what_runs_is_what_is_tested() -> None:
    tested = _pins("requirements-dev.lock")
    assert {
        name: versions for name, versions in _pins("requirements.lock").items() if tested.get(name) != versions
    } == {}


def test_the_locks_hold_every_library_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert _base_names(project["dependencies"] + extras["build"]) <= set(_pins("requirements.lock"))
    assert _base_names(extras["dev"]) <= set(_pins("requirements-dev.lock"))


PACKAGE_OF = {"argon2-cffi": "argon2", "chinesecalendar": "chinese_calendar", "python-dotenv": "dotenv"}
"""Dependencies whose package has another name."""
LOADED_BY_NAME = {"httptools": "uvicorn", "uvloop": "uvicorn", "tzdata": "zoneinfo, where the system has no time zones"}
"""Dependencies that no module imports, and what loads them."""


def _imported_packages() -> set[str]:
    found = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


def test_every_runtime_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = _base_names(project["dependencies"])
    imported = _imported_packages()
    idle = {name for name in wanted if PACKAGE_OF.get(name, name.replace("-", "_")) not in imported}
    assert idle == set(LOADED_BY_NAME)


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    quoted = f'"{project["version"]}"'
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [path.name for path in files if quoted in path.read_text("utf-8")] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
