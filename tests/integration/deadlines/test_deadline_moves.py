"""What moves a deadline, and what follows: calendar, policy, unit, suspension told of later. One life each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.tickets.deadline_state import state_of
from app.domain.time.receipt import Receipt
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid
from app.models import CalendarVersion, Deadline, PolicyVersion, TicketEvent, Unit
from app.schemas.calendar_document import read_calendar
from app.security.principal import SYSTEM
from app.services.audit.seals import verify
from app.services.core import catalogue
from app.services.deadlines import explain as explained
from app.services.deadlines.verify import verify as verify_deadlines
from app.services.orders import actions as orders
from app.services.recompute import run as recompute
from app.services.rules import calendars, policies
from app.services.tickets import actions as lifecycle
from tests.integration.office import DUE, LEADER, START, Office, moment, working

NOON = moment("03-03 12:00")


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        yield office


def edit_year(
    office: Office, days: dict[str, Any], now: datetime, year: int = 2026, code: str = "cn"
) -> recompute.RecomputeResult:
    """Lay days over a calendar and recompute what that touches."""

    def change(held: WorkCalendar | None) -> WorkCalendar:
        calendar = calendars.existing(held, code)
        kept = {day: hours for day, hours in calendar.to_spec()["days"].items() if day.startswith(str(year))}
        return calendars.with_year(calendar, year, {**kept, **days}, {})

    with office.database.write() as session:
        calendars.save(session, SYSTEM, code, change, now=now, note="通知")
    return recompute.after_calendar(office.database, office.runtime.reference, code, "user:li", now)


def told(office: Office, ticket: int, target: str = "complete") -> explained.DeadlineReceipt:
    with office.runtime.reading() as (session, ref):
        return explained.explain(session, ref, office.get(ticket), target, now=NOON)


def receipt(office: Office, ticket: int) -> Receipt:
    """The receipt of the ticket's complete-deadline."""
    found = told(office, ticket).receipt
    assert found is not None
    return found


def same_as_told(office: Office, *tickets: int) -> None:
    """Every deadline of these tickets is what its receipt says, and their chains of events hold."""
    for ticket in tickets:
        for row in office.all(Deadline, ticket):
            assert told(office, ticket, row.target).differs is False, row
    assert verify(office.database) is None


def test_a_new_day_off_moves_only_open_deadlines_that_count_it(office: Office) -> None:
    over, before, done = office.ticket(), office.ticket(start=moment("02-24 10:00")), office.ticket()
    office.act(done, "complete", NOON, result="好了")
    tally = edit_year(office, {"2026-03-05": []}, NOON)
    assert [(s.ticket_id, s.target, s.old, s.new) for s in tally.moved] == [
        (over, "complete", DUE, moment("03-10 17:30")),
    ], "neither the one that ended before, nor the one that was met"
    assert office.get(over).due_at == moment("03-10 17:30")
    assert office.deadline(before, "complete").due_at == moment("03-02 17:30")
    event = office.all(TicketEvent, over)[-1]
    assert event.type == "deadline_moved"
    assert event.actor == "user:li"
    assert (event.data["because"], event.data["calendar_version"], event.data["note"]) == ("calendar", 2, "通知")
    assert event.data["deadlines"]["complete"]["from"] == "2026-03-09T09:30:00Z"
    assert event.data["deadlines"]["complete"]["to"] == "2026-03-10T09:30:00Z"
    same_as_told(office, over, before, done)


def test_a_day_made_half_moves_a_deadline_to_its_close_and_back(office: Office) -> None:
    ticket = office.ticket()
    edit_year(office, {"2026-03-09": [["09:00", "12:00"]]}, NOON)
    assert office.get(ticket).due_at == moment("03-09 12:00")
    edit_year(office, {"2026-03-09": None}, NOON + timedelta(minutes=1))
    assert office.get(ticket).due_at == DUE
    assert office.deadline(ticket, "complete").revision == 3
    same_as_told(office, ticket)


def test_publishing_a_year_confirms_deadlines_and_lists_moves(office: Office) -> None:
    start = datetime.fromisoformat("2026-12-30T10:00:00+08:00")
    moved, far = office.ticket(start=start), office.ticket(start=moment("12-25 10:00"))
    assert office.get(moved).provisional
    assert office.get(far).provisional
    now = start + timedelta(hours=3)
    tally = edit_year(office, {"2027-01-01": []}, now, year=2027)
    assert {s.ticket_id for s in tally.moved} == {moved, far}
    assert not office.get(moved).provisional
    assert office.get(moved).due_at == datetime.fromisoformat("2027-01-07T17:30:00+08:00")
    again = edit_year(office, {"2027-01-01": [], "2027-06-01": []}, now + timedelta(hours=1), year=2027)
    assert (again.examined, again.changed) == (0, []), "June touches nobody"
    same_as_told(office, moved, far)


