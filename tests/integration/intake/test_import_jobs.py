"""Imports started from a page: in turn, watched, broken off and gone on with, by this process or the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from app.config import Settings
from app.errors import Conflict, NotFound
from app.models import ImportRun, Reject, Ticket
from app.runtime import Runtime
from ingest.files import jobs
from ingest.files.importer import import_file
from ingest.files.jobs import ImportJobs
from ingest.files.uploads import Upload
from ingest.rows.profile import load_profile
from tests.support import moment
from tests.waiting import until

NOW = moment("2026-03-02 10:00")


@pytest.fixture
def runtime(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """The service's shared state on an empty database, with a data directory of its own."""
    found = Runtime.open(Settings(database_url=SecretStr(database_url), data_dir=tmp_path / "data"), NOW)
    yield found
    found.close()


def brought(work: ImportJobs, rows: int, *, tail: str = "") -> Upload:
    """A file of the office's own columns, brought; its third row is bad."""
    incoming = work.uploads.begin(NOW)
    lines = [f"A{n},{'' if n == 3 else '路灯不亮'},2026-01-05 09:00" for n in range(1, rows + 1)]
    incoming.write(("编号,标题,受理时间\n" + "\n".join(lines) + tail).encode())
    return incoming.keep("一月.csv", "user:li", NOW)


def count(runtime: Runtime, model: type) -> int:
    with runtime.database.read() as session:
        return int(session.execute(select(func.count()).select_from(model)).scalar_one())


def test_an_uploaded_file_is_imported_by_its_user_and_removed(runtime: Runtime) -> None:
    work = ImportJobs(runtime)
    upload = brought(work, 5)
    path = work.uploads.file_of(upload)
    work.start(upload, "duban", source="letters", live=False)
    until(lambda: work.uploads.get(upload.token).state == "done")
    done = work.uploads.get(upload.token)
    assert (done.created, done.unchanged, done.rejected, done.error) == (4, 0, 1, None)
    assert not path.exists()
    with runtime.database.read() as session:
        run = session.execute(select(ImportRun)).scalar_one()
        assert (run.id, run.file_name, run.actor, run.columns) == (
            done.run_id,
            "一月.csv",
            "user:li",
            ["编号", "标题", "受理时间"],
        )
        assert session.execute(select(Reject)).scalar_one().run_id == run.id
    with pytest.raises(Conflict):
        work.start(upload, "duban", source=None, live=False)
    assert work.stop(60)


def test_a_truncated_file_keeps_its_rows_and_can_be_resumed(runtime: Runtime) -> None:
    work = ImportJobs(runtime)
    incoming = work.uploads.begin(NOW)
    incoming.write('[{"编号": "1", "标题": "甲"}, {"编号": "2", "标'.encode())
    upload = incoming.keep("calls.json", "user:li", NOW)
    for _ in range(2):  # the second time from where it had got to, with the same end
        work.start(work.uploads.get(upload.token), "duban", source=None, live=False)
        until(lambda: work.uploads.get(upload.token).state == "failed")
        failed = work.uploads.get(upload.token)
        assert failed.error is not None
        assert "第 2 个元素" in failed.error[0]
        assert count(runtime, Ticket) == 1
    assert work.stop(60)


def test_the_next_process_resumes_an_unfinished_import(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SAVE_EVERY", 0.0)
    reached, stopped = threading.Event(), threading.Event()

    def in_small_steps(*given: object, on_progress: Callable[[object], None], **named: object) -> object:
        def watch(done: object) -> None:
            on_progress(done)
            reached.set()
            stopped.wait(30)

        return import_file(*given, chunk=10, on_progress=watch, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "import_file", in_small_steps)
    first = ImportJobs(runtime)
    upload = brought(first, 50)
    other = brought(first, 4, tail="\nB1,井盖,2026-01-05 09:00")
    first.start(upload, "duban", source=None, live=False)
    first.start(other, "duban", source=None, live=False)
    assert reached.wait(30)
    assert not first.stop(0), "a commit may take as long as it likes, and a stop may not"
    stopped.set()
    assert first.stop(60)
    assert (first.uploads.get(upload.token).state, first.uploads.get(other.token).state) == ("importing", "queued")
    assert 0 < count(runtime, Ticket) < 49

    monkeypatch.setattr(jobs, "import_file", import_file)
    second = ImportJobs(runtime)
    second.resume()
    until(lambda: {second.uploads.get(each.token).state for each in (upload, other)} == {"done"})
    done = second.uploads.get(upload.token)
    assert (done.created, done.rejected) == (49, 1)
    assert count(runtime, Ticket) == 50
    with runtime.database.read() as session:
        assert session.execute(select(func.count()).select_from(ImportRun)).scalar_one() == 2
    assert second.stop(60)


def test_an_import_killed_after_its_last_commit_is_not_repeated(runtime: Runtime) -> None:
    work = ImportJobs(runtime)
    upload = brought(work, 5)
    profile = load_profile("duban", ())
    ended = import_file(runtime, work.uploads.file_of(upload), profile, NOW)
    work.uploads.change(upload, state="importing", profile="duban", run_id=ended.run_id)
    work.resume()
    until(lambda: work.uploads.get(upload.token).state == "done")
    done = work.uploads.get(upload.token)
    assert (done.created, done.unchanged, done.rejected, done.run_id) == (4, 0, 1, ended.run_id)
    assert count(runtime, ImportRun) == 1
    assert work.stop(60)


def test_what_is_not_there_is_not_begun(runtime: Runtime) -> None:
    work = ImportJobs(runtime)
    upload = brought(work, 2)
    with pytest.raises(NotFound):
        work.start(upload, "nosuch", source=None, live=False)
    work.uploads.remove_file(upload)
    with pytest.raises(NotFound):
        work.start(upload, "duban", source=None, live=False)
    assert work.uploads.get(upload.token).state == "ready"
    assert work.stop(60)
