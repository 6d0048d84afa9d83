"""A trial: simulated upstreams with faults, their feeds pulled for a while, and an account at the end.

Run by ``duban feed simulate``. The feeds are real ones, named ``sim-…``; ``duban serve`` on the same database shows them
on their pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from app import clock
from app.errors import Conflict
from app.models import Reject, Source, Ticket
from app.runtime import Runtime
from app.services.intake import feeds
from app.store import feeds as store
from ingest.connectors.http import RequestPace
from ingest.connectors.registry import load_spec, spec_of
from ingest.connectors.spec import FeedSpec
from ingest.devtools.simulator.server import BASES, SECRET, serving
from ingest.devtools.simulator.world import ROUGH, Faults, SimulatedUpstream
from ingest.feeds import registry as feed_book
from ingest.feeds.pull import pull
from ingest.feeds.run import PullResult

PREFIX = "sim-"
KINDS = tuple(BASES)
CLOCK_OFF = -90
"""Seconds by which the simulated upstreams' clocks are off: behind, so that nobody waits to see a record."""
LIVELY = replace(ROUGH, garbage=0.1, skew_seconds=CLOCK_OFF)
QUIET = Faults(skew_seconds=CLOCK_OFF)


@dataclass(frozen=True, slots=True)
class Account:
    """The state of all records that one upstream has sent; ``lost`` are ids that are neither ticket nor reject."""

    feed: str
    offered: int
    tickets: int
    rejects: int
    lost: Sequence[str]

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {"feed": self.feed, "offered": self.offered, "tickets": self.tickets, "rejects": self.rejects,
                "lost": list(self.lost)}  # fmt: skip


@dataclass
class Trial:
    """Running upstreams: their worlds and addresses, by the name of the feed."""

    runtime: Runtime
    worlds: Mapping[str, SimulatedUpstream]
    addresses: Mapping[str, str]

    def round(self, records: int, pace: RequestPace) -> Iterator[tuple[str, PullResult | None]]:
        """Advance every world by ``records`` and some changes, and pull every feed once (None: a worker is pulling)."""
        for name, world in self.worlds.items():
            world.advance(records)
            yield name, self._pull(name, pace)

    def finish(self, pace: RequestPace) -> Iterator[tuple[str, PullResult | None]]:
        """The upstreams recover, and everything still to come is pulled; then their feeds are switched off."""
        for name, world in self.worlds.items():
            world.healthy = True
            done = self._pull(name, pace)
            while done is None:  # a worker has it: its pull may have begun before the last records
                pace.sleep(1)
                done = self._pull(name, pace)
            yield name, done

    def switch_off(self) -> None:
        """Take the feeds out of service: their upstreams are about to end."""
        with self.runtime.database.write() as session:
            for name in self.worlds:
                feeds.switch(session, name, active=False, now=clock.now())

    def accounts(self) -> list[Account]:
        """Return the account of every upstream."""
        return [account(self.runtime, name, world) for name, world in self.worlds.items()]

    def _pull(self, name: str, pace: RequestPace) -> PullResult | None:
        try:
            return pull(self.runtime, name, actor="system:simulator", force=True, pace=pace)
        except Conflict:
            return None


def account(runtime: Runtime, name: str, world: SimulatedUpstream) -> Account:
    """Return the account of the records that ``world`` has sent to the feed ``name``."""
    with runtime.database.read() as session:
        feed = feeds.need(session, name)
        of_source = col(Ticket.source_id) == feed.source_id
        ids = set(session.execute(select(col(Ticket.external_id)).where(of_source)).scalars())
        refused = col(Reject.source_id) == feed.source_id, col(Reject.door) == "feed"
        raws = list(session.execute(select(col(Reject.raw)).where(*refused)).scalars())
        waiting = session.execute(
            select(func.count()).select_from(Reject).where(*refused, col(Reject.state) == "open")
        ).scalar_one()
    lost = sorted(each for each in world.offered - ids if not any(each in raw for raw in raws))
    return Account(name, len(world.offered), len(ids), waiting, lost)


def check_place(runtime: Runtime) -> None:
    """Refuse a database with tickets that are not simulated. Raises Conflict."""
    with runtime.database.read() as session:
        query = select(col(Ticket.id)).join(Source, col(Source.id) == col(Ticket.source_id))
        other = session.execute(query.where(col(Source.code).not_like(f"{PREFIX}%")).limit(1)).first()
    if other is not None:
        raise Conflict(
            "此数据库已有其他来源的工单；请换一个数据目录（DUBAN_DATA_DIR=trial），或加 --anyway",
            "this database holds tickets of other sources; take another data folder (DUBAN_DATA_DIR=trial), or --anyway",
        )


@contextmanager
def upstreams(
    runtime: Runtime, kinds: Sequence[str], *, seed: int, port: int, faults: Faults, every_seconds: int
) -> Iterator[Trial]:
    """Simulated upstreams of ``kinds`` on ports from ``port`` up (0: any), with their feeds added. Raises OSError where
    a port is taken."""
    secret = _secret_file(runtime)
    worlds, addresses = {}, {}
    with ExitStack() as stack:
        for number, kind in enumerate(kinds):
            name = PREFIX + kind
            with runtime.database.read() as session:
                first = _next_number(session, name)
            world = SimulatedUpstream(seed + number, clock.now, faults, prefix=f"{kind[0].upper()}{first}-")
            address = stack.enter_context(serving(world, port + number if port else 0))
            worlds[name], addresses[name] = world, address + BASES[kind]
            spec = _spec(kind, name, addresses[name], secret, every_seconds)
            with runtime.database.write() as session:
                if store.by_name(session, name) is not None:
                    feeds.switch(session, name, active=False, now=clock.now())  # an earlier trial that was cut off
                feed_book.keep(session, spec, actor="system:simulator", now=clock.now(), replace=True)
                feeds.rewind(session, name)
        trial = Trial(runtime, worlds, addresses)
        try:
            yield trial
        finally:
            trial.switch_off()


def _next_number(session: Any, name: str) -> int:
    """Each trial gives its records ids of their own, so that a second one on the same database is not the first again."""
    query = select(func.count()).select_from(Ticket).join(Source, col(Source.id) == col(Ticket.source_id))
    return int(session.execute(query.where(col(Source.code) == name)).scalar_one())


def _spec(kind: str, name: str, address: str, secret: Path, every_seconds: int) -> FeedSpec:
    content = load_spec(kind).model_dump(mode="json")
    content["name"], content["base_url"] = name, address
    content["source"] = {
        "code": name,
        "zh": f"模拟 {content['source']['zh']}",
        "en": f"Simulated {content['source']['en']}",
    }
    content["title"] = {"zh": f"模拟{content['title']['zh']}", "en": f"Simulated {content['title']['en']}"}
    content["limits"] |= {"every_seconds": max(5, every_seconds), "per_minute": 6000, "backoff_seconds": 0.1}
    if content["signature"]["kind"] != "none":
        content["signature"]["secret"] = f"file:{secret}"
    return spec_of(content)


def _secret_file(runtime: Runtime) -> Path:
    """The secret that simulated upstreams and their feeds share, in the data directory."""
    path = (runtime.settings.data_dir / "simulator.secret").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SECRET, "utf-8")
    return path
