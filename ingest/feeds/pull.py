"""Pull a feed: each page is imported in one transaction with its rejects and the cursor after it.

A pull that is killed at any point therefore continues after the last committed page, and repeated records are recognized:

* an identical record, or an older version of it, is ``unchanged``;
* another version corrects its ticket (``ingest.feeds.updates``);
* an invalid record is stored as one reject however often it comes; once it can be imported, its reject is settled.
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
"""Limits of files in watched folders: one spreadsheet at a time, whatever the number of feeds."""


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
    """Pull the feed ``name`` until its upstream has no more records. Blocking.

    ``force``: even while its breaker is open; ``if_due``: only if it is due. ``stop`` is called before each request and
    returns whether to end early. A failure of the upstream is reported in the result (``state`` failed); pages before it
    are stored. Raises NotFound, and Conflict where another pull is running, the breaker is open, or (``PullNotDue``) the
    feed is not due.
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
            imported = import_file(
                work.runtime, path, profile, now, source_code=work.spec.source.code, live=source.live,
                on_progress=lambda _: work.renew(), follow=following(work.actor), limits=FOLDER_LIMITS,
            )  # fmt: skip
        except (LeaseLost, PullStopped):
            raise
        except (Conflict, Busy):
            continue  # imported by another process, or another spreadsheet is being read: retry at the next pull
        except DubanError as error:
            source.finish(path, now, failed=True)
            failed.append(f"{path.name}: {error.message.en}")
            work.detail = {"failed": failed[-50:]}
            continue
        tally = imported.tally
        outcomes = [*_outcomes("created", tally.created), *_outcomes("corrected", tally.corrected),
                 *_outcomes("unchanged", tally.unchanged), *_outcomes("rejected", tally.rejected)]  # fmt: skip
        with work.runtime.database.write() as session:
            work.advance(session, {"file": path.name}, outcomes)
        work.done.tally = work.done.tally.count(outcomes)
        work.done.pages += 1
        source.finish(path, now, failed=False)


def _outcomes(status: Any, count: int) -> Iterator[RowOutcome]:
    return (RowOutcome(status) for _ in range(count))