def test_an_unmoved_deadline_is_confirmed_by_its_published_year(office: Office) -> None:
    start = datetime.fromisoformat("2027-03-01T10:00:00+08:00")
    ticket = office.ticket(start=start)
    assert office.get(ticket).provisional
    tally = edit_year(office, {}, start + timedelta(hours=1), year=2027)
    assert tally.moved == []
    assert {s.target for s in tally.confirmed} == {"complete"}
    assert office.get(ticket).provisional is False
    assert office.events(ticket)[-1] == "deadline_confirmed"
    same_as_told(office, ticket)


def test_time_suspended_is_kept_when_the_calendar_changes(office: Office) -> None:
    ticket = office.ticket()
    office.act(ticket, "suspend", moment("03-04 10:00"), reason="等待鉴定")
    office.act(ticket, "resume", moment("03-05 10:00"))
    assert office.get(ticket).due_at == moment("03-10 17:30")
    edit_year(office, {"2026-03-06": []}, moment("03-05 11:00"))
    assert office.get(ticket).due_at == moment("03-11 17:30")
    edit_year(office, {"2026-03-06": [], "2026-03-05": []}, moment("03-05 11:30"))
    # the 5th is off: a day more to count, and an hour less given back (the 4th from 10:00 on)
    assert office.get(ticket).due_at == moment("03-12 16:30")
    same_as_told(office, ticket)


def test_an_edit_while_suspended_counts_at_the_resumption(office: Office) -> None:
    ticket = office.ticket()
    office.act(ticket, "suspend", moment("03-04 17:30"), reason="等待")
    edit_year(office, {"2026-03-10": []}, moment("03-05 10:00"))
    office.act(ticket, "resume", moment("03-05 17:30"))
    assert office.get(ticket).due_at == moment("03-11 17:30"), "a day given back, and the 10th is off by now"
    same_as_told(office, ticket)


