"""What must be true of a database after whatever was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import select
from sqlmodel import Session, col

from app import clock
from app.models import FeedPull, ImportRun, Reject, Source, Ticket, TicketEvent
from app.runtime import Runtime
from app.services.audit import seals
from app.services.deadlines import verify
from ingest.devtools.simulator.world import SimulatedUpstream
from tests.integration.killing.doors import COMMAND, PAGE, PUSHED
from tests.integration.killing.ledger import Ledger
from tests.integration.upstream import accounted

_MOST = 20


def check(runtime: Runtime, ledger: Ledger, worlds: Mapping[str, SimulatedUpstream], *, at_end: bool = True) -> int:
    """Assert that nothing that was answered is lost, and nothing is twice or half. How many tickets there are.
    ``at_end``: nobody works any more, so that the upstreams have been read to their end, and every file too."""
    assert not ledger.strange, ledger.strange[:_MOST]
    with runtime.database.read() as session:
        there = _tickets(session)
        _whole(session, sum(map(len, there.values())))
        _files(session, ledger, there)
        _refused(session, ledger)
        if at_end:
            states = set(session.execute(select(col(FeedPull.state))).scalars())
            assert "running" not in states, "a pull that was killed is still said to be under way"
    lost = {one: t for one, t in ledger.tickets.items() if there[PUSHED].get(one) != t}
    assert not lost, f"answered, and not there: {list(lost.items())[:_MOST]}"
    if at_end:
        unasked = there[PUSHED].keys() - ledger.tickets.keys()
        unasked = {one for one in unasked if one.partition("-")[0] not in ledger.broken}
        assert not unasked, f"nobody has sent that: {sorted(unasked)[:_MOST]}"
        for world in worlds.values():
            accounted(runtime, world, shared=True)
    broken = seals.verify(runtime.database)
    assert broken is None, str(broken)
    wrong = list(verify.verify(runtime.database, runtime.reference, now=clock.now()))
    assert not wrong, f"deadlines that are not what the log says: {wrong[:_MOST]}"
    return sum(map(len, there.values()))


def _tickets(session: Session) -> dict[str, dict[str, int]]:
    """Source → id at the source → ticket. Fails where an id comes twice."""
    found: dict[str, dict[str, int]] = {code: {} for code in (PUSHED, PAGE, COMMAND)}
    query = select(col(Source.code), col(Ticket.external_id), col(Ticket.id)).join(
        Source, col(Source.id) == col(Ticket.source_id)
    )
    for code, external_id, ticket_id in session.execute(query):
        of_source = found.setdefault(code, {})
        assert external_id not in of_source, f"{external_id} is there twice"
        of_source[external_id] = ticket_id
    return found


def _whole(session: Session, tickets: int) -> None:
    """Each ticket began once. That its deadlines are right, and its events unbroken, is for ``verify`` to say."""
    began = select(col(TicketEvent.ticket_id)).where(col(TicketEvent.type).in_(("received", "imported")))
    beginnings = Counter(session.execute(began).scalars())
    assert len(beginnings) == tickets, "a ticket has no beginning"
    assert set(beginnings.values()) <= {1}, "a ticket began twice"


def _files(session: Session, ledger: Ledger, there: Mapping[str, Mapping[str, int]]) -> None:
    """Each file that was taken in is there whole: its tickets, its bad rows as one reject each, its totals."""
    taken = there[PAGE].keys() | there[COMMAND].keys()
    rejects: dict[int, Counter[int | None]] = {}
    for run_id, row in session.execute(select(col(Reject.run_id), col(Reject.row)).where(col(Reject.door) == "import")):
        rejects.setdefault(run_id, Counter())[row] += 1
    runs: dict[str, list[ImportRun]] = {}
    for run in session.execute(select(ImportRun).order_by(col(ImportRun.id))).scalars():
        runs.setdefault(run.file_name, []).append(run)
    for file in ledger.files:
        assert file.good <= taken, f"{file.name}: rows are lost: {sorted(file.good - taken)[:_MOST]}"
        # A command that was killed behind its last commit, and before its answer, is given again: all is there.
        first, *later = runs[file.name]
        assert not later or COMMAND in file.name, f"{file.name} began twice"
        assert _totals(first) == (len(file.good), 0, len(file.bad)), f"{file.name}: {_totals(first)}"
        assert {_totals(run) for run in later} <= {(0, len(file.good), len(file.bad))}, f"{file.name}: {later}"
        last = (later or [first])[-1]
        assert file.told == _totals(last), f"{file.name}: whoever brought it was told {file.told}"
        assert {run.state for run in runs[file.name]} == {"done"}, file.name
        assert last.id is not None, "it is stored"
        assert rejects.get(last.id, Counter()) == Counter(file.bad), f"{file.name}: other rejects than its bad rows"
        assert not [run for run in runs[file.name][:-1] if run.id in rejects], f"{file.name}: rejects are kept twice"


def _totals(run: ImportRun) -> tuple[int, int, int]:
    return run.created, run.unchanged, run.rejected


def _refused(session: Session, ledger: Ledger) -> None:
    """Each row of a batch that was answered as a reject is kept, once."""
    kept = Counter(session.execute(select(col(Reject.raw)).where(col(Reject.door) == "batch")).scalars())
    lost = ledger.refused - kept.keys()
    assert not lost, f"refused, and not kept: {sorted(lost)[:_MOST]}"
    twice = [raw for raw, times in kept.items() if times > 1]
    assert not twice, f"kept twice: {twice[:_MOST]}"
