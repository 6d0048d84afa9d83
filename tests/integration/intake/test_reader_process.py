"""A long file read by a child process: the same tickets and rejects, and nothing lost or doubled when it dies."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.config import Settings
from app.errors import BadRequest
from app.models import Reject, Ticket, TicketEvent
from app.runtime import Runtime
from app.services.audit import seals
from ingest.files import importer
from ingest.files.importer import Progress, import_file
from ingest.files.reader_process import ReaderProcess, can_help
from ingest.rows.profile import load_profile
from tests.integration.intake.test_import import NOW, all_of, counts, table, take
from tests.waiting import until

pytestmark = pytest.mark.skipif(not can_help(), reason="needs POSIX and a second processor")
PATIENCE = 60.0


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    """The service's shared state on an empty database."""
    found = Runtime.open(Settings(database_url=SecretStr(database_url)), NOW)
    yield found
    found.close()


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[ReaderProcess]:
    """The child processes that were started: one for each file, however short; nothing is read before it is ready."""
    started: list[ReaderProcess] = []

    class Waited(ReaderProcess):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

        def is_ready(self) -> bool:
            until(super().is_ready, "the child does not come up")
            return True

    monkeypatch.setattr(importer, "CHILD_PROCESS_BYTES", 0)
    monkeypatch.setattr(importer, "ReaderProcess", Waited)
    return started


def rows(count: int) -> list[dict[str, str]]:
    """Good rows, and one in seven bad, in one of three ways."""
    bad: list[dict[str, str]] = [{"标题": ""}, {"受理时间": "昨天"}, {"类型": "闲聊"}]
    done = {"类型": "投诉", "状态": "已办结", "办结时间": "2026-01-06 09:00"}
    return [bad[n // 7 % 3] if n % 7 == 3 else {**done, "责任单位": f"第{n % 5}办公室"} for n in range(count)]


def content(runtime: Runtime) -> tuple[Any, ...]:
    """What is stored, without ids and what follows from them."""
    tickets = [
        (t.external_id, t.fingerprint, t.title, t.status, t.completed_at, t.unit_id) for t in all_of(runtime, Ticket)
    ]
    events = sorted((e.type, e.at, json.dumps(e.data, sort_keys=True)) for e in all_of(runtime, TicketEvent))
    kept = [(r.row, r.raw, r.reason, r.errors) for r in all_of(runtime, Reject)]
    return tickets, events, kept


def test_the_child_reads_the_same_rows_as_the_parent(
    runtime: Runtime, tmp_path: Path, readers: list[ReaderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path, rows(200))
    done = take(runtime, path, chunk=30)
    assert counts(done) == (171, 0, 29)
    assert len(readers) == 1
    there = content(runtime)
    assert seals.verify(runtime.database) is None

    monkeypatch.setattr(importer, "CHILD_PROCESS_BYTES", sys.maxsize)
    fresh = Runtime.open(Settings(database_url=SecretStr(f"sqlite:///{tmp_path / 'here.db'}")), NOW)
    assert counts(take(fresh, path, chunk=30)) == counts(done)
    assert content(fresh) == there
    assert counts(take(fresh, path)) == (0, 171, 29)  # also to itself, when it comes again
    fresh.close()
    assert len(readers) == 1
    assert counts(take(runtime, path)) == (0, 171, 29)


def test_the_parent_reads_the_rest_when_the_child_is_killed(
    runtime: Runtime, tmp_path: Path, readers: list[ReaderProcess]
) -> None:
    path = table(tmp_path, rows(4_000))
    seen: list[int] = []

    def kill(done: Progress) -> None:
        if not seen:
            os.kill(readers[0].pid, signal.SIGKILL)
        seen.append(done.row)

    done = take(runtime, path, chunk=50, on_progress=kill)
    assert counts(done) == (3_429, 0, 571)
    assert seen == sorted(set(seen))
    assert len(all_of(runtime, Ticket)) == 3_429
    assert [r.row for r in all_of(runtime, Reject)] == list(range(4, 4_001, 7))
    assert len(readers) == 1


@pytest.mark.parametrize(("program", "started"), [("/bin/false", 1), ("/no/such/program", 0)])
def test_a_file_is_read_where_no_child_can_be_started(
    runtime: Runtime,
    tmp_path: Path,
    readers: list[ReaderProcess],
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    started: int,
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert counts(take(runtime, table(tmp_path, rows(100)), chunk=30)) == (86, 0, 14)
    assert len(readers) == started


def test_rows_before_a_broken_end_are_imported(runtime: Runtime, tmp_path: Path, readers: list[ReaderProcess]) -> None:
    unlike = random.Random(1)
    whole = table(tmp_path, [{"标题": f"{unlike.getrandbits(256):x}"} for _ in range(3_000)]).read_bytes()
    path = tmp_path / "broken.csv.gz"
    packed = gzip.compress(whole)
    path.write_bytes(packed[: len(packed) // 2])
    office = load_profile(
        "duban"
    )  # its encoding is looked for in the whole file, and the broken end found before any row
    office = office.model_copy(update={"file": office.file.model_copy(update={"encoding": "utf-8"})})
    with pytest.raises(BadRequest) as error:
        import_file(runtime, path, office, NOW, chunk=100)
    before = len(all_of(runtime, Ticket))
    assert before > 100
    with pytest.raises(BadRequest) as again:
        import_file(runtime, path, office, NOW, chunk=100)
    assert (again.value.message.zh, again.value.message.en) == (error.value.message.zh, error.value.message.en)
    assert len(all_of(runtime, Ticket)) == before
    assert len(readers) == 2


def test_the_child_ends_with_an_interrupted_import(
    runtime: Runtime, tmp_path: Path, readers: list[ReaderProcess]
) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(runtime, table(tmp_path, rows(4_000)), chunk=50, on_progress=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(readers[0].pid, 0)
    done = take(runtime, table(tmp_path, rows(4_000)), chunk=500)
    assert counts(done) == (3_429, 0, 571)  # with what the first time had brought
    assert done.resumed_after == 50
