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
from ingest.connectors.folder import DONE, FAILED, put_away, waiting_files
from ingest.connectors.http import RequestPace, Upstream, plain_text
from ingest.connectors.open311 import Open311Feed, explained
from ingest.connectors.rest import RestFeed
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
    return work.run(lambda: _pull_folder(work) if work.spec.kind == "folder" else _pull_pages(work, on_page))


def upstream_of(work: PullSession) -> Upstream:
    """The feed's upstream, for one pull or comparison."""
    explain = explained if work.spec.kind == "open311" else plain_text
    return Upstream(work.spec, work.pace, work.renew, explain)


def source_of(work: PullSession, upstream: Upstream) -> RestFeed | Open311Feed:
    """The reader of the feed's kind."""
    kind = Open311Feed if work.spec.kind == "open311" else RestFeed
    return kind(work.spec, upstream, work.widen)


def _pull_pages(work: PullSession, on_page: Callable[[PullResult], None] | None) -> None:
    with upstream_of(work) as upstream:
        try:
            for page in source_of(work, upstream).pages(work.position, work.pace.now()):
                if page.unsettled is not None:
                    work.note_unsettled(*page.unsettled)
                work.take(page.records, page.position)
                work.done.pages += 1
                work.done.retries = upstream.retries
                if on_page is not None:
                    on_page(work.done)
        finally:
            work.done.retries, work.skew = upstream.retries, upstream.skew_seconds


def _pull_folder(work: PullSession) -> None:
    """Every file that waits, through the importer, which keeps its own position; then out of the way."""
    folder = work.spec.folder
    assert folder is not None, "checked when the spec was read"
    profile = load_profile(folder.profile, profile_folders(work.runtime))
    failed: list[str] = []
    for path in list(waiting_files(folder, work.pace.now())):
        work.renew()
        now = work.pace.now()
        try:
            done = import_file(
                work.runtime, path, profile, now, source_code=work.spec.source.code, live=folder.live,
                on_progress=lambda _: work.renew(), follow=following(work.actor), limits=FOLDER_LIMITS,
            )  # fmt: skip
        except (LeaseLost, PullStopped):
            raise
        except (Conflict, Busy):
            continue  # it is being imported by hand, or another spreadsheet is read: it stays for the next look
        except DubanError as error:
            put_away(path, FAILED, now)
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
        put_away(path, DONE, now)


def _fates(status: Any, count: int) -> Iterator[RowOutcome]:
    return (RowOutcome(status) for _ in range(count))
