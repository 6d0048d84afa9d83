"""What the code computes is what a clerk counts out by hand (``tests.clerk``): any calendar, any limit, all changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import Elapsed, Limit, due, elapsed
from app.domain.receipts import receipt
from app.domain.workcalendar import WEEKDAYS, WorkCalendar
from tests.clerk import Clerk, merged
from tests.unit.test_limits_properties import DAY_SHAPES, ENDS, FIRST, LAST, calendars, examples, holds, limits, starts

SECONDS = [timedelta(seconds=n) for n in (-1, 0, 1)]
Held = Sequence[tuple[datetime, datetime]]


@st.composite
def at_an_edge(draw: st.DrawFn, calendar: WorkCalendar) -> datetime:
    """A moment on an opening, a close or a midnight, or a second beside it."""
    clerk = Clerk(calendar)
    day = draw(st.dates(FIRST.date(), LAST.date()))
    edges = [clerk.midnight(day), *(edge for span in clerk.spans(day) for edge in span)]
    return draw(st.sampled_from(edges)) + draw(st.sampled_from(SECONDS))


@st.composite
def cases(draw: st.DrawFn) -> tuple[WorkCalendar, datetime]:
    """A calendar, and a start that is as often as not at an edge of its hours."""
    calendar = draw(calendars())
    return calendar, draw(st.one_of(starts, at_an_edge(calendar)))


zero = st.builds(
    lambda unit, ends, first: Limit(unit, 0, ends, first),
    st.sampled_from(["working_days", "working_hours", "days", "hours"]), st.sampled_from(ENDS), st.booleans(),
)  # fmt: skip
more = st.lists(
    st.one_of(
        st.builds(Limit, st.sampled_from(["working_days", "days"]), st.integers(1, 6)),
        st.builds(Limit, st.sampled_from(["working_hours", "hours"]), st.integers(1, 30)),
    ),
    max_size=2,
)


@examples(120)
@given(cases(), st.one_of(limits, zero))
def test_a_limit_ends_where_a_clerk_says_it_does(case: tuple[WorkCalendar, datetime], limit: Limit) -> None:
    calendar, start = case
    assert due(calendar, start, limit).due_at == Clerk(calendar).due(start, limit)


@examples(120)
@given(cases(), limits.filter(lambda limit: limit.amount > 0), holds, more)
def test_so_does_one_that_was_suspended_and_extended(
    case: tuple[WorkCalendar, datetime], limit: Limit, held: Held, extensions: list[Limit]
) -> None:
    calendar, start = case
    answer = due(calendar, start, limit, suspensions=held, extensions=extensions)
    assert answer.due_at == Clerk(calendar).due(start, limit, held, extensions)
    assert receipt(calendar, start, limit, suspensions=held, extensions=extensions).due_at == answer.due_at


@examples(60)
@given(cases(), limits.filter(lambda limit: limit.working and limit.amount > 0), holds)
def test_a_clerk_who_stops_his_watch_while_it_is_suspended_comes_to_the_same(
    case: tuple[WorkCalendar, datetime], limit: Limit, held: Held
) -> None:
    """Not "the deadline, and what was suspended after it", but: so much work, and the watch stands meanwhile."""
    calendar, start = case
    clerk = Clerk(calendar)
    plain = clerk.due(start, limit)
    length = clerk.worked(start, plain) if plain > start else timedelta()
    moved = due(calendar, start, limit, suspensions=held).due_at
    if length and limit.unit == "working_hours":
        assert moved == clerk.run(start, length, held)
    elif length and moved != plain:
        # a deadline that ends outside hours is in force a while longer than the watch runs
        by_watch = clerk.run(start, length, held)
        since = sum((clerk.worked(a, b) for a, b in merged(held) if by_watch <= a < moved), timedelta())
        assert clerk.worked(by_watch, moved) == since


@examples(80)
@given(cases(), st.data())
def test_a_clerk_measures_the_same_time(case: tuple[WorkCalendar, datetime], data: st.DataObject) -> None:
    calendar, a = case
    b = data.draw(st.one_of(starts, at_an_edge(calendar)))
    assert elapsed(calendar, a, b) == Elapsed(*Clerk(calendar).elapsed(a, b))


around_new_year = st.integers(-25 * 86_400, 25 * 86_400).map(
    lambda n: datetime(2027, 1, 1, tzinfo=UTC) + n * SECONDS[2]
)
winter = st.dictionaries(
    st.dates(date(2026, 11, 20), date(2027, 2, 20)), st.sampled_from([*DAY_SHAPES[:2], []]), max_size=40
)  # fmt: skip


@examples(150)
@given(around_new_year, limits, winter, winter, st.booleans(), st.sampled_from(["Asia/Shanghai", "America/New_York"]))
def test_what_is_not_provisional_hangs_on_no_day_of_an_unpublished_year(
    start: datetime, limit: Limit, days: dict[date, Any], others: dict[date, Any], early: bool, zone: str
) -> None:
    """Whatever the State Council may yet decide of that year, the deadline stays where it is."""
    known = 2026 if early else 2027
    spec = {"time_zone": zone, "week": dict.fromkeys(WEEKDAYS[:5], DAY_SHAPES[0]), "published": [known]}
    told = {day: hours for day, hours in days.items() if day.year == known}
    first, second = (
        WorkCalendar.from_spec({**spec, "days": {day.isoformat(): hours for day, hours in {**laid, **told}.items()}})
        for laid in (
            {day: hours for day, hours in days.items() if day.year != known},
            {day: hours for day, hours in others.items() if day.year != known},
        )
    )
    answer = due(first, start, limit)
    if not answer.provisional:
        assert due(second, start, limit) == answer
