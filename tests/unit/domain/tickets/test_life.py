"""A life and its deadlines told from events: what each event does to the deadlines, and what a correction does to the past."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.domain.tickets.life import TicketLife, as_known, life_until
from app.domain.tickets.rebuild import RebuiltDeadline, RebuiltDeadlines
from app.domain.time.due import Limit
from app.schemas.calendar_document import read_calendar

WEEK = {day: [["09:00", "12:00"], ["13:30", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")}
CALENDARS = {
    1: read_calendar({"time_zone": "Asia/Shanghai", "week": WEEK}),
    2: read_calendar({"time_zone": "Asia/Shanghai", "week": WEEK, "days": {"2026-03-04": []}}),
}
LIMITS = {
    (1, "accept"): Limit("working_days", 1),
    (1, "complete"): Limit("working_days", 5),
    (1, "callback"): Limit("working_days", 1),
    (1, "supervise"): Limit("working_days", 3),
    (2, "complete"): Limit("hours", 2),
}
LATE = "2027-01-01T00:00:00Z"
"""What the log says is not believed where it can be computed."""


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text.replace(' ', 'T')}+08:00")


def says(policy: int | None = 1, calendar: int = 1, to: str | None = LATE, **more: Any) -> dict[str, Any]:
    return {"to": to, **({} if policy is None else {"policy": policy, "calendar": calendar}), **more}


Step = tuple[str, str, dict[str, Any]]
RECEIVED: Step = ("received", "03-02 09:00", {"deadlines": {"complete": says()}})  # a Monday
DISPATCHED: Step = ("dispatched", "03-02 10:00", {"deadlines": {"complete": says(), "accept": says()}})
ACCEPTED: Step = ("accepted", "03-02 11:00", {})
BEGUN = (RECEIVED, DISPATCHED, ACCEPTED)


def retold(*steps: Step) -> RebuiltDeadlines:
    return RebuiltDeadlines.of([(event, moment(at), data) for event, at, data in steps])


def due(told: RebuiltDeadline | None) -> str | None:
    assert told is not None
    answer = told.compute(lambda policy, target: LIMITS.get((policy, target)), CALENDARS.__getitem__)
    return None if answer is None else CALENDARS[1].local(answer.due_at).strftime("%m-%d %H:%M")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((RECEIVED,), "03-09 17:30"),
        (BEGUN, "03-09 17:30"),
        ((*BEGUN, ("reassigned", "03-03 10:00", {"deadlines": {"complete": says()}})), "03-10 17:30"),
        # one working day suspended, over a whole day
        ((*BEGUN, ("suspended", "03-03 17:30", {}), ("resumed", "03-04 17:30", {"calendars": {"complete": 1}})), "03-10 17:30"),
        # suspended still: it does not move yet
        ((*BEGUN, ("suspended", "03-03 17:30", {})), "03-09 17:30"),
        # the recompute looked at another calendar, and it is named though nothing moved
        ((*BEGUN, ("suspended", "03-07 10:00", {}), ("resumed", "03-08 10:00", {"calendars": {"complete": 2}})), "03-10 17:30"),
        ((*BEGUN, ("extension_approved", "03-05 10:00", {"days": 2, "calendars": {"complete": 1}})), "03-11 17:30"),
        # an extension belongs to the limit that another unit's dispatch replaces
        ((*BEGUN, ("extension_approved", "03-03 10:00", {"days": 2}),
          ("reassigned", "03-03 10:00", {"deadlines": {"complete": says()}})), "03-10 17:30"),
        ((*BEGUN, ("deadline_moved", "03-03 09:00", {"deadlines": {"complete": says(calendar=2)}})), "03-10 17:30"),
        ((*BEGUN, ("corrected", "03-03 09:00", {"policy": 2, "calendars": {"complete": 1}})), "03-02 12:00"),
        ((RECEIVED, ("corrected", "03-03 09:00", {"policy": 1, "received_at": "2026-02-27T01:00:00Z"})), "03-06 17:30"),
        # it began with the dispatch, not with the receipt
        ((*BEGUN, ("corrected", "03-03 09:00", {"policy": 1, "received_at": "2026-02-27T01:00:00Z"})), "03-09 17:30"),
        # the source's own limit is given, and not computed; nor moved by a suspension
        ((("received", "03-02 09:00", {"deadlines": {"complete": says(None, to="2026-03-05T01:00:00Z")}}),), "03-05 09:00"),
        ((("received", "03-02 09:00", {"deadlines": {"complete": says(None, to="2026-03-05T01:00:00Z")}}),
          ("suspended", "03-02 10:00", {}), ("resumed", "03-04 10:00", {})), "03-05 09:00"),
        # where the limit begins at another moment than its event, the event says so
        ((("received", "03-02 09:00", {"deadlines": {"complete": says(start="2026-03-04T01:00:00Z")}}),), "03-11 17:30"),
        ((*BEGUN, ("completed", "03-05 10:00", {}), ("reopened", "03-06 10:00", {"deadlines": {"complete": says()}})),
         "03-13 17:30"),
    ],
)  # fmt: skip
def test_the_complete_deadline_follows_from_the_events(steps: tuple[Step, ...], expected: str) -> None:
    assert due(retold(*steps).in_force("complete")) == expected


def test_a_met_deadline_keeps_only_earlier_suspensions() -> None:
    told = retold(
        *BEGUN,
        ("suspended", "03-02 17:30", {}),
        ("resumed", "03-03 17:30", {}),
        ("completed", "03-04 10:00", {"deadlines": {"callback": says()}}),
        ("reopened", "03-05 10:00", {"deadlines": {"complete": says(), "callback": says(to=None)}}),
        ("suspended", "03-05 10:00", {}),
        ("resumed", "03-09 10:00", {}),
    )
    first, second = told.deadlines["complete"]
    assert (due(first), first.met_at) == ("03-10 17:30", moment("03-04 10:00"))
    assert second.running
    assert told.in_force("callback") is None


def test_the_time_suspended_belongs_to_the_unit_clock_alone() -> None:
    told = retold(
        *BEGUN,
        ("supervision_order_issued", "03-02 11:00", {"due_at": LATE, "policy": 1, "calendar": 1}),
        ("suspended", "03-03 09:00", {}),
        ("resumed", "03-05 09:00", {}),
    )
    assert due(told.in_force("supervise")) == "03-05 17:30"
    assert due(told.in_force("complete")) == "03-11 17:30"


@pytest.mark.parametrize(
    ("event", "data", "begun_at"),
    [
        ("supervision_order_advanced", {"due_at": LATE}, "03-02 11:00"),  # no new term
        ("supervision_order_advanced", {"due_at": LATE, "policy": 1, "calendar": 1}, "03-09 10:00"),
        ("supervision_order_refused", {"due_at": LATE, "policy": 1, "calendar": 1}, "03-09 10:00"),
    ],
)
def test_an_orders_next_term_begins_its_limit_anew(event: str, data: dict[str, Any], begun_at: str) -> None:
    issued: Step = ("supervision_order_issued", "03-02 11:00", {"due_at": LATE, "policy": 1, "calendar": 1})
    told = retold(*BEGUN, issued, (event, "03-09 10:00", data)).in_force("supervise")
    assert told is not None
    assert told.start == moment(begun_at)


@pytest.mark.parametrize(
    ("event", "target", "data"),
    [
        ("accepted", "accept", {}),
        ("completed", "complete", {}),
        ("voided", "accept", {}),
        ("voided", "complete", {}),
        ("returned", "accept", {"deadlines": {"accept": says(to=None)}}),
    ],
)
def test_what_ends_a_deadline(event: str, target: str, data: dict[str, Any]) -> None:
    assert retold(RECEIVED, DISPATCHED).running(target)
    assert not retold(RECEIVED, DISPATCHED, (event, "03-02 11:00", data)).running(target)


def test_an_acceptance_at_a_moment_nobody_knows_meets_nothing() -> None:
    assert retold(RECEIVED, DISPATCHED, ("accepted", "03-02 11:00", {"moment": "unknown"})).running("accept")


def test_a_policy_without_such_a_limit_computes_nothing() -> None:
    told = retold(RECEIVED, ("dispatched", "03-02 10:00", {"deadlines": {"accept": says(policy=2)}}))
    assert due(told.in_force("accept")) is None


def test_a_step_at_an_unknown_time_changes_state_without_a_time() -> None:
    life = TicketLife()
    life.take("received", moment("03-02 09:00"), {})
    life.take("completed", moment("03-02 09:00"), {"moment": "unknown"})
    assert (life.state, life.completed_at, life.first_completed_at) == ("completed", None, None)


def test_a_corrected_receipt_applies_to_the_past() -> None:
    events = [
        ("received", moment("03-02 09:00"), {}),
        ("dispatched", moment("03-02 09:00"), {"unit": "A"}),
        ("corrected", moment("03-05 09:00"), {"received_at": "2026-02-28T01:00:00Z"}),
    ]
    life = life_until(events, moment("03-06 00:00"), included=True)
    assert life.received_at == life.dispatched_at == life.spells[0].since == moment("02-28 09:00")
    assert life_until(events, moment("03-01 00:00"), included=False).state == "absent"  # as it was known then
    assert life_until(as_known(events, life), moment("03-01 00:00"), included=False).state == "open"
    assert life_until(as_known(events, life), moment("02-28 09:00"), included=False).state == "absent"


def test_a_ticket_is_absent_before_its_corrected_receipt() -> None:
    events = [
        ("received", moment("02-28 09:00"), {}),
        ("dispatched", moment("02-28 10:00"), {"unit": "A"}),
        ("accepted", moment("02-28 11:00"), {}),
        ("corrected", moment("03-05 09:00"), {"received_at": "2026-03-02T01:00:00Z"}),
    ]
    known = as_known(events, life_until(events, moment("03-06 00:00"), included=True))
    assert life_until(known, moment("03-01 00:00"), included=False).state == "absent"
    assert life_until(known, moment("03-02 09:00"), included=True).state == "open"
