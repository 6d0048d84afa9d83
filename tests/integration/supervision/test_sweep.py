"""The sweep: what it raises, that it raises it once, and what survives several sweepers and a killed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from app.domain.supervision import ladder
from app.domain.supervision.ladder import Decision, TicketFacts
from app.models import AlertFeed, Extension, SweepRun, Ticket, TicketEvent
from app.services.alerts import book as alerts
from app.services.audit.seals import verify
from app.services.orders import book as order_book
from app.services.supervision import sweep as sweep_module
from app.services.supervision.sweep import record_run
from app.services.tickets import extensions
from tests.integration.office import ACCEPT_DUE, DUE, START, SUPERVISOR, Office, moment, working
from tests.waiting import until

SECOND = timedelta(seconds=1)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        yield office


def raised(office: Office, ticket_id: int | None = None) -> list[tuple[str, str]]:
    return [(alert.target, alert.rung) for alert in office.alerts(ticket_id)]


def check_once(office: Office, ids: list[int]) -> None:
    """Whatever happened: one red card, one order and one event of each for every ticket; feed and numbers gapless."""
    found = office.alerts()
    keys = Counter((a.ticket_id, a.target, a.round, a.revision, a.rung) for a in found)
    assert max(keys.values()) == 1
    assert {a.ticket_id for a in found if a.rung == "complete_due"} == set(ids)
    orders = office.orders()
    assert Counter(o.ticket_id for o in orders) == Counter(ids)
    assert sorted(o.serial for o in orders) == list(range(1, len(ids) + 1))
    feed = [entry.id for entry in office.all(AlertFeed)]
    assert feed == list(range(1, len(found) + len([a for a in found if a.resolution == "superseded"]) + 1))
    events = Counter((e.ticket_id, e.type) for e in office.all(TicketEvent))
    for ticket_id in ids:
        assert events[ticket_id, "supervision_order_issued"] == 1
        assert events[ticket_id, "alert_raised"] == sum(1 for a in found if a.ticket_id == ticket_id)
    assert verify(office.database) is None


def test_the_red_card_is_raised_at_the_deadline_not_before(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE - SECOND)
    assert raised(office) == [("complete", "complete_t1")]
    result = office.sweep(DUE)
    assert (result.alerts, result.issued) == (1, 1)
    assert raised(office) == [("complete", "complete_t1"), ("complete", "complete_due")]
    stands = office.get(ticket)
    assert (stands.card, stands.stage, stands.supervised) == ("red", "urged", True)
    assert office.events(ticket)[-3:] == ["alert_raised", "supervision_order_issued", "stage_raised"]


def test_frequent_sweeps_raise_reminder_yellow_and_red_in_turn(office: Office) -> None:
    ticket = office.ticket()
    for text in ("03-05 17:30", "03-06 17:30", "03-09 17:30"):
        assert office.get(ticket).next_check_at == moment(text)
        office.sweep(moment(text))
    assert [(a.rung, a.card, a.breach_at) for a in office.alerts(ticket)] == [
        ("complete_t2", None, moment("03-05 17:30")),
        ("complete_t1", "yellow", moment("03-06 17:30")),
        ("complete_due", "red", DUE),
    ]


def test_a_higher_rung_replaces_the_lower_of_the_same_deadline(office: Office) -> None:
    ticket, later = office.ticket(), office.ticket(start=START + timedelta(days=1))
    for text in ("03-05 17:30", "03-06 17:30", "03-09 17:30"):
        office.sweep(moment(text))
        if text == "03-05 17:30":
            with office.runtime.writing(moment("03-05 18:00")) as uow:
                alerts.acknowledge(uow, SUPERVISOR, office.alerts(ticket)[0].id or 0)
    assert [(a.rung, a.state, a.resolution, a.resolved_at) for a in office.alerts(ticket)] == [
        ("complete_t2", "resolved", "superseded", moment("03-06 17:30")),
        ("complete_t1", "resolved", "superseded", DUE),
        ("complete_due", "open", None, None),
    ]
    assert [(a.rung, a.state) for a in office.alerts(later)] == [
        ("complete_t2", "resolved"), ("complete_t1", "open")
    ]  # fmt: skip
    told = [(entry.alert_id, entry.kind) for entry in office.all(AlertFeed)]
    assert len(told) == len(set(told)) == 9, "five raised, one acknowledged, three settled: each told once"
    assert office.get(ticket).card == "red"


def test_a_late_sweep_raises_only_the_highest_rung_naming_others(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE + timedelta(days=20))
    (alert,) = office.alerts(ticket)
    assert (alert.rung, alert.passed_over) == ("complete_due", ["complete_t2", "complete_t1"])
    assert (alert.breach_at, alert.raised_at) == (DUE, DUE + timedelta(days=20))


def test_a_second_sweep_at_the_same_moment_does_nothing(office: Office) -> None:
    ids = office.tickets(7)
    first = office.sweep(DUE, batch=3)
    before = [(office.get(i).version, office.get(i).head_hash) for i in ids]
    assert (first.checked, first.issued) == (7, 7)
    again = office.sweep(DUE, batch=3)
    assert (again.checked, again.alerts, again.orders) == (0, 0, 0)
    assert [(office.get(i).version, office.get(i).head_hash) for i in ids] == before
    check_once(office, ids)


def test_an_expired_order_gets_a_second_term_then_goes_in_depth(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE)
    (order,) = office.orders(ticket)
    assert (order.term, order.due_at) == (1, moment("03-12 17:30"))
    office.sweep(order.due_at)
    (order,) = office.orders(ticket)
    assert (order.term, order.due_at) == (2, moment("03-17 17:30"))
    assert office.get(ticket).stage == "focused"
    office.sweep(order.due_at)
    (order,) = office.orders(ticket)
    assert (order.term, order.state) == (2, "issued")
    assert office.get(ticket).stage == "in_depth"
    assert office.get(ticket).next_check_at is None
    assert office.sweep(DUE + timedelta(days=300)).checked == 0


def test_a_ticket_not_signed_for_gets_a_yellow_card_and_no_order(office: Office) -> None:
    (ticket,) = office.tickets(1)
    office.sweep(ACCEPT_DUE)
    assert ("accept", "accept_due") in raised(office, ticket)
    assert office.get(ticket).card == "yellow"
    assert office.orders() == []


def test_completion_takes_the_cards_away(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE)
    office.act(ticket, "complete", DUE + timedelta(hours=1), result="已修复")
    assert {a.state for a in office.alerts(ticket)} == {"resolved"}
    assert office.get(ticket).card is None


def test_an_extension_arms_the_ladder_again(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(moment("03-06 17:30"))
    (early,) = office.alerts(ticket)
    office.act(ticket, "extend", moment("03-09 09:00"), days=3, reason="需现场勘验")
    approve(office, ticket, moment("03-09 10:00"))
    assert office.deadline(ticket, "complete").due_at == moment("03-12 17:30")
    assert office.alerts(ticket)[0].state == "resolved"
    assert office.get(ticket).card is None
    assert office.get(ticket).next_check_at == moment("03-10 17:30")
    office.sweep(moment("03-11 17:30"))
    later = office.alerts(ticket)[-1]
    assert (later.rung, later.revision, later.breach_at) == ("complete_t1", early.revision + 1, moment("03-11 17:30"))
    assert office.orders() == []


def approve(office: Office, ticket_id: int, now: datetime) -> None:
    (asked,) = office.all(Extension, ticket_id)
    with office.runtime.writing(now) as uow:
        extensions.rule(uow, SUPERVISOR, asked.id, approve=True, params={})


def test_a_suspended_ticket_is_not_swept_until_resumed(office: Office) -> None:
    ticket = office.ticket()
    office.act(ticket, "suspend", moment("03-05 09:00"), reason="等待检测")
    assert office.get(ticket).next_check_at is None
    assert office.sweep(DUE + timedelta(days=9)).checked == 0
    office.act(ticket, "resume", moment("03-10 09:00"))
    assert office.deadline(ticket, "complete").due_at == moment("03-12 17:30")
    office.sweep(moment("03-12 17:30"))
    assert raised(office, ticket) == [("complete", "complete_due")]


def test_history_is_not_woken(office: Office) -> None:
    ticket = office.ticket()
    with office.runtime.writing(START) as uow:
        row = uow.session.get_one(Ticket, ticket)
        row.historical = True
        alerts.reschedule(uow, row)
    assert office.sweep(DUE + timedelta(days=99)).checked == 0


def test_a_rule_that_fails_puts_off_its_own_ticket_and_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = office.tickets(5)
    real: Callable[..., Decision] = ladder.decide
    calls = iter(range(10_000))

    def brittle(facts: TicketFacts, *rest: object) -> Decision:
        if next(calls) == 2:
            raise RuntimeError("a rule that fails")
        return real(facts, *rest)

    monkeypatch.setattr(sweep_module, "decide", brittle)
    result = office.sweep(DUE)
    assert (result.checked, result.postponed, result.issued) == (5, 1, 4)
    assert sorted(office.get(i).next_check_at == DUE + timedelta(minutes=5) for i in ids).count(True) == 1
    assert str(ids[2]) in caplog.text
    office.sweep(DUE + timedelta(minutes=5))
    check_once(office, ids)


def test_a_failing_ticket_is_postponed_and_its_batch_completes(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = office.tickets(5)
    poisoned = ids[3]
    real: Callable[..., object] = order_book.order_step

    def brittle(ref: object, ticket: Ticket, *rest: object, **named: object) -> object:
        if ticket.id == poisoned:
            raise RuntimeError("no policy for this ticket")
        return real(ref, ticket, *rest, **named)

    monkeypatch.setattr(order_book, "order_step", brittle)
    result = office.sweep(DUE)
    assert (result.checked, result.postponed, result.issued) == (5, 1, 4)
    assert office.alerts(poisoned) == []
    assert sorted(o.serial for o in office.orders()) == [1, 2, 3, 4]
    monkeypatch.undo()
    office.sweep(DUE + timedelta(minutes=5))
    check_once(office, ids)


@pytest.mark.server
def test_sweepers_in_several_threads_raise_everything_once(office: Office) -> None:
    ids = office.tickets(60)
    barrier = Barrier(4)
    totals: list[int] = []

    def work() -> None:
        barrier.wait()
        totals.append(office.sweep(DUE, batch=7).alerts)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    office.sweep(DUE)  # a thread may have left rows that another held when it looked
    assert len(totals) == 4
    check_once(office, ids)


SWEEPER = """
import sys
from datetime import datetime
from app.config import Settings
from app.db import Database
from app.services.core.reference import ReferenceCache
from app.services.supervision.sweep import sweep
print("ready", flush=True)
sys.stdin.readline()
sweep(Database(sys.argv[1]), ReferenceCache(), datetime.fromisoformat(sys.argv[2]), batch=int(sys.argv[3]))
"""


def start_sweeper(url: str, batch: int) -> subprocess.Popen[str]:
    """A process that sweeps at the deadline once a line is sent to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEPER, url, DUE.isoformat(), str(batch)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    """Let it sweep."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.server
def test_sweepers_in_two_processes_raise_everything_once(office: Office, database_url: str) -> None:
    ids = office.tickets(80)
    with start_sweeper(database_url, 9) as one, start_sweeper(database_url, 9) as other:
        go(one)
        go(other)
        assert (one.wait(60), other.wait(60)) == (0, 0)
    office.sweep(DUE)
    check_once(office, ids)


@pytest.mark.server
def test_a_sweeper_killed_in_the_middle_leaves_nothing_half_done(office: Office, database_url: str) -> None:
    ids = office.tickets(120)
    killed_midway = 0
    for _ in range(3):
        before = len(office.alerts())
        with start_sweeper(database_url, 5) as process:
            go(process)
            until(lambda at=before + 10, p=process: p.poll() is not None or len(office.alerts()) >= at)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        found = office.alerts()
        killed_midway += before < len(found) < 2 * len(ids)
        assert {o.ticket_id for o in office.orders()} == {a.ticket_id for a in found}
    assert killed_midway > 0
    office.sweep(DUE)
    check_once(office, ids)


def test_a_sweep_notes_when_it_looked(office: Office) -> None:
    office.tickets(1)
    result = office.sweep(DUE)
    for at in (DUE, DUE + SECOND):
        with office.database.write() as session:
            record_run(session, "host:1", at, result)
    (run,) = office.all(SweepRun)
    assert (run.at, run.checked, run.alerts) == (DUE + SECOND, 1, 3)
