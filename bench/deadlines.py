"""A million deadlines at once, beside numpy counting whole days; ``python bench/deadlines.py`` runs the single one too.

The reference counts days only: no hours, no make-up Saturdays, no time zone, and it is given dates. Before anything is
timed, a sample of the million is compared with the deadline computed singly.
"""

from __future__ import annotations

import argparse
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.domain.time.due import Limit, due
from app.domain.time.workcalendar import WorkCalendar
from app.schemas.calendar_document import read_calendar
from app.services.deadlines.bulk_due import due_many
from app.services.rules.china_calendar import china_spec
from bench import deadline_alone
from bench.measure import Row, seconds_in_turn

MANY = 1_000_000
WORK = (
    ("working hours with holidays, from memory", Limit("working_hours", 40)),
    ("working hours, first request", Limit("working_hours", 40)),
    ("working days to the close", Limit("working_days", 5)),
    ("working days, same clock time", Limit("working_days", 5, "same_time")),
    ("odd working hours (8.53)", Limit("working_hours", 8.53)),
)


def _agree(calendar: WorkCalendar, starts: np.ndarray, limit: Limit, ends: np.ndarray, sample: int) -> None:
    for n in random.Random(2).sample(range(starts.size), sample):
        alone = due(calendar, datetime.fromtimestamp(int(starts[n]), UTC), limit).due_at
        if int(alone.timestamp()) != int(ends[n]):
            raise AssertionError(
                f"from {starts[n]}: alone {alone}, in bulk {datetime.fromtimestamp(int(ends[n]), UTC)}"
            )


def rows(scale: float) -> list[Row]:
    """Measure a million starts (at scale 1) at random seconds of two years."""
    spec = china_spec()
    calendar = read_calendar(spec, code="cn")
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2025, 2026))
    starts = np.random.default_rng(1).integers(first, last + 300 * 86_400, int(MANY * scale))
    off = np.array([day.isoformat() for day, hours in calendar.days.items() if not hours], dtype="datetime64[D]")
    days, whole = starts.astype("datetime64[s]").astype("datetime64[D]"), np.busdaycalendar(holidays=off)

    def reference() -> None:
        np.busday_offset(days, 5, roll="backward", busdaycal=whole)

    found = []
    for name, limit in WORK:
        ends, _ = due_many(calendar, starts, limit)
        _agree(calendar, starts, limit, ends, min(2000, starts.size))

        def work(limit: Limit = limit, fresh: bool = "first time" in name) -> None:
            due_many(read_calendar(spec, code="cn") if fresh else calendar, starts, limit)

        fast, slow = seconds_in_turn(work, reference)
        found.append(
            Row(
                f"{starts.size:,} deadlines, {name}",
                f"{fast * 1000:.1f} ms",
                f"numpy.busday_offset, whole days {slow * 1000:.1f} ms",
                slow / fast,
                "≥ 0.2",
                "≥ 1",
            )
        )
    return found


def main() -> None:
    """Print the ratios; ``--small`` uses a tenth."""
    parser = argparse.ArgumentParser(description="deadlines, alone and by the million, beside their references")
    parser.add_argument("--small", action="store_true", help="a tenth of the work")
    scale = 0.1 if parser.parse_args().small else 1.0
    for row in [*deadline_alone.rows(scale), *rows(scale)]:
        print(f"{row.ratio:8.2f} ×  {row.work}: {row.measured}, {row.reference} (goals {row.first_goal}, {row.goal})")


if __name__ == "__main__":
    main()
