"""Verify and repair: deadlines that were tampered with, lost or made up are listed, and mended from the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlmodel import col
from typer.testing import CliRunner

from app.cli import build
from app.config import get_settings
from app.domain.tickets.life import life_until
from app.models import Deadline, SupervisionOrder, Suspension, Ticket, TicketEvent
from app.services.audit import seals
from app.services.deadlines import verify
from app.services.deadlines.differences import Difference
from tests.integration.office import DUE, START, Office, moment, working

WRONG = DUE + timedelta(days=1)
NOW = moment("03-04 10:00")


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        yield office


def differing(office: Office, *, mend: bool = False, live_only: bool = False) -> list[Difference]:
    return list(
        verify.verify(
            office.database,
            office.runtime.reference,
            now=NOW,
            repair_by="system:test" if mend else None,
            live_only=live_only,
        )
    )


def spoil(office: Office, ticket_id: int, target: str, **values: Any) -> None:
    with office.database.write() as session:
        row = update(Deadline).where(col(Deadline.ticket_id) == ticket_id, col(Deadline.target) == target)
        session.execute(row.values(**values))


def test_an_untouched_database_differs_in_nothing(office: Office) -> None:
    office.ticket()
    office.tickets(3)
    assert differing(office) == []


def test_verify_names_a_wrong_deadline_and_writes_nothing(office: Office) -> None:
    ticket = office.ticket()
    spoil(office, ticket, "complete", due_at=WRONG)
    (found,) = differing(office)
    assert (found.ticket_id, found.target, found.what, found.stored, found.recomputed) == (
        ticket, "complete", "due_at", WRONG, DUE,
    )  # fmt: skip
    assert office.deadline(ticket, "complete").due_at == WRONG
    assert "deadline_mended" not in office.events(ticket)


def test_repair_writes_the_right_deadline_and_an_event(office: Office) -> None:
    ticket = office.ticket()
    spoil(office, ticket, "complete", due_at=WRONG)
    with office.database.write() as session:
        session.execute(update(Ticket).where(col(Ticket.id) == ticket).values(due_at=WRONG, next_check_at=None))
    assert {found.what for found in differing(office, mend=True)} == {"due_at", "ticket.due_at"}
    row, kept = office.deadline(ticket, "complete"), office.get(ticket)
    assert (row.due_at, row.revision, kept.due_at) == (DUE, 2, DUE)
    assert kept.next_check_at is not None
    event = office.all(TicketEvent, ticket)[-1]
    assert event.type == "deadline_mended"
    move = event.data["deadlines"]["complete"]
    assert (move["from"], move["to"]) == ("2026-03-10T09:30:00Z", "2026-03-09T09:30:00Z")
    assert seals.verify(office.database) is None
    assert differing(office) == []
    told = life_until([(e.type, e.at, e.data) for e in office.all(TicketEvent, ticket)], NOW, included=True)
    assert told.due["complete"] == DUE


def test_a_late_red_card_is_raised_after_mending(office: Office) -> None:
    ticket = office.ticket()
    spoil(office, ticket, "complete", due_at=DUE + timedelta(days=300))
    with office.database.write() as session:
        session.execute(update(Ticket).where(col(Ticket.id) == ticket).values(next_check_at=DUE + timedelta(days=300)))
    assert office.sweep(DUE + timedelta(minutes=1)).alerts == 0
    differing(office, mend=True)
    office.sweep(DUE + timedelta(minutes=1))
    assert office.get(ticket).card == "red"


@pytest.mark.parametrize("column", ["met_at", "cancelled_at"])
def test_a_falsely_ended_deadline_is_found_and_reopened(office: Office, column: str) -> None:
    ticket = office.ticket()
    spoil(office, ticket, "complete", **{column: START})
    assert column in {found.what for found in differing(office)}
    differing(office, mend=True)
    row = office.deadline(ticket, "complete")
    assert (row.met_at, row.cancelled_at) == (None, None)
    assert differing(office) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("started_at", START - timedelta(days=1)), ("extended_days", 3), ("provisional", True), ("calendar_id", None),
     ("limit", {"unit": "working_days", "amount": 9, "ends": "close", "count_first_day": False})],
)  # fmt: skip
def test_the_inputs_of_a_deadline_are_checked_against_the_events(office: Office, column: str, value: Any) -> None:
    """The deadline is right as it stands, and the next move would start from something wrong."""
    ticket = office.ticket()
    before = office.deadline(ticket, "complete")
    spoil(office, ticket, "complete", **{column: value})
    assert [found.what for found in differing(office)] == [column.removesuffix("_id")]
    differing(office, mend=True)
    row = office.deadline(ticket, "complete")
    assert getattr(row, column) == getattr(before, column)
    assert (row.due_at, row.revision) == (DUE, 1), "it has not moved"
    assert differing(office) == []


def test_a_suspension_tampered_with_lost_or_made_up_is_mended(office: Office) -> None:
    changed, lost, made_up = office.ticket(), office.ticket(), office.ticket()
    for ticket in (changed, lost):
        office.act(ticket, "suspend", moment("03-03 10:00"), reason="等鉴定")
        office.act(ticket, "resume", moment("03-04 10:00"))
    with office.database.write() as session:
        s: Any = Suspension
        session.execute(update(Suspension).where(s.ticket_id == changed).values(to_at=moment("03-06 10:00")))
        session.execute(delete(Suspension).where(s.ticket_id == lost))
        session.add(Suspension(ticket_id=made_up, from_at=START, to_at=DUE, reason="", actor="x"))
    assert [(found.ticket_id, found.what) for found in differing(office, mend=True)] == [
        (ticket, "suspension") for ticket in (changed, lost, made_up)
    ]
    spans = {(s.ticket_id, s.from_at, s.to_at) for s in office.all(Suspension)}
    assert spans == {(t, moment("03-03 10:00"), moment("03-04 10:00")) for t in (changed, lost)}
    assert differing(office) == []


def test_the_copies_on_the_ticket_and_its_order_are_mended(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE + timedelta(minutes=1))
    (order,) = office.orders(ticket)
    with office.database.write() as session:
        session.execute(update(SupervisionOrder).values(due_at=WRONG + timedelta(days=9)))
        session.execute(update(Ticket).values(provisional=True))
    assert {found.what for found in differing(office, mend=True)} == {"order.due_at", "ticket.provisional"}
    assert office.orders(ticket)[0].due_at == order.due_at
    assert not office.get(ticket).provisional


def test_a_lost_row_is_written_again_and_one_made_up_is_ended(office: Office) -> None:
    lost, made_up = office.ticket(), office.ticket()
    with office.database.write() as session:
        session.execute(delete(Deadline).where(col(Deadline.ticket_id) == lost, col(Deadline.target) == "complete"))
        session.add(Deadline(ticket_id=made_up, target="callback", started_at=START, due_at=DUE))
    assert {(found.ticket_id, found.what) for found in differing(office, mend=True)} == {
        (lost, "missing"), (made_up, "unknown"),
    }  # fmt: skip
    row = office.deadline(lost, "complete")
    assert (row.started_at, row.due_at, row.limit and row.limit["amount"]) == (START, DUE, 5)
    assert office.deadline(made_up, "callback").cancelled_at == NOW
    assert differing(office) == []


def test_closed_tickets_are_looked_at_unless_left_out(office: Office) -> None:
    ticket = office.ticket()
    office.act(ticket, "complete", moment("03-03 10:00"), result="好")
    office.call_back(ticket, moment("03-03 15:00"), "satisfied")
    spoil(office, ticket, "complete", due_at=WRONG)
    assert [found.what for found in differing(office)] == ["due_at"]
    assert differing(office, live_only=True) == []
    differing(office, mend=True)
    assert differing(office) == []
    assert office.get(ticket).next_check_at is None


def test_rebuilding_covers_suspension_extension_and_reopening(office: Office) -> None:
    ticket = office.ticket()
    office.act(ticket, "suspend", moment("03-03 10:00"), reason="等鉴定")
    office.act(ticket, "resume", moment("03-05 10:00"))
    office.act(ticket, "reassign", moment("03-05 11:00"), unit="CG", reason="职责")
    office.act(ticket, "accept", moment("03-05 12:00"))
    office.act(ticket, "complete", moment("03-06 10:00"), result="好")
    office.call_back(ticket, moment("03-06 15:00"), "dissatisfied")
    office.act(ticket, "suspend", moment("03-07 10:00"), reason="等材料")
    assert differing(office) == []
    spoil(office, ticket, "supervise", due_at=WRONG)
    assert [found.target for found in differing(office)] == ["supervise"]


def test_progress_counts_every_ticket(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "BATCH", 2)
    office.tickets(5)
    seen: list[tuple[int, int]] = []
    found = verify.verify(office.database, office.runtime.reference, now=NOW,
                          on_progress=lambda done: seen.append((done.tickets, done.total)))  # fmt: skip
    assert list(found) == []
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_the_command_says_what_differs_and_with_which_exit_code(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working(database_url) as office:
        ticket = office.ticket()
        spoil(office, ticket, "complete", due_at=WRONG)
    monkeypatch.setenv("DUBAN_DATABASE_URL", database_url)
    monkeypatch.setenv("DUBAN_LANG", "en")
    get_settings.cache_clear()
    run = CliRunner()
    app = build(["deadlines"])
    try:
        wrong = run.invoke(app, ["deadlines", "verify"])
        assert wrong.exit_code == 1
        assert "stored 2026-03-10T17:30:00+08:00\trecomputed 2026-03-09T17:30:00+08:00" in wrong.stdout
        mended = run.invoke(app, ["deadlines", "verify", "--mend"])
        assert (mended.exit_code, mended.stdout.splitlines()[-1]) == (0, "1 tickets, 3 deadlines: 1 differ; 1 repaired")
        right = run.invoke(app, ["deadlines", "verify", "--json"])
        assert right.exit_code == 0
        assert '"differing": 0' in right.stdout
    finally:
        get_settings.cache_clear()
