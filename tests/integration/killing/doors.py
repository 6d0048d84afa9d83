"""Who works while Duban is killed: each begins something, and repeats it until it is answered."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ingest.devtools.simulator.world import SimulatedUpstream
from ingest.files.uploads import Upload, Uploads
from tests.integration.killing.ledger import FileTaken, Ledger
from tests.integration.killing.machines import DUBAN, ROOT

BATCH_ROWS = 300
TIMEOUT = 60
BETWEEN_TRIES = 0.1
PAUSE = threading.Event()
"""Never set: a try that is under way is finished though the series closes."""
PUSHED, PAGE, COMMAND = "hotline", "kill-page", "kill-command"
"""The sources of what is pushed, brought by the page, and taken in on the command line."""


@dataclass
class Place:
    """Where the doors are, and whether work goes on. ``key``: an integrator's; ``office``: a dispatcher's; ``cookie``
    and ``csrf``: of a dispatcher's session. ``run`` goes before every id; ``rows``: of a file."""

    port: int
    key: str
    office: str
    cookie: str
    csrf: str
    folder: Path
    environment: Mapping[str, str]
    ledger: Ledger
    run: str
    rows: int
    closing: threading.Event
    commands: list[subprocess.Popen[str]] = field(default_factory=list)
    """Imports on the command line that are under way."""


class Caller:
    """One client with its connection, which it makes anew whenever it broke; a context manager."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *error: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, str] | None:
        """Status, body and ``Location`` of the answer; none where there was none."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=TIMEOUT)
        try:
            self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Location", "")
        except (OSError, http.client.HTTPException):
            self._let_go()
            return None

    def until_answered(
        self, what: str, method: str, path: str, body: bytes, headers: Mapping[str, str], good: tuple[int, ...]
    ) -> tuple[int, bytes, str]:
        """Ask until one of the ``good`` statuses comes. No answer and 503 are what a killed service gives; anything
        else is strange."""
        while True:
            answer = self.ask(method, path, body, headers)
            self.place.ledger.count(f"{what}: {answer[0] if answer else 'none'}")
            if answer is not None and answer[0] in good:
                return answer
            if answer is not None and answer[0] != 503:
                self.place.ledger.complain(f"{what}: {answer[0]} {answer[1][:300]!r}")
            PAUSE.wait(BETWEEN_TRIES)


def push_for_ever(place: Place, name: str) -> None:
    """Push one ticket after the other; some are pushed once more after their answer."""
    number = 0
    with Caller(place) as caller:
        while not place.closing.is_set():
            external_id = f"{place.run}-{name}-{number}"
            number += 1
            body = json.dumps({"external_id": external_id, "title": "路灯不亮", "content": "三天了" * 20}).encode()
            headers = _headers(place.key) | {"Idempotency-Key": external_id}
            for _ in range(2 if random.random() < 0.05 else 1):
                _, said, _ = caller.until_answered("push", "POST", "/api/v1/tickets", body, headers, (200, 201))
                place.ledger.answered(external_id, json.loads(said)["id"])
            place.closing.wait(random.random() * 0.1)


def batch_for_ever(place: Place, name: str) -> None:
    """Send batches of which every fifteenth row is bad in one of three ways, as NDJSON and as arrays in turn."""
    number = 0
    with Caller(place) as caller:
        while not place.closing.is_set():
            number += 1
            ids = [f"{place.run}-{name}-{number}-{row}" for row in range(BATCH_ROWS)]
            lines = number % 2 == 0
            rows = [_bad_row(one, lines) if row % 15 == 7 else _row(one) for row, one in enumerate(ids)]
            body = "\n".join(rows) if lines else "[" + ",".join(rows) + "]"
            headers = _headers(place.key) | {"Content-Type": "application/x-ndjson" if lines else "application/json"}
            _, said, _ = caller.until_answered("batch", "POST", "/api/v1/tickets/batch", body.encode(), headers, (200,))
            for external_id, row, result in zip(ids, rows, json.loads(said)["results"], strict=True):
                if result["status"] == "rejected":
                    with place.ledger.lock:
                        place.ledger.refused.add(row)
                else:
                    place.ledger.answered(external_id, result["id"])
            place.closing.wait(random.random() * 2)


def _row(external_id: str) -> str:
    return json.dumps({"external_id": external_id, "title": "井盖破损", "attributes": {"from": "batch"}})


def _bad_row(external_id: str, lines: bool) -> str:
    way = int(external_id.rpartition("-")[2]) // 15 % 3
    if way == 0 and lines:
        return '{"external_id": "' + external_id + '", "title":'
    return json.dumps({"external_id": external_id, **({"title": "x" * 201} if way == 1 else {"titel": "井盖"})})


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


# -------------------------------------------------------------------------------------------------------------- files