def test_a_still_overdue_alert_stays_open_without_a_new_one(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(moment("03-20 10:00"))
    before = office.alerts(ticket)
    assert office.get(ticket).card == "red"
    edit_year(office, {"2026-03-05": []}, moment("03-20 11:00"))
    assert office.get(ticket).due_at == moment("03-10 17:30")
    assert office.sweep(moment("03-20 12:00")).alerts == 0
    after = [alert for alert in office.alerts(ticket) if alert.target == "complete"]
    assert [a.id for a in after] == [a.id for a in before if a.target == "complete"]
    assert {a.state for a in after} == {"open"}
    assert {a.revision for a in after} == {2}
    assert len(office.orders(ticket)) == 1
    assert office.orders(ticket)[0].term == 1


def test_an_alert_without_breach_is_resolved_and_raised_later(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(moment("03-09 17:30"))
    assert office.get(ticket).card == "red"
    edit_year(office, {"2026-03-05": []}, moment("03-09 17:40"))
    complete = [a for a in office.alerts(ticket) if a.target == "complete"]
    assert [a.state for a in complete if a.card == "red"] == ["resolved"]
    assert office.get(ticket).card != "red"
    office.sweep(moment("03-10 17:29"))
    assert office.get(ticket).card != "red"
    office.sweep(moment("03-10 17:30"))
    assert office.get(ticket).card == "red"


def test_a_backdated_suspension_withdraws_the_card_it_covers(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(moment("03-10 09:00"))
    assert office.get(ticket).card == "red"
    office_act(office, ticket, "suspend", at=moment("03-04 10:00"), now=moment("03-10 10:00"), reason="等待鉴定")
    assert office.get(ticket).card is None, "nobody is overdue while suspended"
    office_act(office, ticket, "resume", at=moment("03-09 10:00"), now=moment("03-10 10:05"))
    assert office.get(ticket).due_at == moment("03-12 17:30"), "three working days given back"
    same_as_told(office, ticket)


def test_a_contact_made_while_the_clock_stands_still_is_in_time(office: Office) -> None:
    ticket = office.ticket(accepted=False)
    office.act(ticket, "accept", START)
    office.act(ticket, "suspend", moment("03-03 16:30"), reason="等待鉴定")
    office.act(ticket, "contact", moment("03-05 10:30"))
    row = office.deadline(ticket, "contact")
    assert row.met_at == moment("03-05 10:30")
    assert row.due_at == moment("03-05 11:30"), "an hour was left when it was suspended"
    office.act(ticket, "resume", moment("03-06 10:00"))
    assert office.deadline(ticket, "contact").due_at == moment("03-05 11:30"), "met: what comes after is not its matter"
    same_as_told(office, ticket)
    assert list(verify_deadlines(office.database, office.runtime.reference, now=NOON)) == []


def test_the_office_backdates_a_suspension_before_a_contact(office: Office) -> None:
    ticket = office.ticket(accepted=False)
    office.act(ticket, "accept", START)
    office.act(ticket, "contact", moment("03-05 10:30"))
    assert state_of(office.deadline(ticket, "contact"), NOON) == "met_late"
    now = moment("03-09 10:00")
    office_act(office, ticket, "suspend", at=moment("03-03 16:30"), now=now, reason="等待鉴定")
    assert list(verify_deadlines(office.database, office.runtime.reference, now=now)) == []
    office_act(office, ticket, "resume", at=moment("03-04 16:30"), now=now)
    contact = office.deadline(ticket, "contact")
    assert (contact.due_at, state_of(contact, now)) == (moment("03-04 17:30"), "met_late"), (
        "a day given back, and late still"
    )
    assert office.get(ticket).due_at == moment("03-10 17:30")
    with pytest.raises(Invalid, match="/at"):
        office_act(office, ticket, "suspend", at=moment("03-04 16:00"), now=now, reason="早于恢复")
    same_as_told(office, ticket)
    assert list(verify_deadlines(office.database, office.runtime.reference, now=now)) == []


def office_act(office: Office, ticket: int, action: str, *, at: datetime, now: datetime, **params: Any) -> None:
    with office.runtime.writing(now) as uow:
        lifecycle.act(uow, SYSTEM, ticket, action, params, at=at)


def change_policy(office: Office, code: str, fields: dict[str, Any], now: datetime) -> None:
    with office.database.write() as session:
        policies.change(session, SYSTEM, code, fields, now)


SEVEN = {"limits": {"complete": {"unit": "working_days", "amount": 7}, "accept": {"unit": "working_days", "amount": 1}}}


def test_a_new_policy_version_applies_to_new_tickets_only(office: Office) -> None:
    old = office.ticket()
    change_policy(office, "default", SEVEN, NOON)
    new = office.ticket(start=NOON + timedelta(hours=2))
    assert office.get(old).due_at == DUE
    assert office.deadline(new, "complete").due_at == moment("03-12 17:30")
    office_act(office, old, "reassign", at=moment("03-04 10:00"), now=moment("03-04 10:00"), unit="CG", reason="x")
    assert office.get(old).due_at == moment("03-11 17:30"), "also when it goes to another unit: still five days"


def test_on_demand_open_tickets_come_under_the_new_version(office: Office) -> None:
    ticket = office.ticket()
    change_policy(office, "default", SEVEN, NOON)
    tally = recompute.after_policy(office.database, office.runtime.reference, "default", "user:li", NOON)
    assert [(s.target, s.new) for s in tally.moved] == [("complete", moment("03-11 17:30"))]
    event = office.all(TicketEvent, ticket)[-1]
    assert (event.data["because"], event.data["policy_code"], event.data["policy_version"]) == ("policy", "default", 2)
    same_as_told(office, ticket)
    assert receipt(office, ticket).to_json()["policy"] == {"code": "default", "version": 2}
    office_act(office, ticket, "reassign", at=moment("03-04 10:00"), now=moment("03-04 10:00"), unit="CG", reason="x")
    assert office.get(ticket).due_at == moment("03-13 17:30"), "and stay there"
    again = recompute.after_policy(office.database, office.runtime.reference, "default", "user:li", NOON)
    assert again.changed == []


def test_a_unit_under_another_calendar_moves_its_subtree(office: Office) -> None:
    below, other = office.ticket(unit="GA-1"), office.ticket(unit="CG")
    week = {day: [["08:00", "20:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    with office.database.write() as session:
        calendars.save(
            session, SYSTEM, "every-day", lambda _: read_calendar({"week": week}, code="every-day"), now=NOON
        )
    with office.database.write() as session:
        catalogue.change_node(session, Unit, "GA", {"calendar_code": "every-day"})
    path = office.units["GA"].path
    tally = recompute.after_unit(office.database, office.runtime.reference, path, "user:li", NOON)
    assert [(s.ticket_id, s.new) for s in tally.moved if s.target == "complete"] == [(below, moment("03-07 20:00"))]
    assert office.get(other).due_at == DUE
    same_as_told(office, below, other)
    assert recompute.after_unit(office.database, office.runtime.reference, path, "user:li", NOON).changed == []


def test_a_policy_may_name_its_calendar(office: Office) -> None:
    with office.database.write() as session:
        calendars.save(session, SYSTEM, "night", lambda _: read_calendar({"week": {d: [["22:00", "06:00"]] for d in
                       ("mon", "tue", "wed", "thu", "fri")}}, code="night"), now=START)  # fmt: skip
    change_policy(office, "default", {"calendar": "night"}, START)
    ticket = office.ticket(start=START + timedelta(minutes=5))
    assert office.get(ticket).due_at == moment("03-10 06:00")
    assert receipt(office, ticket).to_json()["calendar"]["code"] == "night"
    same_as_told(office, ticket)


EVERY_DAY = {day: [["08:00", "20:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


def every_day(office: Office, unit: str | None = None) -> None:
    """A calendar without days off, perhaps given to a unit."""
    with office.database.write() as session:
        made = read_calendar({"week": EVERY_DAY}, code="every-day")
        calendars.save(session, SYSTEM, "every-day", lambda _: made, now=START)
    if unit is not None:
        with office.database.write() as session:
            catalogue.change_node(session, Unit, unit, {"calendar_code": "every-day"})


def order_of(office: Office, ticket: int, now: datetime) -> None:
    """A leader's order on ``ticket``."""
    with office.runtime.writing(now) as uow:
        orders.issue(uow, LEADER, ticket, trigger_code="leader", demand="速办", signatory=None)


def test_an_order_limit_follows_its_ticket_to_the_units_calendar(office: Office) -> None:
    every_day(office, "CG")
    ticket = office.ticket()
    order_of(office, ticket, moment("03-05 10:00"))
    assert office.deadline(ticket, "supervise").due_at == moment("03-10 17:30"), "Friday, Monday, Tuesday"
    office.act(ticket, "reassign", moment("03-05 11:00"), unit="CG", reason="职责")
    row = office.deadline(ticket, "supervise")
    assert (row.started_at, row.due_at) == (moment("03-05 10:00"), moment("03-08 20:00")), "the weekend works there"
    assert office.orders(ticket)[0].due_at == row.due_at
    assert office.all(TicketEvent, ticket)[-1].data["deadlines"]["supervise"]["from"] == "2026-03-10T09:30:00Z"
    same_as_told(office, ticket)
    assert list(verify_deadlines(office.database, office.runtime.reference, now=NOON)) == []


def test_an_order_limit_uses_the_calendar_of_its_policy(office: Office) -> None:
    every_day(office)
    change_policy(office, "default", {"calendar": "every-day"}, START)
    ticket = office.ticket(start=START + timedelta(minutes=5))
    order_of(office, ticket, moment("03-05 10:00"))
    assert office.orders(ticket)[0].due_at == moment("03-08 20:00")
    edit_year(office, {"2026-03-07": []}, moment("03-05 12:00"), code="every-day")
    assert office.orders(ticket)[0].due_at == moment("03-09 20:00")
    same_as_told(office, ticket)


@pytest.mark.server
def test_the_next_recompute_finishes_an_interrupted_one_once(office: Office) -> None:
    tickets = office.tickets(7)
    with office.database.write() as session:
        calendars.save(
            session, SYSTEM, "cn",
            lambda held: calendars.with_year(calendars.existing(held, "cn"), 2026, {"2026-03-05": []}, {}), now=NOON,
        )  # fmt: skip
    real = recompute.follow
    calls = iter(range(7))

    def dies_at_the_fifth(*given: Any) -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt
        real(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recompute, "follow", dies_at_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            recompute.after_calendar(office.database, office.runtime.reference, "cn", "user:li", NOON, batch=2)
    rest = recompute.catch_up(office.database, office.runtime.reference, "system:duban", NOON)
    assert {s.ticket_id for s in rest.moved} == set(tickets[4:])
    assert {office.get(t).due_at for t in tickets} == {moment("03-10 17:30")}
    done = recompute.catch_up(office.database, office.runtime.reference, "system:duban", NOON)
    assert (done.examined, done.changed) == (0, [])
    assert all(office.events(t).count("deadline_moved") == 1 for t in tickets)


def test_a_receipt_that_comes_to_something_else_says_so(office: Office) -> None:
    ticket = office.ticket()
    assert told(office, ticket).differs is False
    with office.database.write() as session:
        row = session.get(Deadline, (ticket, "complete", 1))
        assert row is not None
        row.due_at += timedelta(seconds=1)
        session.add(row)
    found = told(office, ticket)
    assert found.differs
    assert found.to_json(office.runtime.settings.zone)["differs"] is True
    assert "differs" in found.text("en")


def test_versions_are_kept_and_never_changed(office: Office) -> None:
    edit_year(office, {"2026-03-05": []}, NOON)
    change_policy(office, "default", SEVEN, NOON)
    assert [(row.version, row.created_at) for row in office.all(CalendarVersion)] == [(1, START), (2, NOON)]
    assert [row.version for row in office.all(PolicyVersion) if row.code == "default"] == [1, 2]
