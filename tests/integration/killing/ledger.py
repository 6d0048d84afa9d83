"""What whoever works was told, and by what number each thing is known: the other side of the books."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ingest.devtools.simulator.world import SimulatedUpstream


@dataclass
class FileTaken:
    """A file that was taken in to its end: whose tickets, and the numbers of the rows that are none. ``told``: created,
    unchanged, rejected, as whoever brought it was told."""

    name: str
    good: frozenset[str]
    bad: frozenset[int]
    told: tuple[int, int, int]


@dataclass
class Ledger:
    """``tickets``: id at the source → ticket, as answered. ``refused``: rows of batches answered as rejects, as sent.
    ``answers``: how often each door gave which answer; ``strange``: answers that should never come. ``broken``: runs that
    broke off, so that something may be there whose answer nobody has waited for."""

    tickets: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    files: list[FileTaken] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    runs: int = 0
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()

    def answered(self, external_id: str, ticket_id: int) -> None:
        """A ticket is there. That it is another one than the last time must never be."""
        with self.lock:
            before = self.tickets.setdefault(external_id, ticket_id)
            if before != ticket_id:
                self.strange.append(f"{external_id} was ticket {before} and is {ticket_id}")

    def count(self, what: str) -> None:
        """One more of ``what``."""
        with self.lock:
            self.answers[what] += 1

    def complain(self, what: str) -> None:
        """Something that should never be."""
        with self.lock:
            self.strange.append(what)


def keep(path: Path, ledger: Ledger, worlds: dict[str, SimulatedUpstream]) -> None:
    """Write down the ledger and what the upstreams hold."""
    held = {name: (world.items, world.changes, world.offered) for name, world in worlds.items()}
    with ledger.lock:
        books = {name: value for name, value in vars(ledger).items() if name != "lock"}
        path.write_bytes(pickle.dumps((books, held)))


def recall(path: Path, ledger: Ledger, worlds: dict[str, SimulatedUpstream]) -> None:
    """Go on with what was written down, where there is anything."""
    if not path.exists():
        return
    books, held = pickle.loads(path.read_bytes())  # noqa: S301 - written by this very program
    vars(ledger).update(books)
    for name, (items, changes, offered) in held.items():
        worlds[name].items, worlds[name].changes, worlds[name].offered = items, changes, offered
