"""What the code computes is what a clerk counts out by hand (``tests.clerk``): any calendar, any limit, all changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.time.due import Elapsed, Limit, due, elapsed
from app.domain.time.receipt import receipt
from app.domain.time.workcalendar import WEEKDAYS
from app.schemas.calendar_document import read_calendar
from tests.clerk import Clerk, merged
from tests.unit.domain.time.test_due_properties import (
    DAY_SHAPES,
    ENDS,
    FIRST,
    LAST,
    calendars,
    examples,
    limits,
    starts,
)

SECOND = timedelta(seconds=1)
Held = Sequence[tuple[datetime, datetime]]
Case = tuple[Clerk, datetime]


@st.composite
def at_an_edge(draw: st.DrawFn, clerk: Clerk) -> datetime:
    """A moment on an opening, a close or a midnight, or a second beside it."""
    day = draw(st.dates(FIRST.date(), LAST.date()))
    spans = clerk.spans(day) or clerk.spans(clerk.step(day, 1, True))
    sorts = ([clerk.midnight(day)], [a for a, _ in spans], [b for _, b in spans])
    return draw(st.sampled_from(draw(st.sampled_from(sorts)))) + draw(st.sampled_from((0, 0, -1, 1))) * SECOND


def moments(clerk: Clerk) -> st.SearchStrategy[datetime]:
    """Moments, most of them where something begins or ends: that is where mistakes are made."""
    edges = at_an_edge(clerk)
    return st.one_of(starts, edges, edges, edges)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A clerk with a calendar, and a start."""
    clerk = Clerk(draw(calendars()))
    return clerk, draw(moments(clerk))


@st.composite
def held_cases(draw: st.DrawFn, of: st.SearchStrategy[Limit]) -> tuple[Case, Limit, list[tuple[datetime, datetime]]]:
    """A clerk, a start, a limit, and suspensions from its life; one may begin at the very moment it is due."""
    case, limit = draw(cases()), draw(of)
    clerk, start = case
    plain = clerk.due(start, limit)
    within = st.integers(0, max(1, int((plain - start).total_seconds()))).map(lambda n: start + n * SECOND)
    begin = st.one_of(moments(clerk), within, within, st.sampled_from([plain - SECOND, plain, plain + SECOND]))

    def end(a: datetime) -> st.SearchStrategy[datetime]:
        """After some time, or after whole working days, which keep the form of a limit's end."""
        whole = st.sampled_from([clerk.due(a, Limit("working_days", n, "same_time")) for n in (1, 2)])
        return st.one_of(
            st.integers(0, 400_000).map(lambda n: a + n * SECOND), whole, moments(clerk).filter(lambda b: b >= a)
        )

    held = []
    for _ in range(draw(st.integers(0, 3))):
        a = draw(begin)
        held.append((a, draw(end(a))))
    return case, limit, held


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


@examples(250)
@given(cases(), st.one_of(limits, zero))
def test_a_limit_ends_where_a_clerk_says_it_does(case: Case, limit: Limit) -> None:
    clerk, start = case
    assert due(clerk.calendar, start, limit).due_at == clerk.due(start, limit)


@examples(200)
@given(held_cases(limits.filter(lambda limit: limit.amount > 0)), more)
def test_so_does_one_that_was_suspended_and_extended(told: tuple[Case, Limit, Held], extensions: list[Limit]) -> None:
    (clerk, start), limit, held = told
    answer = due(clerk.calendar, start, limit, suspensions=held, extensions=extensions)
    assert answer.due_at == clerk.due(start, limit, held, extensions)
    assert receipt(clerk.calendar, start, limit, suspensions=held, extensions=extensions).due_at == answer.due_at


@examples(80)
@given(held_cases(limits.filter(lambda limit: limit.working and limit.amount > 0)))
def test_suspensions_match_a_clock_that_is_stopped_by_hand(told: tuple[Case, Limit, Held]) -> None:
    """Not "the deadline, and what was suspended after it", but: so much work, and the watch stands meanwhile."""
    (clerk, start), limit, held = told
    plain = clerk.due(start, limit)
    length = clerk.worked(start, plain) if plain > start else timedelta()
    moved = due(clerk.calendar, start, limit, suspensions=held).due_at
    if length and limit.unit == "working_hours":
        assert moved == clerk.run(start, length, held)
    elif length and moved != plain:
        # a deadline that ends outside hours is in force a while longer than the watch runs
        by_watch = clerk.run(start, length, held)
        since = sum((clerk.worked(a, b) for a, b in merged(held) if by_watch <= a < moved), timedelta())
        assert clerk.worked(by_watch, moved) == since


@examples(80)
@given(cases(), st.data())
def test_a_clerk_measures_the_same_time(case: Case, data: st.DataObject) -> None:
    clerk, a = case
    b = data.draw(moments(clerk))
    assert elapsed(clerk.calendar, a, b) == Elapsed(*clerk.elapsed(a, b))


around_new_year = st.integers(-25 * 86_400, 25 * 86_400).map(lambda n: datetime(2027, 1, 1, tzinfo=UTC) + n * SECOND)
winter = st.dictionaries(
    st.dates(date(2026, 11, 20), date(2027, 2, 20)), st.sampled_from([*DAY_SHAPES[:2], []]), max_size=40
)  # fmt: skip


@examples(150)
@given(around_new_year, limits, winter, winter, st.booleans(), st.sampled_from(["Asia/Shanghai", "America/New_York"]))
def test_a_firm_deadline_depends_on_no_unpublished_year(
    start: datetime, limit: Limit, days: dict[date, Any], others: dict[date, Any], early: bool, zone: str
) -> None:
    """Whatever the State Council may yet decide of that year, the deadline stays where it is."""
    known = 2026 if early else 2027
    spec = {"time_zone": zone, "week": dict.fromkeys(WEEKDAYS[:5], DAY_SHAPES[0]), "published": [known]}
    told = {day: hours for day, hours in days.items() if day.year == known}
    first, second = (
        read_calendar({**spec, "days": {day.isoformat(): hours for day, hours in {**laid, **told}.items()}})
        for laid in (
            {day: hours for day, hours in days.items() if day.year != known},
            {day: hours for day, hours in others.items() if day.year != known},
        )
    )
    answer = due(first, start, limit)
    if not answer.provisional:
        assert due(second, start, limit) == answer
