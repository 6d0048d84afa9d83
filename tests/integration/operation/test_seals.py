"""The walk over chains and seals finds what was tampered with, and names the ticket, the event and what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, delete, text, update
from sqlmodel import Session, col

from app.models import Deadline, Seal, SealEntry, Ticket, TicketEvent
from app.security.hash_chain import link
from app.services.audit import seals
from tests.integration.office import START, Office, working

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        yield office


def tampered(office: Office, work: Callable[[Session], object]) -> seals.BrokenLink | None:
    """What the walk says after ``work`` was done behind the service's back, with foreign keys out of force."""
    engine = create_engine(office.database.url)
    with Session(engine) as session:
        if engine.dialect.name == "postgresql":
            session.execute(text("SET session_replication_role = replica"))
        work(session)
        session.commit()
    engine.dispose()
    return seals.verify(office.database)


def test_honest_work_is_intact_sealed_or_not(office: Office) -> None:
    assert seals.verify(office.database) is None
    ticket = office.ticket()
    assert seals.verify(office.database) is None
    assert seals.seal_all(office.database, START) == 1
    assert seals.verify(office.database) is None
    office.act(ticket, "suspend", START + HOUR, reason="等待")
    assert seals.verify(office.database) is None


def test_only_chains_that_grew_are_sealed_again(office: Office) -> None:
    first, second = office.ticket(), office.ticket()
    assert seals.seal_all(office.database, START) == 2
    assert seals.seal_all(office.database, START + HOUR) == 0
    office.act(second, "suspend", START + HOUR, reason="等待")
    assert seals.seal_all(office.database, START + HOUR) == 1
    assert [(e.ticket_id, e.seq) for e in office.all(SealEntry)] == [(first, 4), (second, 4), (second, 5)]
    one, two = office.all(Seal)
    assert (two.prev_root, two.entries) == (one.root, 1)


def test_a_backdated_chain_is_found_by_full_verification(office: Office) -> None:
    office.ticket()
    seals.seal_all(office.database, START + 9 * HOUR)
    office.ticket()  # its events are dated before the last seal, by more than the overlap
    assert seals.seal_all(office.database, START + 10 * HOUR) == 0
    assert seals.seal_all(office.database, START + 10 * HOUR, full=True) == 1


def test_a_large_number_of_heads_takes_several_seals(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "MOST_ENTRIES", 3)
    office.tickets(8)
    assert seals.seal_all(office.database, START) == 8
    assert [seal.entries for seal in office.all(Seal)] == [3, 3, 2]
    assert seals.verify(office.database) is None


def test_a_changed_event_is_named(office: Office) -> None:
    office.ticket()
    ticket = office.ticket()
    found = tampered(
        office,
        lambda s: s.execute(
            update(TicketEvent)
            .where(col(TicketEvent.ticket_id) == ticket, col(TicketEvent.seq) == 2)
            .values(actor="user:nobody")
        ),
    )
    assert found is not None
    assert (found.ticket_id, found.seq, found.what) == (ticket, 2, "event_changed")


@pytest.mark.parametrize("seq", [1, 2, 4], ids=["first", "in the middle", "last"])
def test_a_removed_event_is_named(office: Office, seq: int) -> None:
    ticket = office.ticket()
    found = tampered(
        office,
        lambda s: s.execute(
            delete(TicketEvent).where(col(TicketEvent.ticket_id) == ticket, col(TicketEvent.seq) == seq)
        ),
    )
    assert found is not None
    assert (found.ticket_id, found.seq, found.what) == (ticket, seq, "event_removed")


def test_a_last_event_removed_with_its_head_is_found_by_the_seal(office: Office) -> None:
    ticket = office.ticket()
    seals.seal_all(office.database, START)
    before = office.all(TicketEvent, ticket)[2]

    def work(session: Session) -> None:
        session.execute(delete(TicketEvent).where(col(TicketEvent.ticket_id) == ticket, col(TicketEvent.seq) == 4))
        session.execute(update(Ticket).where(col(Ticket.id) == ticket).values(head_seq=3, head_hash=before.hash))

    found = tampered(office, work)
    assert found is not None
    assert (found.ticket_id, found.seq, found.what) == (ticket, 4, "event_removed")


