"""Supervision orders: issued once, advanced by later triggers, answered, ruled on, closed with the ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest

from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.models import SupervisionOrder, TicketEvent
from app.security.principal import SYSTEM, Principal
from app.services.alerts import book as alerts
from app.services.audit.seals import verify
from app.services.orders import actions as orders
from app.services.orders import book as order_book
from app.store.supervision import lock_ticket
from tests.integration.office import DUE, LEADER, START, SUPERVISOR, Office, moment, working

HOUR = timedelta(hours=1)
CALLER = Principal("user:hui", "回访", "caller")


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        yield office


def issue(office: Office, ticket: int, now: datetime = START, who: Principal = LEADER, **more: str) -> SupervisionOrder:
    with office.runtime.writing(now) as uow:
        return orders.issue(
            uow, who, ticket, trigger_code=more.get("trigger", "leader"), demand=more.get("demand"),
            signatory=more.get("signatory"),
        )  # fmt: skip


def rule(
    office: Office,
    work: Callable[..., SupervisionOrder],
    order: SupervisionOrder,
    who: Principal,
    text: str,
    now: datetime,
) -> SupervisionOrder:
    with office.runtime.writing(now) as uow:
        return work(uow, who, order.id, text)


def overdue(office: Office) -> tuple[int, SupervisionOrder]:
    """A ticket whose order was issued at its deadline."""
    ticket = office.ticket()
    office.sweep(DUE)
    return ticket, office.orders(ticket)[0]


def test_an_order_is_numbered_in_its_year_without_gaps(office: Office) -> None:
    issued = [issue(office, office.ticket()) for _ in range(3)]
    assert [order_book.number_of(order) for order in issued] == [
        "〔2026〕第 0001 号", "〔2026〕第 0002 号", "〔2026〕第 0003 号"
    ]  # fmt: skip


def test_the_year_of_a_number_is_that_of_the_calendars_zone(office: Office) -> None:
    eve = datetime.fromisoformat("2026-12-31T15:59:59+00:00")  # one second before midnight in Shanghai
    first = issue(office, office.ticket(), eve)
    second = issue(office, office.ticket(), eve + timedelta(seconds=1))
    assert [(o.year, o.serial) for o in (first, second)] == [(2026, 1), (2027, 1)]


def test_an_order_has_three_working_days_of_its_own(office: Office) -> None:
    ticket = office.ticket()
    order = issue(office, ticket, moment("03-06 09:00"), demand="三日内答复", signatory="局长")
    assert order.due_at == moment("03-11 17:30")
    assert office.deadline(ticket, "supervise").due_at == order.due_at
    assert (order.demand, order.signatory, order.trigger) == ("三日内答复", "局长", "leader")
    assert office.get(ticket).stage == "urged"


def test_every_later_trigger_advances_the_same_order(office: Office) -> None:
    ticket, order = overdue(office)
    issue(office, ticket, DUE + HOUR)
    issue(office, ticket, DUE + 2 * HOUR, trigger="repeated")
    (kept,) = office.orders(ticket)
    assert [t["trigger"] for t in kept.triggers] == ["overdue", "leader", "repeated"]
    assert (kept.term, kept.due_at) == (1, order.due_at)  # its limit runs: no new one
    assert office.events(ticket)[-2:] == ["supervision_order_advanced"] * 2


@pytest.mark.parametrize(("after", "term"), [(-timedelta(seconds=1), 1), (timedelta(0), 2), (timedelta(seconds=1), 2)])
def test_a_trigger_begins_a_new_term_once_the_limit_has_passed(office: Office, after: timedelta, term: int) -> None:
    ticket = office.ticket()
    order = issue(office, ticket)
    issue(office, ticket, order.due_at + after)
    (kept,) = office.orders(ticket)
    assert kept.term == term
    assert (kept.due_at > order.due_at) == (term == 2)
    assert office.deadline(ticket, "supervise").revision == term


def test_completion_answers_an_order_and_satisfaction_closes_it(office: Office) -> None:
    ticket, _ = overdue(office)
    office.act(ticket, "complete", DUE + HOUR, result="已修复路灯")
    (order,) = office.orders(ticket)
    assert (order.state, order.reply, order.live) == ("replied", "已修复路灯", True)
    assert office.deadline(ticket, "supervise").met_at == DUE + HOUR
    office.call_back(ticket, DUE + 2 * HOUR, "satisfied")
    (order,) = office.orders(ticket)
    assert (order.state, order.live, order.closed_at) == ("closed", False, DUE + 2 * HOUR)


def test_dissatisfaction_reopens_the_order_and_raises_the_stage(office: Office) -> None:
    ticket, _ = overdue(office)
    assert office.get(ticket).stage == "urged"
    office.act(ticket, "complete", DUE + HOUR, result="已修复")
    office.call_back(ticket, DUE + 2 * HOUR, "dissatisfied")
    (order,) = office.orders(ticket)
    assert (order.term, order.state, [t["trigger"] for t in order.triggers]) == (
        2, "issued", ["overdue", "dissatisfied"]
    )  # fmt: skip
    stands = office.get(ticket)
    assert (stands.status, stands.stage) == ("reopened", "focused")
    assert office.deadline(ticket, "supervise").due_at == order.due_at


def test_dissatisfaction_alone_triggers_an_order(office: Office) -> None:
    ticket = office.ticket()
    office.act(ticket, "complete", START + HOUR, result="已修复")
    office.call_back(ticket, START + 2 * HOUR, "very_dissatisfied")
    (order,) = office.orders(ticket)
    assert (order.trigger, order.term) == ("dissatisfied", 1)
    assert office.get(ticket).stage == "urged"


def test_a_timely_reply_meets_the_limit_and_acceptance_closes_it(office: Office) -> None:
    ticket, order = overdue(office)
    office.sweep(moment("03-11 17:30"))
    assert office.get(ticket).card == "red"
    replied = rule(office, orders.reply, order, office.person_of("GA"), "已派人维修", moment("03-12 09:00"))
    assert replied.state == "replied"
    assert office.deadline(ticket, "supervise").met_at == moment("03-12 09:00")
    assert [a.state for a in office.alerts(ticket) if a.target == "supervise"] == ["resolved"]
    closed = rule(office, orders.accept_reply, order, SUPERVISOR, "同意", moment("03-12 10:00"))
    assert (closed.state, closed.live, closed.ruling, closed.ruled_by) == ("closed", False, "同意", "user:sun")
    assert office.sweep(DUE + timedelta(days=90)).alerts == 0


def test_a_refused_reply_starts_the_second_term_and_is_kept(office: Office) -> None:
    ticket, order = overdue(office)
    rule(office, orders.reply, order, office.person_of("GA"), "正在处理", moment("03-10 09:00"))
    refused = rule(office, orders.refuse_reply, order, SUPERVISOR, "未说明时限", moment("03-10 10:00"))
    assert (refused.state, refused.term, refused.due_at) == ("issued", 2, moment("03-13 17:30"))
    assert refused.reply is None
    assert refused.triggers[-1]["reply"] == "正在处理"
    assert refused.triggers[-1]["ruling"] == "未说明时限"
    office.sweep(moment("03-13 17:30"))
    assert office.alerts(ticket)[-1].rung == "supervise_due_again"
    assert office.get(ticket).stage == "in_depth"


def test_the_next_trigger_after_a_closed_order_issues_a_new_one(office: Office) -> None:
    ticket, order = overdue(office)
    rule(office, orders.reply, order, office.person_of("GA"), "已处理", moment("03-10 09:00"))
    rule(office, orders.accept_reply, order, SUPERVISOR, "同意", moment("03-10 10:00"))
    again = issue(office, ticket, moment("03-11 09:00"))
    assert (again.serial, again.term, again.live) == (2, 1, True)
    assert office.deadline(ticket, "supervise").round == 2
    assert office.get(ticket).next_check_at == moment("03-13 17:30")


def test_a_void_ticket_takes_its_order_with_it(office: Office) -> None:
    ticket, _ = overdue(office)
    office.act(ticket, "void", DUE + HOUR, reason="重复录入")
    (order,) = office.orders(ticket)
    assert (order.state, order.live) == ("cancelled", False)
    assert office.get(ticket).next_check_at is None
    assert {a.state for a in office.alerts(ticket)} == {"resolved"}


def test_who_may_issue_answer_and_rule(office: Office) -> None:
    ticket, order = overdue(office)
    for who in (office.person_of("GA"), CALLER):
        with pytest.raises(Forbidden):
            issue(office, ticket, DUE + HOUR, who)
    for who in (SUPERVISOR, LEADER):
        with pytest.raises(Forbidden):
            rule(office, orders.reply, order, who, "代答", DUE + HOUR)
    with pytest.raises(NotFound):
        rule(office, orders.reply, order, office.person_of("CG"), "别家的单", DUE + HOUR)
    rule(office, orders.reply, order, office.person_of("GA"), "已处理", DUE + HOUR)
    for who in (LEADER, office.person_of("GA")):
        with pytest.raises(Forbidden):
            rule(office, orders.accept_reply, order, who, "同意", DUE + HOUR)


def test_an_order_is_answered_once_and_ruled_on_once(office: Office) -> None:
    _, order = overdue(office)
    with pytest.raises(Conflict, match="must be replied"):
        rule(office, orders.accept_reply, order, SUPERVISOR, "同意", DUE + HOUR)
    rule(office, orders.reply, order, SYSTEM, "已处理", DUE + HOUR)
    with pytest.raises(Conflict, match="must be issued"):
        rule(office, orders.reply, order, SYSTEM, "再答", DUE + HOUR)


def test_no_order_for_an_ended_ticket_or_an_unknown_trigger(office: Office) -> None:
    ticket = office.ticket()
    with pytest.raises(Invalid):
        issue(office, ticket, trigger="whim")
    office.act(ticket, "void", START + HOUR, reason="误录")
    with pytest.raises(Conflict):
        issue(office, ticket, START + 2 * HOUR)
    with pytest.raises(NotFound):
        issue(office, 10**9)


@pytest.mark.server
def test_concurrent_orders_get_unique_numbers_and_one_per_ticket(office: Office) -> None:
    tickets = office.tickets(12)
    barrier = Barrier(4)

    def work() -> None:
        barrier.wait()
        for ticket in tickets:
            issue(office, ticket)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    issued = office.orders()
    assert sorted(o.ticket_id for o in issued) == tickets
    assert sorted(o.serial for o in issued) == list(range(1, 13))
    assert {len(o.triggers) for o in issued} == {4}
    assert verify(office.database) is None


def test_a_list_shows_each_unit_its_own_subtree_and_pages_by_key(office: Office) -> None:
    mine = [issue(office, office.ticket(unit="GA-1")).id for _ in range(3)]
    issue(office, office.ticket(unit="CG"))
    with office.database.read() as session:
        seen = orders.list_orders(session, office.person_of("GA"), limit=2)
        rest = orders.list_orders(session, office.person_of("GA"), before=seen[-1][0].id, limit=2)
        everything = orders.list_orders(session, SUPERVISOR, live=True)
        by_unit = orders.list_orders(session, SUPERVISOR, unit_id=office.units["GA"].id)
    assert [o.id for o, _ in [*seen, *rest]] == mine[::-1]
    assert (len(everything), len(by_unit)) == (4, 3)


# -- alerts: acknowledging and listing


def acknowledge(office: Office, alert_id: int, who: Principal, now: datetime = DUE + HOUR) -> str:
    with office.runtime.writing(now) as uow:
        return alerts.acknowledge(uow, who, alert_id).state


def test_an_alert_is_acknowledged_by_a_named_person_once(office: Office) -> None:
    ticket, _ = overdue(office)
    (alert,) = office.alerts(ticket)
    assert alert.id is not None
    assert acknowledge(office, alert.id, SUPERVISOR) == "acked"
    assert acknowledge(office, alert.id, SUPERVISOR) == "acked"
    (alert,) = office.alerts(ticket)
    assert (alert.acked_by, alert.acked_at) == ("user:sun", DUE + HOUR)
    assert office.events(ticket).count("alert_acked") == 1
    with pytest.raises(Conflict, match="user:sun"):
        acknowledge(office, alert.id, office.person_of("GA"))  # type: ignore[arg-type]
    office.act(ticket, "complete", DUE + 2 * HOUR, result="已修复")
    with pytest.raises(Conflict, match="resolved"):
        acknowledge(office, alert.id, SUPERVISOR)  # type: ignore[arg-type]


def test_an_acknowledged_card_still_stands(office: Office) -> None:
    ticket, _ = overdue(office)
    acknowledge(office, office.alerts(ticket)[0].id, SUPERVISOR)  # type: ignore[arg-type]
    assert office.get(ticket).card == "red"


def test_who_may_acknowledge(office: Office) -> None:
    ticket, _ = overdue(office)
    alert_id = office.alerts(ticket)[0].id
    assert alert_id is not None
    for who in (LEADER, CALLER):
        with pytest.raises(Forbidden):
            acknowledge(office, alert_id, who)
    with pytest.raises(NotFound):
        acknowledge(office, alert_id, office.person_of("CG"))
    assert acknowledge(office, alert_id, office.person_of("GA")) == "acked"


def test_resolving_some_targets_leaves_the_card_of_the_others(office: Office) -> None:
    (ticket,) = office.tickets(1)
    office.sweep(DUE)
    assert office.get(ticket).card == "red"
    with office.runtime.writing(DUE) as uow:
        row = lock_ticket(uow.session, ticket)
        settled = alerts.resolve(uow, row, ["complete"], resolution="test")
        assert [a.target for a in settled] == ["complete"]
    assert office.get(ticket).card == "yellow"


def test_alerts_are_listed_by_what_is_asked(office: Office) -> None:
    first = office.tickets(1, unit="GA-1")[0]
    office.tickets(1, unit="CG")
    office.sweep(DUE)

    def listed(who: Principal = SUPERVISOR, **asked: object) -> set[tuple[int, str]]:
        with office.database.read() as session:
            return {(t.id, a.target) for a, t in alerts.list_alerts(session, who, **asked)}  # type: ignore[arg-type]

    assert len(listed()) == 6
    assert {target for _, target in listed(card="red")} == {"complete"}
    assert {t for t, _ in listed(unit_id=office.units["GA"].id)} == {first}
    assert {t for t, _ in listed(office.person_of("GA"))} == {first}
    assert listed(office.person_of("GA-1"), target="accept") == {(first, "accept")}
    assert listed(state="resolved") == set()
    assert len(listed(state="live", ticket_id=first)) == 3
    with office.database.read() as session:
        page = alerts.list_alerts(session, SUPERVISOR, limit=4)
        rest = alerts.list_alerts(session, SUPERVISOR, before=page[-1][0].id, limit=4)
    assert [a.id for a, _ in [*page, *rest]] == sorted((a.id for a in office.alerts()), reverse=True)  # type: ignore[type-var]
    assert len(office.all(TicketEvent, first)) > 0
