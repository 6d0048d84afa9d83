"""A server that is killed under a push load, again and again; and what must then be true of its database.

More rounds than the test suite has time for: ``python -m tests.integration.killing URL ROUNDS`` (an empty database).
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app import clock
from app.config import Settings
from app.models import Deadline, Ticket, TicketEvent
from app.runtime import Runtime
from app.services import accounts
from app.services.seals import verify

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS = 12
READY_SECONDS = 60


@dataclass
class Told:
    """What the clients were answered: tickets by id, and what was sent without an answer."""

    answered: dict[str, int] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def prepare(url: str) -> str:
    """Migrate the database, and make a key to push with."""
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), clock.now())
    with runtime.database.write() as session:
        _, key = accounts.create_key(session, "load", "integrator", "hotline", None, now=clock.now())
    runtime.close()
    return key


@contextmanager
def server(url: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A real server process on ``url``, once it answers; its port. Killed at the end, if it still lives."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "app.main:create_app",
            "--port",
            str(port),
            "--log-level",
            "error",
        ],
        cwd=ROOT,
        env={**os.environ, "DUBAN_DATABASE_URL": url, "DUBAN_ROLE": "web"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + READY_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the server does not start (exit code {process.poll()})")
            time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def push(connection: http.client.HTTPConnection, key: str, external_id: str) -> tuple[int, int | None]:
    """Push one ticket; the status, and the ticket's id where there is one. Raises OSError or HTTPException."""
    body = json.dumps({"external_id": external_id, "title": "路灯不亮", "content": "三天了" * 20})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": external_id}
    connection.request("POST", "/api/v1/tickets", body.encode(), headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    return answer.status, told.get("id")


def _client(port: int, key: str, prefix: str, told: Told, stop: threading.Event) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        number = 0
        while not stop.is_set():
            external_id = f"{prefix}-{number}"
            number += 1
            try:
                status, ticket_id = push(connection, key, external_id)
            except (OSError, http.client.HTTPException):
                with told.lock:
                    told.unanswered.add(external_id)
                return  # the server is gone
            with told.lock:
                told.statuses[status] += 1
                if ticket_id is not None:
                    told.answered[external_id] = ticket_id
                else:
                    told.unanswered.add(external_id)


def one_round(url: str, key: str, name: str, told: Told, pushes: int, *, how: int = signal.SIGKILL) -> None:
    """A server, a load from several clients, and after ``pushes`` answers ``how`` in the middle of everything."""
    stop = threading.Event()
    until = told.statuses.total() + pushes
    with server(url) as (port, process):
        clients = [
            threading.Thread(target=_client, args=(port, key, f"{name}-{n}", told, stop)) for n in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        give_up = time.monotonic() + READY_SECONDS
        while told.statuses.total() < until and time.monotonic() < give_up:
            time.sleep(0.001)
        process.send_signal(how)
        process.wait(READY_SECONDS)
        stop.set()
        for client in clients:
            client.join(60)


def retry(url: str, key: str, told: Told) -> None:
    """Push again whatever had no answer, and some of what had; each must be taken, and the latter be the same ticket."""
    with server(url) as (port, _), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for external_id in sorted(told.unanswered):
            status, ticket_id = push(connection, key, external_id)
            assert status in (200, 201), (external_id, status)
            assert ticket_id is not None
            told.answered[external_id] = ticket_id
        told.unanswered.clear()
        for external_id, before in random.sample(sorted(told.answered.items()), min(50, len(told.answered))):
            assert push(connection, key, external_id)[1] == before


def check(url: str, told: Told) -> int:
    """Every ticket that was answered is there, once, whole; and nothing that was never sent. How many there are."""
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), clock.now())
    try:
        with runtime.database.read() as session:
            there = session.execute(select(col(Ticket.external_id), col(Ticket.id))).all()
            with_deadline = set(session.execute(select(col(Deadline.ticket_id))).scalars())
            events = Counter(session.execute(select(col(TicketEvent.ticket_id))).scalars())
        broken = verify(runtime.database)
    finally:
        runtime.close()
    ids: dict[str, int] = {str(row[0]): int(row[1]) for row in there}
    assert len(ids) == len(there), "a ticket is there twice"
    lost = {external_id: t for external_id, t in told.answered.items() if ids.get(external_id) != t}
    assert not lost, f"answered, and not there: {lost}"
    assert ids.keys() <= told.answered.keys() | told.unanswered
    assert set(ids.values()) == with_deadline == set(events), "a ticket is not whole"
    assert set(events.values()) == {1}
    assert broken is None, str(broken)
    return len(ids)


def kill_again_and_again(url: str, rounds: int, *, pushes: int = 150) -> tuple[int, Told]:
    """So many rounds, each checked, and at last everything unanswered sent again; how many tickets there are."""
    key, told = prepare(url), Told()
    for n in range(rounds):
        one_round(url, key, f"r{n}", told, random.randint(pushes // 3, pushes))
        check(url, told)
    retry(url, key, told)
    return check(url, told), told


if __name__ == "__main__":
    tickets, said = kill_again_and_again(sys.argv[1], int(sys.argv[2]), pushes=1000)
    print(f"{sys.argv[2]} kills, {tickets} tickets, each once and whole; answers {dict(said.statuses)}")  # noqa: T201