def test_a_changed_head_is_named(office: Office) -> None:
    ticket = office.ticket()
    found = tampered(
        office, lambda s: s.execute(update(Ticket).where(col(Ticket.id) == ticket).values(head_hash="0" * 64))
    )
    assert found is not None
    assert (found.ticket_id, found.seq, found.what) == (ticket, 4, "head_changed")


def remove(session: Session, ticket: int, *, events: bool) -> None:
    session.execute(delete(Deadline).where(col(Deadline.ticket_id) == ticket))
    if events:
        session.execute(delete(TicketEvent).where(col(TicketEvent.ticket_id) == ticket))
    session.execute(delete(Ticket).where(col(Ticket.id) == ticket))


def test_a_ticket_removed_with_its_events_is_found_by_the_seal(office: Office) -> None:
    office.ticket()
    ticket = office.ticket()
    seals.seal_all(office.database, START)
    found = tampered(office, lambda s: remove(s, ticket, events=True))
    assert found is not None
    assert (found.ticket_id, found.seq, found.what, found.seal_id) == (ticket, 4, "ticket_removed", 1)


def test_a_rewritten_chain_with_valid_hashes_fails_its_seal(office: Office) -> None:
    ticket = office.ticket()
    seals.seal_all(office.database, START)

    def work(session: Session) -> None:
        digest = ""
        for event in office.all(TicketEvent, ticket):
            actor = "user:nobody" if event.seq == 3 else event.actor
            fresh = link(digest, ticket, event.seq, event.type, event.at, event.recorded_at, actor, event.data)
            row = {"actor": actor, "prev_hash": digest, "hash": fresh}
            where = (col(TicketEvent.ticket_id) == ticket, col(TicketEvent.seq) == event.seq)
            session.execute(update(TicketEvent).where(*where).values(**row))
            digest = fresh
        session.execute(update(Ticket).where(col(Ticket.id) == ticket).values(head_hash=digest))

    found = tampered(office, work)
    assert found is not None
    assert (found.ticket_id, found.seq, found.what) == (ticket, 4, "chain_rewritten")


BROKEN_SEALS: list[tuple[str, Callable[[Session], object], int]] = [
    ("its root changed", lambda s: s.execute(update(Seal).where(col(Seal.id) == 1).values(root="0" * 64)), 1),
    ("an entry changed", lambda s: s.execute(update(SealEntry).where(col(SealEntry.seal_id) == 1).values(hash="0")), 1),
    ("an entry removed", lambda s: s.execute(delete(SealEntry).where(col(SealEntry.seal_id) == 2)), 2),
    ("a seal removed", lambda s: s.execute(delete(Seal).where(col(Seal.id) == 1)), 2),
]


@pytest.mark.parametrize(("work", "seal"), [b[1:] for b in BROKEN_SEALS], ids=[b[0] for b in BROKEN_SEALS])
def test_a_broken_seal_is_named(office: Office, work: Callable[[Session], object], seal: int) -> None:
    office.ticket()
    seals.seal_all(office.database, START)
    office.ticket()
    seals.seal_all(office.database, START)
    found = tampered(office, work)
    assert found is not None
    assert (found.what, found.seal_id) == ("seal_broken", seal)
    assert str(seal) in str(found)


def test_what_is_found_can_be_printed_as_one_object(office: Office) -> None:
    ticket = office.ticket()
    found = tampered(
        office, lambda s: s.execute(update(Ticket).where(col(Ticket.id) == ticket).values(head_hash="0" * 64))
    )
    assert found is not None
    assert found.to_json()["ticket_id"] == ticket
    assert str(ticket) in found.to_json()["detail_en"]
