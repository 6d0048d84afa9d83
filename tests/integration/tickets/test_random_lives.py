"""Random lives through the real services: what was kept step by step is what the log tells, to the microsecond."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.lives import PHASES, World, contradictions, facts_that_differ, tell, unused

LIVES = 150


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = World.open(database_url)
    yield world
    world.runtime.close()


@pytest.mark.server
def test_random_lives_are_what_their_logs_tell(world: World) -> None:
    tell(world, LIVES, seed=2026)
    assert list(contradictions(world)) == []
    for as_of, month in ((PHASES[0], "2026-02"), (PHASES[1], "2026-02"), (PHASES[2] + timedelta(hours=9), "2026-03")):
        assert list(facts_that_differ(world, as_of, month)) == []
    assert unused([world]) == set(), "each kind of step ought to be taken by one life at least"


@pytest.mark.server
@pytest.mark.parametrize(
    ("column", "what"),
    [("due_at", "due_at"), ("met_at", "met_at"), ("cancelled_at", "cancelled_at"), ("started_at", "started_at")],
)
def test_a_single_microsecond_in_any_row_is_noticed(world: World, column: str, what: str) -> None:
    tell(world, 25, seed=7)
    later = "interval '1 microsecond'" if world.runtime.database.is_postgresql else "1"
    with world.runtime.database.write() as session:
        query = f"SELECT ticket_id, target, round FROM deadline WHERE {column} IS NOT NULL"
        if column in ("due_at", "started_at"):
            query += " AND cancelled_at IS NULL"
        ticket, target, round_ = session.execute(text(f"{query} ORDER BY ticket_id DESC, target, round LIMIT 1")).one()
        session.execute(
            text(
                f"UPDATE deadline SET {column} = {column} + {later} WHERE ticket_id = :t AND target = :g AND round = :r"
            ),
            {"t": ticket, "g": target, "r": round_},
        )
    (found,) = contradictions(world)
    assert f"'ticket': {ticket}," in found
    assert f"'what': '{what}'" in found
