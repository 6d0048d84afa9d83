"""A process that pulls two feeds and is killed with -9, again and again; and what must then be true of its database.

More rounds than the test suite has time for: ``python -m tests.integration.killing_pulls URL ROUNDS`` (an empty database).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app import clock
from app.config import Settings
from app.models import FeedPull, Reject, Ticket, TicketEvent
from app.runtime import Runtime
from app.services import feeds
from app.services.seals import verify
from ingest.pull import pull
from ingest.simulator.server import SECRET, SECRET_VARIABLES, serving
from ingest.simulator.world import ROUGH, World
from tests.integration.upstream import accounted, add, simulated

ROOT = Path(__file__).resolve().parent.parent.parent
FEEDS = ("sulaiban", "hotline12345")
PATIENCE = 180.0
GROWTH = 30
"""New records of each upstream in each round: six pages and more, so that the kill comes in the middle of them."""


def opened(url: str) -> Runtime:
    """The runtime on ``url``."""
    os.environ.update(dict.fromkeys(SECRET_VARIABLES.values(), SECRET))
    return Runtime.open(Settings(database_url=SecretStr(url)), clock.now())


@contextmanager
def upstreams(runtime: Runtime) -> Iterator[Mapping[str, World]]:
    """Two upstreams on a bad day, each with its feed, whose pages are of five records."""
    worlds = {
        name: World(n, clock.now, replace(ROUGH, skew_seconds=-60), name[0].upper()) for n, name in enumerate(FEEDS)
    }
    with serving(worlds[FEEDS[0]]) as one, serving(worlds[FEEDS[1]]) as other:
        for name, address in zip(FEEDS, (one, other), strict=True):
            spec = simulated(name, address, backoff_seconds=0.01, longest_wait_seconds=2)
            add(runtime, spec.model_copy(update={"paging": spec.paging.model_copy(update={"size": 5})}))
        yield worlds


def pull_for_ever(url: str) -> None:
    """What the killed process does."""
    runtime = opened(url)
    while True:
        for name in FEEDS:
            pull(runtime, name, force=True)


def one_round(url: str, worlds: Mapping[str, World]) -> None:
    """The upstreams grow, a process begins to pull, and is killed after some more requests."""
    for world in worlds.values():
        world.advance(GROWTH)
    before, until = _requests(worlds), random.randint(3, 25)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.killing_pulls", url], cwd=ROOT, stderr=subprocess.PIPE
    )
    ended_well = False
    try:
        give_up = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < give_up and not ended_well:
            time.sleep(0.001)
            ended_well = _requests(worlds) - before >= until
        time.sleep(random.random() * 0.05)
    finally:
        process.kill()
        _, said = process.communicate()
    assert ended_well, f"the pulling process did not get to its pages: {said.decode()[-2000:]}"


def _requests(worlds: Mapping[str, World]) -> int:
    return sum(world.requests for world in worlds.values())


def check(runtime: Runtime, worlds: Mapping[str, World]) -> None:
    """The cursor has left nothing behind that is neither ticket nor reject; nothing is there twice; each ticket is
    whole."""
    with runtime.database.read() as session:
        ids = list(session.execute(select(col(Ticket.external_id))).scalars())
        raws = list(session.execute(select(col(Reject.raw))).scalars())
        token = feeds.need(session, FEEDS[0]).position.get("token")
        received = Counter(
            session.execute(
                select(col(TicketEvent.ticket_id)).where(col(TicketEvent.type).in_(("received", "imported")))
            ).scalars()
        )
        tickets = set(session.execute(select(col(Ticket.id))).scalars())
    assert len(ids) == len(set(ids)), "a ticket is there twice"
    assert len(raws) == len(set(raws)), "a reject is there twice"
    behind = set(worlds[FEEDS[0]].changes[: int(token or 0)])
    lost = [each for each in behind - set(ids) if not any(each in raw for raw in raws)]
    assert lost == [], "the cursor went on without the data"
    assert set(received) == tickets
    assert set(received.values()) <= {1}, "a ticket began twice"


def finish(runtime: Runtime, worlds: Mapping[str, World]) -> int:
    """The upstreams recover, and everything is pulled; how many tickets there are."""
    for name, world in worlds.items():
        world.healthy = True
        assert pull(runtime, name, force=True).state == "done"
    check(runtime, worlds)
    with runtime.database.read() as session:
        ids = set(session.execute(select(col(Ticket.external_id))).scalars())
        states = Counter(session.execute(select(col(FeedPull.state))).scalars())
        notes = {row[0]: row[1] for row in session.execute(select(col(Ticket.external_id), col(Ticket.content)))}
    for world in worlds.values():
        accounted(runtime, world, shared=True)
        for item in world.items.values():
            assert item.garbage or (notes[item.id] or "").endswith(item.note), "the latest version is what stands"
    assert states["running"] == 0, "whoever came next has closed the log of the killed"
    broken = verify(runtime.database)
    assert broken is None, str(broken)
    return len(ids)


def kill_again_and_again(url: str, rounds: int) -> int:
    """So many kills, each looked at; how many tickets there are in the end."""
    runtime = opened(url)
    try:
        with upstreams(runtime) as worlds:
            for _ in range(rounds):
                one_round(url, worlds)
                check(runtime, worlds)
            return finish(runtime, worlds)
    finally:
        runtime.close()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        pull_for_ever(sys.argv[1])
    made = kill_again_and_again(sys.argv[1], int(sys.argv[2]))
    print(f"{sys.argv[2]} kills, {made} tickets, each once and whole; nothing lost")  # noqa: T201
