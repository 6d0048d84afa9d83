"""Random deadlines by the million: asked alone and all at once, to the second; a sample of them counted out by hand.

The suite takes some thousands (``tests/unit/domain/time/test_many.py``); ``python -m tests.many 1000000`` as many as asked
for. A case is a calendar (zone, weekly hours, dated days, published years), a limit, and a start, which is as often as not
at an edge of working time or a second beside it. For each, ``due`` and ``due_many`` must agree on the second and on
*provisional*, and the two ways of ``due_many`` (a search for a few, a table for many) with each other; ``elapsed`` and
``working_many`` on the working time between two starts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import numpy as np

from app.domain.time.due import ENDS, Limit, LimitUnit, due, elapsed
from app.domain.time.timeline import from_us, to_us
from app.domain.time.workcalendar import WEEKDAYS, WorkCalendar
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.services.deadlines.bulk_due import due_many, working_many
from tests.clerk import Clerk

ZONES = (
    "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Europe/London", "America/St_Johns", "Asia/Kathmandu",
    "Pacific/Chatham", "America/Santiago", "UTC",
)  # fmt: skip
BEGIN, END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2025, 2028))
STARTS = 250
"""Starts for each calendar and limit."""
MANY = 60_000
"""So many at once are read off a table, where the hours lie on a grid of a quarter of an hour or coarser."""
BY_HAND = 3
"""Of these, so many are counted out by hand."""
Case = tuple[WorkCalendar, Limit, list[int]]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _hours(chance: Random, nights: bool, grid: int) -> list[list[str]]:
    """Hours of a day, on a grid of minutes: none, all of it, one to four spans, or a night that ends before others begin."""
    kind = chance.random()
    if kind < 0.15:
        return []
    if kind < 0.2 and not nights:
        return [["00:00", "24:00"]]
    low = 480 if nights else 0
    edges = sorted(chance.sample(range(low, 1440, grid), 2 * chance.randint(1, 4)))
    spans = [[_clock(a), _clock(b)] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    if nights and chance.random() < 0.6:
        spans[-1][1] = _clock(chance.randrange(0, 480, grid))
    elif chance.random() < 0.1:
        spans[-1][1] = "24:00"
    return spans


def calendar(chance: Random) -> WorkCalendar:
    """A calendar at random."""
    nights, grid = chance.random() < 0.4, chance.choice((1, 15, 30, 60))
    week = {name: _hours(chance, nights, grid) for name in WEEKDAYS}
    while not any(week.values()):
        week["wed"] = _hours(chance, nights, grid)
    first = date(2025, 1, 1)
    dated = {
        (first + timedelta(days=chance.randrange(1100))).isoformat(): _hours(chance, nights, grid)
        for _ in range(chance.choice((0, 5, 60)))
    }
    published = chance.choice((None, [2025, 2026, 2027], [2026], []))
    spec: dict[str, Any] = {"time_zone": chance.choice(ZONES), "week": week, "days": dated}
    return read_calendar(spec if published is None else {**spec, "published": published})


def limit(chance: Random) -> Limit:
    """A limit at random, forward three times out of four."""
    sign = chance.choice((1, 1, 1, -1))
    unit: LimitUnit = chance.choice(("working_days", "working_days", "working_hours", "working_hours", "days", "hours"))
    if unit in ("working_days", "days"):
        return Limit(unit, sign * chance.choice((0, 1, 2, 5, 15, 40)), chance.choice(ENDS), chance.random() < 0.3)
    hours = chance.choice((0, 0.5, 1, 8, 8.53, chance.randint(1, 360_000) / 3600))
    return Limit(unit, sign * hours)


def starts(chance: Random, found: WorkCalendar, count: int) -> list[int]:
    """Starts in seconds: half of them at edges of working time and midnights, or a second beside."""
    line = found.timeline(2025, 2027)
    edges = [us // 1_000_000 for us in (*line.opens, *line.closes, *line.day_start)]
    return [
        chance.choice(edges) + chance.choice((-1, 0, 1)) if n % 2 else chance.randrange(BEGIN, END)
        for n in range(count)
    ]


def cases(seed: int, total: int) -> Iterator[Case]:
    """``total`` cases, up to ``STARTS`` for each calendar and limit; four limits for a calendar."""
    chance = Random(seed)
    found = calendar(chance)
    for n in range(0, total, STARTS):
        if n // STARTS % 4 == 0:
            found = calendar(chance)
        yield found, limit(chance), starts(chance, found, min(STARTS, total - n))


def _refused(found: WorkCalendar, wanted: Limit, start: int) -> bool:
    try:
        due(found, datetime.fromtimestamp(start, UTC), wanted)
    except Invalid:
        return True
    return False


def disagreements(case: Case, chance: Random) -> Iterator[str]:
    """Where the ways to a deadline part."""
    found, wanted, given = case
    try:
        ends, flags = due_many(found, given, wanted)
    except Invalid:  # too little working time for so long a limit: then one of them alone is refused too
        yield from () if any(map(partial(_refused, found, wanted), given)) else (f"refused in bulk alone: {wanted}",)
        return
    tabled, _ = due_many(found, np.tile(np.array(given), MANY // len(given)), wanted)
    if not np.array_equal(tabled[: len(given)], ends):
        yield f"search and table differ: {found.to_spec()} {wanted}"
    for start, end, provisional in zip(given, ends.tolist(), flags.tolist(), strict=True):
        answer = due(found, datetime.fromtimestamp(start, UTC), wanted)
        if (to_us(answer.due_at) // 1_000_000, answer.provisional) != (end, provisional):
            yield f"alone {answer}, in bulk {end} {provisional}: {found.to_spec()} {wanted} from {start}"
    for start in chance.sample(given, min(BY_HAND, len(given))):
        moment = datetime.fromtimestamp(start, UTC)
        if Clerk(found).due(moment, wanted) != due(found, moment, wanted).due_at:
            yield f"not what a clerk counts: {found.to_spec()} {wanted} from {start}"
    others = given[::-1]
    measured = working_many(found, [s * 1_000_000 for s in given], [s * 1_000_000 for s in others])
    for a, b, micros in zip(given[:50], others[:50], measured.tolist(), strict=False):
        seconds = elapsed(found, from_us(a * 1_000_000), from_us(b * 1_000_000)).working_seconds
        if seconds * 1_000_000 != micros:
            yield f"elapsed {seconds} s, in bulk {micros} µs: {found.to_spec()} from {a} to {b}"


def main() -> None:
    """``python -m tests.many N``: try N cases, and print where the ways part; exit code 1 where they do."""
    parser = argparse.ArgumentParser(prog="python -m tests.many")
    parser.add_argument("cases", type=int)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began, told, chance = time.monotonic(), 0, Random(chosen.seed)
    wrong: list[str] = []
    for n, case in enumerate(cases(chosen.seed, chosen.cases), 1):
        wrong += disagreements(case, chance)
        told += len(case[2])
        if n % 400 == 0 or wrong:
            sys.stdout.write(f"{told:,} cases, {len(wrong)} disagreements\n")
            sys.stdout.flush()
        if len(wrong) > 20:
            break
    for line in wrong[:20]:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"{told:,} cases, {len(wrong)} disagreements, {time.monotonic() - began:.0f} s\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
