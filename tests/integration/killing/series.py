"""So many kills in turn, at random moments of a load by every door; and the database looked at in the end."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr
from sqlmodel import Session

from app import clock
from app.config import Settings
from app.runtime import Runtime
from app.services.access import accounts
from ingest.devtools.simulator.server import SECRET, SECRET_VARIABLES, serving
from ingest.devtools.simulator.world import ROUGH, SimulatedUpstream
from ingest.feeds import registry as feed_book
from ingest.feeds.pull import pull
from tests.integration.killing import doors
from tests.integration.killing.ledger import Ledger, keep, recall
from tests.integration.killing.machines import Duban, Postgres, kill
from tests.integration.killing.truth import check
from tests.integration.upstream import simulated
from tests.waiting import until

FEEDS = ("sulaiban", "hotline12345")
PAGE_SIZE = 5
CLOSING_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Load:
    """How much goes on: clients that push and that send batches, rows of a file, records that each upstream gains in a
    second."""

    pushers: int = 8
    batches: int = 1
    rows: int = 5_500
    growth: int = 4


class Series:
    """Kills on one database. What was told before is in ``folder``, so that several series add up."""

    def __init__(
        self,
        folder: Path,
        url: str,
        load: Load | None = None,
        postgres: Postgres | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder, self.url, self.postgres, self._say = folder, url, postgres, say
        self.load = load or Load()
        self.ledger = Ledger()
        self.worlds = {
            name: SimulatedUpstream(
                random.randrange(10**6), clock.now, replace(ROUGH, skew_seconds=-60), name[0].upper()
            )
            for name in FEEDS
        }
        self._books = folder / "books.pickle"
        recall(self._books, self.ledger, self.worlds)
        self.ledger.runs += 1
        self.name = f"r{self.ledger.runs}"
        self._environment = {
            "DUBAN_DATABASE_URL": url,
            "DUBAN_DATA_DIR": str(folder / "data"),
            "DUBAN_PASSWORD_MEMORY_KIB": "64",
            "DUBAN_SCHEDULE": "false",  # else every worker begins with the reports of the month
            **dict.fromkeys(SECRET_VARIABLES.values(), SECRET),
        }
        os.environ.update(dict.fromkeys(SECRET_VARIABLES.values(), SECRET))
        self.server = Duban("web", self._environment, folder / "server.log")
        self.worker = Duban("worker", self._environment, folder / "worker.log")

    def run(self, kills: int) -> int:
        """So many kills; how many tickets there are in the end. Fails where anything is lost, twice or half."""
        self.ledger.broken.add(self.name)
        keep(self._books, self.ledger, self.worlds)  # however it ends, its names are used up
        try:
            with self._working() as place:
                self._say("everybody is at work")
                for number in range(kills):
                    self._turn(place, number)
                self._say("closing")
            self.ledger.broken.discard(self.name)
        finally:
            keep(self._books, self.ledger, self.worlds)  # what was answered counts, also where the run broke off
        self._say("everything is read")
        tickets = self._checked()
        self._say("checked")
        keep(self._books, self.ledger, self.worlds)
        return tickets

    # ------------------------------------------------------------------------------------------------------ at work

    @contextmanager
    def _working(self) -> Iterator[doors.Place]:
        """Everything up, and everybody at work; in the end whatever was begun is ended, and every upstream read."""
        with ExitStack() as stack:
            addresses = {name: stack.enter_context(serving(world)) for name, world in self.worlds.items()}
            place = self._place(addresses)
            stack.callback(self._down, place)
            self._up(self.server)
            self._up(self.worker)
            threads = self._at_work(place)
            stack.callback(place.closing.set)
            yield place
            place.closing.set()
            ends = time.monotonic() + CLOSING_SECONDS
            for thread in threads:
                thread.join(max(0.0, ends - time.monotonic()))
            assert not [t.name for t in threads if t.is_alive()], "whoever works is not answered any more"
            self.worker.kill()
            self._pull_to_the_end(addresses)

    def _place(self, addresses: dict[str, str]) -> doors.Place:
        """Migrate the database, and make feeds, keys and a session for this run."""
        now = clock.now()
        run = self.name
        runtime = Runtime.open(Settings(database_url=SecretStr(self.url)), now)
        try:
            with runtime.database.write() as session:
                for name, address in addresses.items():
                    _keep_feed(session, name, address, size=PAGE_SIZE)
                _, key = accounts.create_key(session, run, "integrator", doors.PUSHED, None, now=now)
                _, office = accounts.create_key(session, f"{run} office", "dispatcher", None, None, now=now)
                user, _ = accounts.create_user(session, f"clerk-{run}", "dispatcher", "kills-are-what-we-do", now=now)
                signed = accounts.begin_session(session, user, now, hours=24)
        finally:
            runtime.close()
        return doors.Place(
            self.server.port, key, office, f"duban_session={signed.token}", signed.csrf, self.folder,
            self._environment, self.ledger, run, self.load.rows, threading.Event(),
        )  # fmt: skip

    def _at_work(self, place: doors.Place) -> Sequence[threading.Thread]:
        work: list[tuple[Callable[..., None], tuple[object, ...]]] = [
            *((doors.push_for_ever, (place, f"p{n}")) for n in range(self.load.pushers)),
            *((doors.batch_for_ever, (place, f"b{n}")) for n in range(self.load.batches)),
            (doors.bring_for_ever, (place, doors.PAGE)),
            (doors.import_for_ever, (place, doors.COMMAND)),
            (doors.grow_for_ever, (place, self.worlds, self.load.growth)),
        ]
        threads = [threading.Thread(target=what, args=args, name=f"{what.__name__} {args[1]}") for what, args in work]
        for thread in threads:
            thread.daemon = True
            thread.start()
        return threads

    def _up(self, what: Duban) -> None:
        what.start(DUBAN_INTAKE_PROCESS=random.choice(("always", "never")))

    def _down(self, place: doors.Place) -> None:
        for what in (self.server, self.worker):
            if what.lives():
                what.kill()
        kill([process.pid for process in place.commands])

    # -------------------------------------------------------------------------------------------------------- kills

    def _turn(self, place: doors.Place, number: int) -> None:
        """Wait until work goes on again, and a random while more; then kill whose turn it is."""
        pushes, requests = self._pushes(), self._requests()
        until(
            lambda: self._pushes() >= pushes + 20 and self._requests() > requests,
            f"no work goes on after kill {number}: {self.ledger.answers}",
        )
        self._say("work goes on")
        place.closing.wait(random.random())
        victim = ("server", "worker", "database" if self.postgres else "both")[number % 3]
        if victim in ("server", "both"):
            self.server.kill(tree=random.random() < 0.5)
        if victim in ("worker", "both"):
            self.worker.kill()
            kill([process.pid for process in place.commands])
        if victim == "database":
            assert self.postgres is not None, "it is a victim only where there is one"
            victim = f"database ({self.postgres.kill()})"
        for what in (self.server, self.worker):
            if victim in ("both", what.role.replace("web", "server")):
                self._up(what)
            assert what.lives(), f"the {what.role} did not survive the kill of the {victim}"
        self.ledger.kills[victim] += 1
        self._say(f"killed {victim}")

    def _pushes(self) -> int:
        return self.ledger.answers["push: 201"]

    def _requests(self) -> int:
        return sum(world.requests for world in self.worlds.values())

    # ------------------------------------------------------------------------------------------------------ the end

    def _pull_to_the_end(self, addresses: Mapping[str, str]) -> None:
        """The upstreams recover and stand still: one pull, which goes on where the killed one was, brings everything, and
        the next one finds nothing new: the cursor is right."""
        runtime = Runtime.open(Settings(database_url=SecretStr(self.url)), clock.now())
        try:
            for name, world in self.worlds.items():
                world.healthy = True
                found = [pull(runtime, name, force=True)]
                with runtime.database.write() as session:
                    _keep_feed(session, name, addresses[name], size=200)  # reads the last half hour again
                found.append(pull(runtime, name, force=True))
                assert {each.state for each in found} == {"done"}, found
                last = found[-1].tally
                assert (last.created, last.corrected, last.rejected) == (0, 0, 0), f"{name}: {last} after the end"
                world.healthy = False
        finally:
            runtime.close()

    def _checked(self) -> int:
        runtime = Runtime.open(Settings(database_url=SecretStr(self.url)), clock.now())
        try:
            return check(runtime, self.ledger, self.worlds)
        finally:
            runtime.close()


def _keep_feed(session: Session, name: str, address: str, *, size: int) -> None:
    spec = simulated(name, address, backoff_seconds=0.01, longest_wait_seconds=2, every_seconds=5)
    spec = spec.model_copy(update={"paging": spec.paging.model_copy(update={"size": size})})
    feed_book.keep(session, spec, actor="kills", now=clock.now(), replace=True)
