"""Facts as known at a moment: told the same before and after later news, and right for every kind of life."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from reports.facts.gather import gather
from reports.period import parse_period
from tests.support import Service, at, moment

ZONE = "Asia/Shanghai"
Step = tuple[str, str, dict[str, Any]]


def facts(service: Service, as_of: str, month: str = "2026-03") -> pd.DataFrame:
    """The facts of a month as known at a time of Beijing, by ticket."""
    with service.runtime.reading() as (session, ref):
        period = parse_period("monthly", month, ZONE)
        frame = gather(session, ref, period, moment(as_of), relapse_days=30)
    return frame.set_index("ticket_id", drop=False)


def tell(service: Service, ticket: int, *steps: Step) -> None:
    """Take steps in the past."""
    for action, when, params in steps:
        if action == "callback":
            service.call_back(ticket, at=at(when), **params)
        else:
            service.act(ticket, action, at=at(when), **params)


FIRST: tuple[Step, ...] = (
    ("dispatch", "2026-03-02 10:30", {"unit": "GA"}),
    ("accept", "2026-03-02 11:00", {}),
    ("contact", "2026-03-02 14:00", {"note": "已联系"}),
)
SECOND: tuple[Step, ...] = (
    ("suspend", "2026-03-03 10:00", {"reason": "等鉴定"}),
    ("resume", "2026-03-04 10:00", {}),
    ("complete", "2026-03-05 10:00", {"result": "已处理"}),
    (
        "callback",
        "2026-03-06 10:00",
        {"outcome": "reached", "satisfaction": "dissatisfied", "resolved": False, "speed": 2},
    ),
    ("complete", "2026-03-09 10:00", {"result": "再处理"}),
    ("callback", "2026-04-02 10:00", {"outcome": "reached", "satisfaction": "satisfied", "resolved": True, "speed": 5}),
)


def test_facts_as_of_a_moment_ignore_later_events(service: Service) -> None:
    ticket = service.push(received_at=at("2026-03-02 10:00"), kind="complaint")["id"]
    tell(service, ticket, *FIRST)
    known = facts(service, "2026-03-02 18:00")
    tell(service, ticket, *SECOND)
    again = facts(service, "2026-03-02 18:00")
    pd.testing.assert_frame_equal(known, again)
    assert again.at[ticket, "status"] == "accepted"
    assert facts(service, "2026-05-01 00:00").at[ticket, "status"] == "closed"


@pytest.mark.parametrize(
    ("as_of", "status", "satisfaction", "reopened", "end_state"),
    [
        ("2026-03-05 09:59", "accepted", None, 0, "open"),
        ("2026-03-05 10:00", "completed", None, 0, "completed"),
        ("2026-03-06 10:00", "reopened", "dissatisfied", 1, "open"),
        ("2026-03-31 23:59", "completed", "dissatisfied", 1, "completed"),
        ("2026-04-02 10:00", "closed", "satisfied", 1, "completed"),
    ],
)
def test_each_moment_of_a_reopened_life_is_told_as_it_was(
    service: Service, as_of: str, status: str, satisfaction: str | None, reopened: int, end_state: str
) -> None:
    ticket = service.push(received_at=at("2026-03-02 10:00"))["id"]
    tell(service, ticket, *FIRST, *SECOND)
    row = facts(service, as_of).loc[ticket]
    assert (row["status"], row["reopened"], row["end_state"]) == (status, reopened, end_state)
    assert (None if pd.isna(row["satisfaction"]) else row["satisfaction"]) == satisfaction


def test_time_suspended_is_not_handling_time(service: Service) -> None:
    ticket = service.push(received_at=at("2026-03-02 10:00"))["id"]
    tell(service, ticket, *FIRST, *SECOND[:3])
    row = facts(service, "2026-03-31 00:00").loc[ticket]
    # Monday 10:30 to Thursday 10:00: 5.5 + 7 + 7 + 1 = 20.5 working hours, 7 of them suspended.
    assert row["handling_seconds"] == int(13.5 * 3600)
    assert row["citizen_seconds"] == 3 * 86_400
    assert bool(row["suspended"])


def test_a_ticket_carried_over_is_open_at_month_start_and_end(service: Service) -> None:
    old = service.push(received_at=at("2026-02-25 10:00"))["id"]
    gone = service.push(received_at=at("2026-02-25 10:00"))["id"]
    tell(service, gone, ("void", "2026-02-26 10:00", {"reason": "误录"}))
    frame = facts(service, "2026-04-01 00:00")
    assert list(frame.index) == [old]
    assert (frame.at[old, "start_state"], frame.at[old, "end_state"]) == ("open", "open")
    assert not len(facts(service, "2026-02-20 00:00", "2026-01"))


def test_a_repeat_within_thirty_days_of_closing_is_a_relapse(service: Service) -> None:
    parents = [service.push(received_at=at("2026-03-02 10:00")) for _ in range(2)]
    for parent in parents:
        tell(service, parent["id"], *FIRST, ("complete", "2026-03-03 10:00", {"result": "好"}),
             ("callback", "2026-03-04 10:00", {"outcome": "reached", "satisfaction": "satisfied"}))  # fmt: skip
    for parent, when in zip(parents, ("2026-04-03 10:00", "2026-04-03 10:01"), strict=True):
        service.push(received_at=at(when), parent_external_id=parent["external_id"])
    frame = facts(service, "2026-05-01 00:00")
    assert [bool(frame.at[parent["id"], "relapsed"]) for parent in parents] == [True, False]
    assert facts(service, "2026-05-01 00:00", "2026-04")["repeated"].sum() == 2


def test_an_empty_month_has_no_facts(service: Service) -> None:
    assert len(facts(service, "2026-04-01 00:00")) == 0
