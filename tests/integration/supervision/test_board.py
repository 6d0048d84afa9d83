"""The board's counters and columns, on both databases: what is counted is what is listed."""

from __future__ import annotations

import pytest

from app import clock
from app.errors import Forbidden
from app.security.principal import SYSTEM, Principal
from app.services.alerts import board
from app.services.alerts.board import COLUMNS, BoardFilter
from app.services.supervision.sweep import sweep
from tests.support import Service, at


def tally_and_list(service: Service, who: Principal, f: BoardFilter) -> dict[str, tuple[int, int]]:
    with service.runtime.database.read() as session:
        counted = board.tallies(session, who, f)
        return {card: (counted[card].live, len(board.column(session, who, f, card, limit=500))) for card in COLUMNS}


@pytest.fixture
def filled(service: Service) -> Service:
    """Three tickets that have been overdue since 9 November 2026, with the alerts of one sweep."""
    for unit in ("GA", "GA-1", "CG"):
        ticket = service.push(received_at=at("2026-11-02 09:00"))["id"]
        service.act(ticket, "dispatch", unit=unit, at=at("2026-11-02 09:05"))
    sweep(service.runtime.database, service.runtime.reference, clock.now())
    return service


@pytest.mark.parametrize(
    "f", [BoardFilter(), BoardFilter(target="complete"), BoardFilter(state="open"), BoardFilter(state="acked")]
)
def test_each_counter_is_the_length_of_its_column(filled: Service, f: BoardFilter) -> None:
    found = tally_and_list(filled, SYSTEM, f)
    assert all(live == listed for live, listed in found.values())
    assert (sum(live for live, _ in found.values()) > 0) is (f.state != "acked")


def test_acknowledged_alerts_stay_counted_and_are_no_longer_open(filled: Service) -> None:
    with filled.runtime.database.read() as session:
        before = board.tallies(session, SYSTEM, BoardFilter())
        alert = board.column(session, SYSTEM, BoardFilter(), "red", limit=1)[0][0]
    filled.call("POST", f"/alerts/{alert.id}/ack")
    with filled.runtime.database.read() as session:
        after = board.tallies(session, SYSTEM, BoardFilter())
    assert after["red"].live == before["red"].live == 3
    assert after["red"].open == before["red"].open - 1


def test_a_unit_counts_its_subtree_and_the_office_filters_by_it(filled: Service) -> None:
    with filled.runtime.reading() as (_, ref):
        node = ref.unit_by_code("GA")
        assert node is not None
    unit = Principal("user:x", "x", "unit", node.id, node.path)
    assert tally_and_list(filled, unit, BoardFilter())["red"] == (2, 2)
    assert tally_and_list(filled, SYSTEM, BoardFilter(unit_id=node.id))["red"] == (2, 2)
    assert tally_and_list(filled, SYSTEM, BoardFilter())["red"] == (3, 3)


def test_columns_go_on_below_an_id(filled: Service) -> None:
    with filled.runtime.database.read() as session:
        first = board.column(session, SYSTEM, BoardFilter(), "red", limit=2)
        rest = board.column(session, SYSTEM, BoardFilter(), "red", before=first[-1][0].id, limit=2)
    ids = [alert.id for alert, _ in first + rest]
    assert len(ids) == 3
    assert ids == sorted(ids, reverse=True)  # type: ignore[type-var]


def test_an_integrator_sees_no_board(filled: Service) -> None:
    with pytest.raises(Forbidden), filled.runtime.database.read() as session:
        board.tallies(session, Principal("key:1", "k", "integrator", source_id=1), BoardFilter())
