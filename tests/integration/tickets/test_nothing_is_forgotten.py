"""What a ticket must not lose on its way: its order when another unit gets it, its clock when a suspension has run out, its
citizen when nobody answered the phone."""

from __future__ import annotations

from typing import Any

from app import clock
from app.services.deadlines.verify import verify
from app.services.supervision.sweep import sweep
from tests.support import Service, at, due

FRIDAY = "2026-03-06 10:00"


def pushed(service: Service, unit: str = "GA-1", received: str = FRIDAY) -> int:
    """A ticket dispatched to ``unit`` when it was received."""
    return int(service.push(unit=unit, received_at=at(received))["id"])


def order_of(service: Service, ticket: int) -> dict[str, Any]:
    """The one order of a ticket, as the office reads it."""
    items = service.get("/supervision-orders", ticket=ticket)["items"]
    assert len(items) == 1
    return items[0]  # type: ignore[no-any-return]


def differing(service: Service) -> list[Any]:
    """The deadlines that stand otherwise than the log says."""
    return list(verify(service.runtime.database, service.runtime.reference, now=clock.now()))


def test_an_order_and_its_alerts_follow_the_ticket_to_a_new_unit(service: Service) -> None:
    old, new = service.key("unit", unit="GA-1"), service.key("unit", unit="CG")
    ticket = pushed(service)
    service.sweep("2026-03-13 18:00")  # overdue: the order
    service.sweep("2026-03-19 18:00")  # its own limit has passed, too
    order = order_of(service, ticket)
    service.act(ticket, "reassign", unit="CG", reason="属城管职责")
    moved = order_of(service, ticket)
    assert (moved["unit"], moved["due_at"], moved["term"]) == ("CG", order["due_at"], order["term"])
    standing = service.get("/alerts", ticket=ticket, state="live")["items"]
    assert {(alert["target"], alert["unit"]) for alert in standing} == {("supervise", "CG")}
    path = f"/supervision-orders/{order['id']}"
    assert service.call("GET", path, key=old).status_code == 404
    assert service.call("POST", f"{path}/reply", key=old, json={"reply": "已办"}).status_code == 404
    assert service.call("POST", f"{path}/reply", key=new, json={"reply": "已办"}).json()["state"] == "replied"


def test_an_order_follows_a_returned_ticket_to_its_next_unit(service: Service) -> None:
    ticket = service.push(unit="GA-1")["id"]
    assert service.call("POST", f"/tickets/{ticket}/supervision-orders", json={}).status_code == 201
    service.act(ticket, "return", reason="非本辖区")
    assert order_of(service, ticket)["unit"] == "GA-1"
    service.act(ticket, "dispatch", unit="CG")
    assert order_of(service, ticket)["unit"] == "CG"


def suspended(service: Service, until: str | None) -> int:
    """A ticket suspended from Monday 09:00, its complete-deadline on Friday 2026-03-13 17:30."""
    ticket = pushed(service)
    service.act(ticket, "accept", at=at("2026-03-06 10:30"))
    service.act(ticket, "contact", note="已联系", at=at("2026-03-06 11:00"))
    service.act(ticket, "suspend", reason="等待鉴定", at=at("2026-03-09 09:00"), until=at(until) if until else None)
    return ticket


def test_a_suspension_ends_on_time_and_returns_its_length(service: Service) -> None:
    ticket, without_end = suspended(service, "2026-03-11 09:00"), suspended(service, None)
    service.sweep("2026-03-11 08:59")
    assert service.get(f"/tickets/{ticket}")["status"] == "suspended"
    service.sweep("2026-03-12 15:00")  # late: what it finds is as if it had been there in time
    found = service.get(f"/tickets/{ticket}")
    assert (found["status"], found["suspended_at"]) == ("accepted", None)
    assert due(found) == "2026-03-17 17:30"  # two working days, and not the day and a half of the sweep
    last = service.get(f"/tickets/{ticket}/events")["items"][-1]
    assert (last["type"], last["at"], last["actor"]) == ("resumed", at("2026-03-11 09:00"), "system:duban")
    assert service.get(f"/tickets/{without_end}")["status"] == "suspended"
    assert service.sweep("2026-03-12 15:00").checked == 0
    service.sweep("2026-03-17 18:00")
    assert service.get(f"/tickets/{ticket}")["card"] == "red"
    assert [event["type"] for event in service.get(f"/tickets/{ticket}/events")["items"]].count("resumed") == 1
    assert differing(service) == []


def test_a_backdated_past_suspension_ends_at_the_next_sweep(service: Service) -> None:
    ticket = suspended(service, "2026-03-09 17:30")
    service.sweep("2026-03-10 09:00")
    assert due(service.get(f"/tickets/{ticket}")) == "2026-03-16 17:30"


def test_a_suspension_with_an_end_is_swept_by_itself(service: Service) -> None:
    ticket = suspended(service, "2026-03-20 09:00")
    service.act(ticket, "extend", days=2, reason="鉴定机构排期", at=at("2026-03-09 10:00"))
    extension = service.get("/extensions", ticket=ticket)["items"][0]["id"]
    assert service.call("POST", f"/extensions/{extension}/approve", role="leader").status_code == 200
    service.sweep("2026-03-20 09:00")
    assert service.get(f"/tickets/{ticket}")["status"] == "accepted"


def test_an_unanswered_callback_limits_the_next_attempt(service: Service) -> None:
    ticket = pushed(service)
    service.act(ticket, "accept", at=at("2026-03-06 10:30"))
    service.act(ticket, "complete", result="已办", at=at("2026-03-09 10:00"))
    assert due(service.get(f"/tickets/{ticket}"), "callback") == "2026-03-10 17:30"
    service.call_back(ticket, outcome="no_answer", at=at("2026-03-10 09:30"))
    waiting = service.get(f"/tickets/{ticket}")
    assert (waiting["status"], due(waiting, "callback")) == ("completed", "2026-03-11 17:30")
    sweep(service.runtime.database, service.runtime.reference, clock.now())  # told of the past, it is looked at now
    raised = service.get("/alerts", ticket=ticket, state="live")["items"]
    assert [alert["target"] for alert in raised] == ["callback"]
    service.call_back(ticket, outcome="no_answer", at=at("2026-03-12 09:30"))
    assert service.get("/alerts", ticket=ticket, state="live")["items"] == []
    closed = service.call_back(ticket, outcome="no_answer", at=at("2026-03-12 14:30"))
    assert closed["status"] == "closed"
    row = next(row for row in closed["deadlines"] if row["target"] == "callback")
    assert row["state"] == "met"
    assert differing(service) == []


def test_the_day_of_a_midnight_dispatch_is_not_counted(service: Service) -> None:
    ticket = service.push(received_at=at("2026-03-08 20:00"))["id"]
    service.act(ticket, "dispatch", unit="GA-1", at=at("2026-03-09 00:00"))  # a Monday
    service.act(ticket, "return", reason="非本辖区", at=at("2026-03-11 17:30"))
    late = service.push(received_at=at("2026-03-08 20:00"))["id"]
    service.act(late, "dispatch", unit="GA-1", at=at("2026-03-09 00:00"))
    service.act(late, "return", reason="非本辖区", at=at("2026-03-11 17:31"), expect=409)
