"""Pulling a feed: pages are taken in one by one, each in one transaction with its rejects and with the cursor behind it.

So a pull that is killed anywhere goes on behind the last page whose fate is committed, and what comes again is known:

* the very same record as before is ``unchanged`` without another look, and so is an older version of it;
* another version is a correction of its ticket (``ingest.feeds.updates``);
* a record that is no ticket is a reject, once, however often it comes; once it can be taken in, its reject is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from app import clock
from app.errors import Busy, Conflict, DubanError
from app.runtime import Runtime
from app.turns import Turns
from ingest.connectors.base import FileConnector
from ingest.connectors.http import RequestPace
from ingest.connectors.registry import connected, connector_of
from ingest.feeds.run import LeaseLost, PullResult, PullSession, PullStopped, begin
from ingest.feeds.updates import following
from ingest.files.importer import import_file
from ingest.formats.base import FileLimits
from ingest.profile_wizard.saved import profile_folders
from ingest.rows.prepare import RowOutcome
from ingest.rows.profile import load_profile

FOLDER_LIMITS = FileLimits(turns=Turns(5.0))
"""Of watched folders' files: one spreadsheet at a time, whatever the number of feeds."""


def pull(
    runtime: Runtime,
    name: str,
    *,
    actor: str = "system:duban",
    force: bool = False,
    if_due: bool = False,
    pace: RequestPace | None = None,
    stop: Callable[[], bool] | None = None,
    on_page: Callable[[PullResult], None] | None = None,
) -> PullResult:
    """Pull the feed ``name`` to its upstream's end; blocks. ``force``: also while its breaker is open; ``if_due``: only
    if its time has come. ``stop`` is asked before each request whether to end early.

    An upstream that fails is told of in the answer (``state`` failed), and what came before it is stored. Raises
    NotFound, and Conflict where another pull is under way, the breaker is open, or (``NotDue``) it is not due.
    """
    pace = pace or RequestPace(clock.now)
    work = begin(runtime, name, pace, "pull", actor, force=force, if_due=if_due)
    if stop is not None:
        work.stop = stop
    connector = connector_of(work.spec)
    if issubclass(connector, FileConnector):
        return work.run(lambda: _pull_files(work, connector(work.spec)))
    return work.run(lambda: _pull_pages(work, on_page))


def _pull_pages(work: PullSession, on_page: Callable[[PullResult], None] | None) -> None:
    with connected(work.spec, work.pace, work.renew, work.widen) as source:
        upstream = source.upstream
        try:
            for page in source.pages(work.position, work.pace.now()):
                if page.unsettled is not None:
                    work.note_unsettled(*page.unsettled)
                work.take(page.records, page.position)
                work.done.pages += 1
                work.done.retries = upstream.retries
                if on_page is not None:
                    on_page(work.done)
        finally:
            work.done.retries, work.skew = upstream.retries, upstream.skew_seconds


def _pull_files(work: PullSession, source: FileConnector) -> None:
    """Import every file of ``source``; the importer keeps its own position in each."""
    profile = load_profile(source.profile, profile_folders(work.runtime))
    failed: list[str] = []
    for path in list(source.files(work.pace.now())):
        work.renew()
        now = work.pace.now()
        try:
            done = import_file(
                work.runtime, path, profile, now, source_code=work.spec.source.code, live=source.live,
                on_progress=lambda _: work.renew(), follow=following(work.actor), limits=FOLDER_LIMITS,
            )  # fmt: skip
        except (LeaseLost, PullStopped):
            raise
        except (Conflict, Busy):
            continue  # it is being imported by hand, or another spreadsheet is read: it stays for the next look
        except DubanError as error:
            source.finish(path, now, failed=True)
            failed.append(f"{path.name}: {error.message.en}")
            work.detail = {"failed": failed[-50:]}
            continue
        tally = done.tally
        fates = [*_fates("created", tally.created), *_fates("corrected", tally.corrected),
                 *_fates("unchanged", tally.unchanged), *_fates("rejected", tally.rejected)]  # fmt: skip
        with work.runtime.database.write() as session:
            work.advance(session, {"file": path.name}, fates)
        work.done.tally = work.done.tally.count(fates)
        work.done.pages += 1
        source.finish(path, now, failed=False)


def _fates(status: Any, count: int) -> Iterator[RowOutcome]:
    return (RowOutcome(status) for _ in range(count))