def table(place: Place, name: str) -> tuple[str, frozenset[str], frozenset[int]]:
    """A file of the office: its text, the ids of its tickets, and the numbers of the rows that are none."""
    lines, good, bad = ["编号,标题,受理时间,备注"], set(), set()
    for row in range(1, place.rows + 1):
        external_id = f"{place.run}-{name}-{row}"
        if row % 50 == 11:
            bad.add(row)
            lines.append(
                (
                    f",没有编号 {external_id},2026-01-05 09:00,x",
                    f"{external_id},,2026-01-05 09:00,x",
                    f"{external_id},路灯,前天,x",
                    f"{external_id},路灯,2026-01-05 09:00,x,y",
                )[row // 50 % 4]
            )
        else:
            good.add(external_id)
            lines.append(f"{external_id},路灯不亮,2026-01-05 09:00,第 {row} 行")
    return "\n".join(lines) + "\n", frozenset(good), frozenset(bad)


def bring_for_ever(place: Place, name: str) -> None:
    """Bring files by the page, and have each go on until it is in."""
    number = 0
    with Caller(place) as caller:
        uploads = Uploads(Path(place.environment["DUBAN_DATA_DIR"]) / "uploads", 2**30)
        while not place.closing.is_set():
            number += 1
            text, good, bad = table(place, f"{name}{number}")
            # Where the answer is lost the file is brought again; what was brought first lies there, and nobody takes it in.
            upload = _taken(caller, uploads, _brought(caller, text))
            _note(place, f"{name}{number}", good, bad, (upload.created, upload.unchanged, upload.rejected))
            place.closing.wait(random.random() * 8)


def _note(place: Place, name: str, good: frozenset[str], bad: frozenset[int], told: tuple[int, int, int]) -> None:
    with place.ledger.lock:
        place.ledger.files.append(FileTaken(f"{place.run}-{name}.csv", good, bad, told))


def _brought(caller: Caller, text: str) -> str:
    mark, place = "duban-kills", caller.place
    name = text.splitlines()[1].partition(",")[0].rpartition("-")[0]
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{place.csrf}\r\n',
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}.csv"\r\n\r\n{text}\r\n--{mark}--\r\n',
    ]
    sent = {"Cookie": place.cookie, "Content-Type": f"multipart/form-data; boundary={mark}"}
    _, _, where = caller.until_answered("page: bring", "POST", "/imports", "".join(parts).encode(), sent, (303,))
    return where.rpartition("/")[2]


def _taken(caller: Caller, uploads: Uploads, token: str) -> Upload:
    """Begin the import, begin it again where it failed, and wait for its end."""
    place = caller.place
    sent = {"Cookie": place.cookie, "Content-Type": "application/x-www-form-urlencoded"}
    while True:
        upload = uploads.get(token)
        if upload.state == "done":
            return upload
        if upload.state in ("ready", "failed"):
            place.ledger.count(f"page: {upload.state}")
            form = {**FORM, "csrf": place.csrf, "do": "import" if upload.state == "ready" else "again"}
            caller.until_answered("page: take", "POST", f"/imports/{token}", urlencode(form).encode(), sent, (303,))
        PAUSE.wait(BETWEEN_TRIES)


FORM = {
    "base": "new", "name": PAGE, "title": PAGE, "source": PAGE, "replace": "on", "live": "on",
    "time_zone": "Asia/Shanghai", "time.0": "%Y-%m-%d %H:%M", "keep_rest": "on", "col.external_id": "c:编号",
    "col.title": "c:标题", "col.received_at": "c:受理时间",
}  # fmt: skip


def import_for_ever(place: Place, name: str) -> None:
    """Take files in on the command line, each started again until it ends well."""
    number = 0
    while not place.closing.is_set():
        number += 1
        text, good, bad = table(place, f"{name}{number}")
        path = place.folder / f"{place.run}-{name}{number}.csv"
        path.write_text(text, encoding="gb18030")
        said = _commanded(place, path)
        if [each["row"] for each in said["rejects"]] != sorted(bad):
            place.ledger.complain(f"{path.name}: other rejects than its bad rows")
        _note(place, f"{name}{number}", good, bad, (said["created"], said["unchanged"], said["rejected"]))
        path.unlink()
        place.closing.wait(random.random() * 8)


def _commanded(place: Place, path: Path) -> dict[str, Any]:
    command = [*DUBAN, "import", str(path), "--profile", "duban", "--source", COMMAND, "--live", "--json"]
    while True:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **place.environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        place.commands.append(process)
        out, err = process.communicate()
        place.commands.remove(process)
        place.ledger.count(f"command: {process.returncode}")
        if process.returncode == 0:
            found: dict[str, Any] = json.loads(out)
            return found
        if process.returncode not in (1, -signal.SIGKILL):
            place.ledger.complain(f"duban import ended with {process.returncode}: {err[-500:]}")
        PAUSE.wait(BETWEEN_TRIES)


# ---------------------------------------------------------------------------------------------------------- upstreams


def grow_for_ever(place: Place, worlds: Mapping[str, SimulatedUpstream], growth: int) -> None:
    """Let the upstreams have more to tell each second, and ask for it to be pulled."""
    with Caller(place) as caller:
        while not place.closing.wait(1.0):
            for name, world in worlds.items():
                world.advance(growth)
                caller.ask("POST", f"/api/v1/feeds/{name}/pull", b"", _headers(place.office))
