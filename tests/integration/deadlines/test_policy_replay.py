"""Replay: how many would have been overdue under another policy or calendar; and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from app.models import Deadline, TicketEvent
from tests.support import Service, at

MARCH = {"from": at("2026-03-01 00:00"), "to": at("2026-04-01 00:00")}
THREE = {"code": "default", "limits": {"complete": {"unit": "working_days", "amount": 3}}}


def replay(service: Service, expect: int = 200, role: str = "supervisor", **proposal: Any) -> dict[str, Any]:
    answer = service.call("POST", "/policies/replay", role=role, json={**MARCH, **proposal})
    assert answer.status_code == expect, answer.text
    return answer.json()  # type: ignore[no-any-return]


def ticket(service: Service, done: str | None, *, unit: str = "GA", **fields: Any) -> int:
    """Received and dispatched on Monday 2 March at 10:00 (5 working days: Monday 9th, 3: Thursday 5th, at 17:30)."""
    key: int = service.push(received_at=at("2026-03-02 10:00"), unit=unit, **fields)["id"]
    service.act(key, "accept", at=at("2026-03-02 11:00"))
    if done is not None:
        service.act(key, "complete", result="好", at=at(done))
    return key


def counts(answer: dict[str, Any]) -> tuple[int, int, int]:
    total = answer["total"]
    return total["tickets"], total["overdue_before"], total["overdue_after"]


def test_a_shorter_limit_makes_late_what_was_on_time(service: Service) -> None:
    ticket(service, "2026-03-05 17:30")  # at the very moment: in time
    late = ticket(service, "2026-03-05 17:31")
    other = ticket(service, "2026-03-09 17:31", unit="CG")  # late either way
    ticket(service, "2026-03-03 10:00", kind="consult")  # another policy: not touched
    answer = replay(service, policy=THREE)
    assert counts(answer) == (4, 1, 2)
    assert (answer["changed"], answer["changed_count"], answer["moved"]) == ([late], 1, 3)
    by_unit = {row["code"]: (row["tickets"], row["overdue_before"], row["overdue_after"]) for row in answer["by_unit"]}
    assert by_unit == {"GA": (3, 0, 1), "CG": (1, 1, 1)}
    assert other not in answer["changed"]
    assert replay(service, policy=THREE, unit="CG")["total"]["tickets"] == 1


def test_nothing_is_written(service: Service) -> None:
    ticket(service, None)

    def state() -> tuple[Any, ...]:
        with service.runtime.database.read() as session:
            moved = session.execute(select(func.max(Deadline.due_at), func.max(Deadline.revision))).one()
            return (*moved, session.execute(select(func.count()).select_from(TicketEvent)).scalar_one())

    before = state()
    replay(service, policy=THREE)
    assert state() == before
    assert {item["version"] for item in service.get("/policies")["items"]} == {1}


def test_a_new_and_narrower_policy_takes_its_tickets_alone(service: Service) -> None:
    noise = ticket(service, "2026-03-04 10:00", kind="complaint")
    ticket(service, "2026-03-04 10:00", kind="help")
    narrow = {"code": "noise", "match": {"kind": ["complaint"]},
              "limits": {"complete": {"unit": "working_hours", "amount": 7}}}  # fmt: skip
    answer = replay(service, policies=[narrow])
    assert (counts(answer), answer["changed"]) == ((2, 0, 1), [noise])


def test_a_proposed_calendar_with_more_days_off_gives_more_time(service: Service) -> None:
    late = ticket(service, "2026-03-10 10:00")
    calendar = {
        "time_zone": "Asia/Shanghai",
        "week": {day: [["09:00", "12:00"], ["13:30", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
        "days": {"2026-03-06": []},
    }
    answer = replay(service, calendar=calendar)
    assert (counts(answer), answer["changed"]) == ((1, 1, 0), [late])
    assert answer["total"]["becomes_on_time"] == 1


def test_time_suspended_and_extensions_are_kept(service: Service) -> None:
    suspended = service.push(received_at=at("2026-03-02 10:00"), unit="GA")["id"]
    service.act(suspended, "accept", at=at("2026-03-02 11:00"))
    service.act(suspended, "suspend", reason="等鉴定", at=at("2026-03-03 17:30"))
    service.act(suspended, "resume", at=at("2026-03-04 17:30"))  # a working day: 3 days end on Friday the 6th
    service.act(suspended, "complete", result="好", at=at("2026-03-06 17:30"))
    assert counts(replay(service, policy=THREE)) == (1, 0, 0)
    two = {"code": "default", "limits": {"complete": {"unit": "working_days", "amount": 2}}}
    assert counts(replay(service, policy=two)) == (1, 0, 1)


def test_a_limit_of_the_sources_own_stays_and_is_counted_apart(service: Service) -> None:
    assert service.key("integrator"), "with the key its source is made"
    with service.runtime.database.write() as session:
        session.connection().exec_driver_sql("UPDATE source SET binds_due = TRUE")
        session.connection().exec_driver_sql("UPDATE counter SET value = value + 1 WHERE name = 'reference'")
    ticket(service, "2026-03-20 10:00", source_due_at=at("2026-03-19 10:00"))
    answer = replay(service, policy=THREE)
    assert (counts(answer), answer["bound_by_source"], answer["moved"]) == ((1, 1, 1), 1, 0)


def test_a_policy_that_sets_no_such_limit_makes_nothing_late(service: Service) -> None:
    ticket(service, "2026-03-20 10:00")
    assert counts(replay(service, policy={"code": "default", "limits": {}})) == (1, 1, 0)


def test_void_tickets_and_those_received_outside_are_left_out(service: Service) -> None:
    service.act(ticket(service, None), "void", reason="误录")
    service.push(received_at=at("2026-02-28 23:59"), unit="GA")
    service.push(received_at=at("2026-04-01 00:00"), unit="GA")
    assert counts(replay(service, policy=THREE)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("proposal", "pointer"),
    [
        ({}, "/policies"),
        ({"policy": {"code": "default", "limits": {"complete": {"unit": "working_days", "amount": -1}}}},
         "/policies/0/limits/complete/amount"),
        ({"policy": {**THREE, "match": {"kind": ["consult"]}}}, "/policies"),  # nobody's tickets would have a policy
        ({"policies": [THREE, THREE]}, "/policies/1/code"),
        ({"policy": {**THREE, "calendar": "mars"}}, "/policies/0/calendar"),
        ({"calendar": {"week": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}}}, "/calendar/week/mon"),
        ({"policy": THREE, "to": at("2026-03-01 00:00")}, "/to"),
        ({"policy": THREE, "unit": "nobody"}, "/unit"),
    ],
)  # fmt: skip
def test_an_invalid_replay_proposal_is_refused_with_pointer(
    service: Service, proposal: dict[str, Any], pointer: str
) -> None:
    ticket(service, "2026-03-03 10:00")
    errors = replay(service, expect=422, **proposal)["errors"]
    assert pointer in [error["pointer"] for error in errors]


@pytest.mark.parametrize("role", ["unit", "integrator", "caller"])
def test_only_the_office_and_the_leaders_may_replay(service: Service, role: str) -> None:
    key = service.key("unit", unit="GA") if role == "unit" else service.key(role)
    answer = service.call("POST", "/policies/replay", key=key, json={**MARCH, "policy": THREE})
    assert answer.status_code == 403


def test_the_clocks_of_a_ticket_are_served(service: Service) -> None:
    key = ticket(service, "2026-03-03 10:00")
    shown = service.get(f"/tickets/{key}/clocks")
    assert shown["unit_clock"]["seconds"] == 7 * 3600  # 10:00 to 12:00, 13:30 to 17:30, 09:00 to 10:00
    assert (shown["citizen_clock"]["seconds"], shown["citizen_clock"]["state"]) == (86_400, "ended")
    assert [(held["unit"], held["spells"], held["now"]) for held in shown["held"]] == [("GA", 1, False)]
