"""The processes that are killed: server, worker, PostgreSQL. Each is a real one, and starts again on what it left."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
DUBAN = (sys.executable, "-m", "app.cli")
PATIENCE = 90.0
"""Seconds until whatever was killed must be there again."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """The process ``pid`` and all that it has started, the youngest last."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
            parents.setdefault(parent, []).append(int(place.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def kill(pids: list[int]) -> None:
    """``kill -9`` of each that is still there."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class Duban:
    """``duban serve`` in one role on a port of its own."""

    def __init__(self, role: str, environment: dict[str, str], log: Path) -> None:
        self.role = role
        self.port = free_port()
        self._environment = {**os.environ, **environment, "DUBAN_ROLE": role}
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*DUBAN, "serve", "--port", str(self.port)],
                cwd=ROOT,
                env={**self._environment, **settings},
                stdout=log,
                stderr=log,
            )
        until(self._answers, f"the {self.role} does not start: see {self._log}", PATIENCE)

    def lives(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def _answers(self) -> bool:
        if not self.lives():
            raise RuntimeError(f"the {self.role} ended by itself: see {self._log}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self, *, tree: bool = True) -> None:
        """``kill -9``: of the process with all that it has started, or of itself alone, as the system would do."""
        assert self.process is not None, "it was started"
        kill(descendants(self.process.pid) if tree else [self.process.pid])
        self.process.wait(PATIENCE)


class Postgres:
    """A PostgreSQL of its own in ``folder``, as careful with the disk as it comes, reached by a socket there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = _programs()
        self._user = "postgres" if os.geteuid() == 0 else None
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://postgres@/duban?host={folder}"

    def make(self) -> None:
        """Make the cluster and its database, where they are not there, and start."""
        data = self.folder / "data"
        fresh = not data.exists()
        if fresh:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._user is not None:
                shutil.chown(self.folder, self._user)
            subprocess.run(
                [self._programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
                check=True, user=self._user, cwd="/", stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self.start()
        if fresh:
            with self._connect("postgres") as connection:
                connection.execute("CREATE DATABASE duban")

    def start(self) -> None:
        """Start it and wait until it answers; whatever the one before has left running is taken away first."""
        give_up = time.monotonic() + PATIENCE
        while True:
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c",
                     "listen_addresses=", "-c", "fsync=on", "-c", "full_page_writes=on"],
                    user=self._user, cwd="/", stdout=log, stderr=log,
                )  # fmt: skip
            until(lambda: not self._runs() or self._answers(), "PostgreSQL does not answer", PATIENCE)
            if self._runs():
                return
            if time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL does not start: see {self.folder / 'log'}")
            threading.Event().wait(0.2)  # backends of the one before are still ending

    def kill(self) -> str:
        """``kill -9`` of all of it, of its head alone, or of one backend, which it ends all the others for. What it
        was."""
        assert self.process is not None, "it was started"
        family = descendants(self.process.pid)
        way = random.choice(("all", "all", "postmaster", "backend"))
        kill({"all": family, "postmaster": family[:1], "backend": [random.choice(family[1:])]}[way])
        if way != "backend":
            self.process.wait(PATIENCE)
            kill([pid for pid in family if _is_postgres(pid)] if random.random() < 0.5 else [])
            self.start()
        until(self._answers, "PostgreSQL did not recover", PATIENCE)
        return way

    def stop(self) -> None:
        """End it in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE)

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def _runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _answers(self) -> bool:
        try:
            with self._connect("postgres"):
                return True
        except psycopg.OperationalError:
            return False


def _is_postgres(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().startswith("postgres")
    except OSError:
        return False


def _programs() -> Path:
    """Where PostgreSQL's programs are. Raises RuntimeError."""
    wished = os.environ.get("DUBAN_POSTGRES_BIN")
    if wished:
        return Path(wished)
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        raise RuntimeError("no PostgreSQL found: name the folder of initdb in DUBAN_POSTGRES_BIN")
    return versions[-1].parent
