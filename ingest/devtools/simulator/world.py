"""A simulated upstream by a seed: its records, the records it has sent, and its faults.

Faults are probabilities between 0 and 1, drawn for each request or record.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

MATTERS = ("路灯不亮", "井盖破损", "施工噪音", "物业费争议", "垃圾堆放", "道路积水", "占道经营", "水管爆裂")
KINDS = (("咨询", "ask"), ("求助", "help"), ("投诉", "complain"), ("举报", "report"), ("建议", "advise"))


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities of faults of a request or of a record. ``slow_seconds``: duration of a slow response;
    ``skew_seconds``: the upstream's clock minus the true one; ``retry_after``: the ``Retry-After`` of a throttled request,
    in seconds."""

    error: float = 0.0
    throttle: float = 0.0
    truncate: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 3.0
    garbage: float = 0.0
    duplicate: float = 0.0
    shuffle: float = 0.0
    stale: float = 0.0
    update: float = 0.3
    skew_seconds: int = 0
    retry_after: int = 1


ROUGH = Faults(error=0.08, throttle=0.05, truncate=0.05, garbage=0.04, duplicate=0.2, shuffle=0.5, stale=0.1,
               skew_seconds=240)  # fmt: skip
"""A bad day of an upstream."""


@dataclass
class Item:
    """One record and its earlier versions, in an upstream's own terms."""

    number: int
    id: str
    title: str
    kind: int
    created: datetime
    updated: datetime
    state: int = 0
    note: str = ""
    garbage: int = 0
    before: Item | None = None


@dataclass
class SimulatedUpstream:
    """The upstream's records, and the ids that it has sent. ``now`` returns the true time."""

    seed: int
    now: Callable[[], datetime]
    faults: Faults = Faults()
    prefix: str = "S"
    items: dict[str, Item] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    """Records that are listed by id but not delivered."""
    most: int = 1000
    """Maximum rows of a response of its Open311 server."""
    requests: int = 0
    healthy: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a game of chance that can be played again
        self._faulty = random.Random(self.seed + 1)  # noqa: S311

    def chance(self, of: float) -> bool:
        """Whether a fault of this chance happens now."""
        return not self.healthy and of > 0 and self._faulty.random() < of

    def clock(self) -> datetime:
        """The upstream's own time."""
        return self.now() + timedelta(seconds=self.faults.skew_seconds)

    def advance(self, count: int) -> None:
        """Add ``count`` records, and change some existing ones."""
        with self.lock:
            for _ in range(count):
                number = len(self.items) + 1
                made = self.clock()
                item = Item(number, f"{self.prefix}{number:06d}", self._random.choice(MATTERS),
                            self._random.randrange(len(KINDS)), made, made)  # fmt: skip
                if self._random.random() < self.faults.garbage:
                    item.garbage = 1 + number % 6
                self._put(item)
                if self._random.random() < self.faults.update:
                    self.change(self._random.choice(list(self.items)))

    def _put(self, item: Item) -> None:
        self.items[item.id] = item
        self.changes.append(item.id)

    def change(self, item_id: str) -> None:
        """Add a later version of the record ``item_id``; a closed or garbage record is left unchanged."""
        old = self.items[item_id]
        if old.garbage or old.state == 2:
            return
        later = max(self.clock(), old.updated + timedelta(seconds=1))
        new = replace(old, updated=later, note=f"补充 {later:%H%M%S}", before=replace(old, before=None))
        if self._random.random() < 0.4:
            new.state += 1
        self._put(new)

    def between(self, since: datetime, until: datetime, of: Callable[[Item], datetime]) -> list[Item]:
        """Return the records whose moment is in the span, both ends included, in order."""
        with self.lock:
            found = [item for item in self.items.values() if since <= of(item) <= until]
        return sorted(found, key=lambda item: (of(item), item.id))

    def page(self, items: list[Item], form: Callable[[Item], Any]) -> list[Any]:
        """Return these records as sent: some duplicated, some also in an older version, some out of order."""
        found = [(item, form(item)) for item in items]
        for item in items:
            if item.before is not None and self.chance(self.faults.stale):
                found.append((item, form(item.before)))
            elif self.chance(self.faults.duplicate):
                found.append((item, form(item)))
        if self.chance(self.faults.shuffle):
            self._faulty.shuffle(found)
        with self.lock:
            self.offered.update(item.id for item in items)
        return [corrupted(sent, item.garbage) for item, sent in found]


def corrupted(sent: dict[str, Any], way: int) -> Any:
    """Return a record corrupted in one of six ways; unchanged for another ``way``."""
    key = next(name for name in ("orderNo", "id", "service_request_id") if name in sent)
    title = next(name for name in ("title", "subject", "service_name") if name in sent)
    if way == 1:
        return {**sent, title: "x\0y"}
    if way == 2:
        return {name: value for name, value in sent.items() if name != title and name != "service_code"} | {
            title: None, "address": "甲" * 501
        }  # fmt: skip
    if way == 3:
        return f"garbage {sent[key]}"
    if way == 4:
        return {**sent, title: "y" * 10, "status": "?", "state": "?"}
    if way == 5:
        return [sent[key]]
    return {**sent, key: "9" * 65 + str(sent[key])} if way == 6 else sent
