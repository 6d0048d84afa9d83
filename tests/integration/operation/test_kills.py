"""Real processes killed with -9 under a load by every door: what was answered is there, once; the rest can be done again.

``python -m tests.integration.killing`` kills for longer, and PostgreSQL as well.
"""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app import clock
from app.config import Settings
from app.models import Ticket
from app.runtime import Runtime
from app.services.access import accounts
from tests.integration.killing.doors import Place
from tests.integration.killing.machines import PATIENCE, Duban
from tests.integration.killing.series import Load, Series
from tests.waiting import until

pytestmark = pytest.mark.kills


def test_killing_server_and_worker_under_load_loses_nothing(database_url: str, tmp_path: Path) -> None:
    series = Series(tmp_path, database_url, Load(pushers=3, rows=2_600, growth=2))
    tickets = series.run(2)
    ledger = series.ledger
    assert ledger.kills == {"server": 1, "worker": 1}
    assert ledger.answers["push: none"] > 0, "the kills must come in the middle of a load"
    assert {bool(ledger.refused), bool(ledger.files)} == {True}, "every door must have been in use"
    assert tickets > len(ledger.tickets)


class BrokenOff(Series):
    """A series that does not come to its first kill."""

    def _turn(self, place: Place, number: int) -> None:
        until(lambda: self._pushes() >= 20, "nobody is answered")
        raise RuntimeError("broken off")


def test_a_kill_series_continues_after_an_interrupted_one(sqlite_url: str, tmp_path: Path) -> None:
    load = Load(pushers=2, rows=200, growth=1)
    with pytest.raises(RuntimeError, match="broken off"):
        BrokenOff(tmp_path, sqlite_url, load).run(1)
    series = Series(tmp_path, sqlite_url, load)
    series.run(0)
    assert (series.name, series.ledger.broken) == ("r2", {"r1"})
    assert sum(one.startswith("r1-") for one in series.ledger.tickets) >= 20


def test_a_server_stopped_under_load_answers_accepted_requests(database_url: str, tmp_path: Path) -> None:
    runtime = Runtime.open(Settings(database_url=SecretStr(database_url)), clock.now())
    with runtime.database.write() as session:
        _, key = accounts.create_key(session, "load", "integrator", "hotline", None, now=clock.now())
    server = Duban("web", {"DUBAN_DATABASE_URL": database_url, "DUBAN_DATA_DIR": str(tmp_path)}, tmp_path / "log")
    answered: dict[str, int] = {}
    statuses: set[int] = set()

    def client(name: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            for number in range(100_000):
                external_id = f"{name}-{number}"
                body = json.dumps({"external_id": external_id, "title": "路灯不亮"})
                headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                try:
                    connection.request("POST", "/api/v1/tickets", body, headers)
                    answer = connection.getresponse()
                    said = json.loads(answer.read())
                except (OSError, http.client.HTTPException):
                    return  # the server is gone
                statuses.add(answer.status)
                if answer.status == 201:
                    answered[external_id] = said["id"]

    server.start()
    clients = [threading.Thread(target=client, args=(name,), daemon=True) for name in range(12)]
    for each in clients:
        each.start()
    until(lambda: len(answered) >= 100, "nobody is answered")
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(PATIENCE)
    ends = time.monotonic() + PATIENCE
    for each in clients:
        each.join(max(0.0, ends - time.monotonic()))
    with runtime.database.read() as session:
        there = {row[0]: row[1] for row in session.execute(select(col(Ticket.external_id), col(Ticket.id)))}
    runtime.close()
    assert statuses <= {201, 503}
    assert there == answered, "nothing may be stored without its answer, when there was time to give it"
