"""The unit of work: one moment, one place that commits, and the feed's counter as the last lock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from app import clock
from app.errors import Conflict
from app.models import AlertFeed
from app.services.alerts import book as alerts
from app.services.core.unit_of_work import UnitOfWork
from app.services.supervision.sweep import sweep
from app.store.supervision import lock_ticket
from tests.integration.office import DUE, SUPERVISOR, Office, working


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    """An office on an empty database."""
    with working(database_url) as found:
        yield found


def refused(uow: UnitOfWork, ticket: int) -> None:
    """Resolve the alerts of a ticket, and refuse after that."""
    alerts.resolve(uow, lock_ticket(uow.session, ticket), None, resolution="test")
    raise Conflict("试", "test")


def fed(office: Office) -> list[tuple[int, str, datetime]]:
    """The alert feed: number, kind and moment."""
    return [(entry.id, entry.kind, entry.at) for entry in office.all(AlertFeed)]


def test_the_clock_is_read_once_after_the_begin(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[datetime] = []

    def now() -> datetime:
        read.append(DUE)
        return DUE

    monkeypatch.setattr(clock, "now", now)
    with office.runtime.writing() as uow:
        assert uow.session.in_transaction()
        assert (uow.now, uow.now) == (DUE, DUE)
    assert read == [DUE]


def test_nothing_is_committed_where_the_block_raises(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE)
    before = fed(office)
    with pytest.raises(Conflict), office.runtime.writing(DUE) as uow:
        refused(uow, ticket)
    assert (fed(office), office.alerts(ticket)[0].state) == (before, "open")


def test_a_savepoint_takes_its_pending_entries_back(office: Office) -> None:
    one, other = office.ticket(), office.ticket()
    office.sweep(DUE)
    before = len(fed(office))
    with office.runtime.writing(DUE) as uow:
        with pytest.raises(Conflict), uow.savepoint():
            refused(uow, one)
        with uow.savepoint():
            alerts.resolve(uow, lock_ticket(uow.session, other), None, resolution="test")
    assert (office.alerts(one)[0].state, office.alerts(other)[0].state) == ("open", "resolved")
    assert [kind for _, kind, _ in fed(office)[before:]] == ["resolved"]


def test_entries_keep_the_moment_of_their_step(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE)
    (alert,) = office.alerts(ticket)
    later = datetime(2026, 3, 10, tzinfo=UTC)
    with office.runtime.writing(DUE) as uow:
        uow.note_alert(alert.id, "raised")
        uow.at(later).note_alert(alert.id, "acked")
    first, *_, last_but_one, last = fed(office)
    assert (first[0], last_but_one[1:], last[1:]) == (1, ("raised", DUE), ("acked", later))
    assert last[0] == last_but_one[0] + 1


@pytest.mark.parametrize("use_case", ["acknowledge", "sweep"])
def test_the_feed_counter_is_the_last_lock_taken(office: Office, use_case: str) -> None:
    ticket = office.ticket()
    if use_case == "acknowledge":
        office.sweep(DUE)
    said: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append(f"{statement} {parameters}".lower())

    event.listen(office.database.engine, "before_cursor_execute", listen)
    if use_case == "acknowledge":
        with office.runtime.writing(DUE) as uow:
            alerts.acknowledge(uow, SUPERVISOR, office.alerts(ticket)[0].id or 0)
    else:
        sweep(office.database, office.runtime.reference, DUE)
    at = next(n for n, text in enumerate(said) if "insert into counter" in text and "alert_feed" in text)
    writes = [
        text for text in said[at + 1 :] if text.startswith(("insert", "update", "delete")) or "for update" in text
    ]
    assert [text.split("(")[0].strip() for text in writes] == ["insert into alert_feed"]
    assert any(text.startswith("update ticket") or "insert into ticket_event" in text for text in said[:at])
