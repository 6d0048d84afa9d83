"""What tests of feeds share: a runtime with the simulator's secrets, a clock that the test moves, and short ways."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import col

from app import clock
from app.models import Deadline, Feed, FeedPull, Reject, Ticket, TicketEvent
from app.runtime import Runtime
from ingest.connectors.http import RequestPace
from ingest.connectors.registry import SpecOverrides, load_spec
from ingest.connectors.spec import FeedSpec
from ingest.devtools.simulator.server import BASES
from ingest.devtools.simulator.world import SimulatedUpstream
from ingest.feeds import registry as feed_book


class Moving:
    """A clock that the test moves, and in which sleeping takes no time."""

    def __init__(self) -> None:
        self.moment = clock.now().replace(microsecond=0)

    def now(self) -> datetime:
        """The moment it stands at."""
        return self.moment

    def pace(self) -> RequestPace:
        """The clocks of a client that never waits."""
        return RequestPace(self.now, sleep=lambda _: None, random=lambda: 0.5)


def add(runtime: Runtime, spec: FeedSpec) -> None:
    """Keep the feed."""
    with runtime.database.write() as session:
        feed_book.keep(session, spec, actor="test", now=clock.now())


def simulated(name: str, address: str, **limits: float) -> FeedSpec:
    """The bundled feed ``name`` at the simulator's ``address``, in no need to wait."""
    found = load_spec(name, changes=SpecOverrides(base_url=address + BASES[name]))
    kept = found.limits.model_copy(update={"attempts": 8, "per_minute": 100_000, **limits})
    return found.model_copy(update={"limits": kept})


def counts(runtime: Runtime) -> tuple[int, int]:
    """Tickets, and open rejects."""
    with runtime.database.read() as session:
        tickets = session.execute(select(func.count()).select_from(Ticket)).scalar_one()
        rejects = session.execute(
            select(func.count()).select_from(Reject).where(col(Reject.state) == "open")
        ).scalar_one()
    return tickets, rejects


def ticket(runtime: Runtime, external_id: str) -> Ticket:
    """The one ticket with this number at its source."""
    with runtime.database.read() as session:
        found: Ticket = session.execute(select(Ticket).where(col(Ticket.external_id) == external_id)).scalar_one()
        return found


def the_feed(runtime: Runtime) -> Feed:
    """The only feed there is."""
    with runtime.database.read() as session:
        found: Feed = session.execute(select(Feed)).scalar_one()
        return found


def pulls(runtime: Runtime) -> list[FeedPull]:
    """The log, oldest first."""
    with runtime.database.read() as session:
        return list(session.execute(select(FeedPull).order_by(col(FeedPull.id))).scalars())


def accounted(runtime: Runtime, world: SimulatedUpstream, *, shared: bool = False) -> None:
    """Everything that the upstream has ever offered is a ticket, once, or a reject, once; and each ticket is whole.
    ``shared``: the database holds another upstream's, too."""
    with runtime.database.read() as session:
        ids = list(session.execute(select(col(Ticket.external_id))).scalars())
        raws = list(session.execute(select(col(Reject.raw))).scalars())
        assert len(ids) == len(set(ids))
        lost = [each for each in world.offered - set(ids) if not any(each in raw for raw in raws)]
        assert lost == []
        assert world.offered == set(world.items), "the upstream was read to its end"
        assert shared or set(ids) <= world.offered, "nothing was made up"
        assert len(raws) == len(set(raws)), "a reject is kept once"
        waiting = [
            each
            for each in session.execute(select(col(Reject.external_id)).where(col(Reject.state) == "open")).scalars()
            if each is not None
        ]
        assert len(waiting) == len(set(waiting)), "of one record the latest version alone waits"
        for table in (Deadline, TicketEvent):
            there = select(col(Ticket.id)).where(col(Ticket.id) == col(table.ticket_id)).exists()
            assert session.execute(select(func.count()).select_from(table).where(~there)).scalar_one() == 0, "an orphan"
