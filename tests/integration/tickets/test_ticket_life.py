"""The life of a ticket through the REST interface: each step, its refusals, and what it does to the deadlines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import Service, at, due


def life(service: Service, *steps: str, **fields: Any) -> dict[str, Any]:
    """A ticket received on Monday 2026-03-02 at 10:00, taken through ``steps`` on that morning and the next."""
    ticket = service.push(received_at=at("2026-03-02 10:00"), **fields)
    number = ticket["id"]
    told: dict[str, dict[str, Any]] = {
        "dispatch": {"unit": "GA", "at": at("2026-03-02 10:30")},
        "accept": {"at": at("2026-03-02 11:00")},
        "contact": {"note": "已联系", "at": at("2026-03-02 11:30")},
        "complete": {"result": "已修复", "at": at("2026-03-03 10:00")},
    }
    for step in steps:
        ticket = service.act(number, step, **told[step])
    return ticket


def test_a_ticket_goes_its_whole_way_and_each_step_is_an_event(service: Service) -> None:
    ticket = life(service, "dispatch", "accept", "contact", "complete")
    ticket = service.call_back(ticket["id"], outcome="reached", satisfaction="satisfied", resolved=True,
                               at=at("2026-03-03 15:00"))  # fmt: skip
    assert ticket["status"] == "closed"
    assert ticket["satisfaction"] == "satisfied"
    types = [event["type"] for event in service.get(f"/tickets/{ticket['id']}/events")["items"]]
    assert types == ["received", "dispatched", "accepted", "contacted", "completed", "called_back", "closed"]


def test_five_working_days_from_monday_end_at_next_mondays_close(service: Service) -> None:
    assert due(life(service, "dispatch")) == "2026-03-09 17:30"


def test_a_make_up_saturday_before_the_spring_festival_counts(service: Service) -> None:
    # Friday 2026-02-13; Saturday the 14th is worked, the 15th to the 23rd are off, Saturday the 28th is worked:
    # 14th one, 24th two, 25th three, 26th four, 27th five.
    assert due(service.push(received_at=at("2026-02-13 16:30"))) == "2026-02-27 17:30"


def test_a_consultation_has_two_days_and_an_emergency_two_hours(service: Service) -> None:
    assert due(service.push(kind="consult", received_at=at("2026-03-02 10:00"))) == "2026-03-04 17:30"
    assert due(service.push(priority="emergency", received_at=at("2026-03-01 23:00"))) == "2026-03-02 01:00"


def test_an_invalid_transition_is_refused_naming_allowed_ones(service: Service) -> None:
    ticket = life(service)
    refusal = service.act(ticket["id"], "complete", result="x", expect=409)
    assert refusal["state"] == "received"
    assert "dispatch" in refusal["allowed"]
    assert refusal["type"].endswith("transition-not-allowed")
    assert service.get(f"/tickets/{ticket['id']}")["version"] == ticket["version"]


@pytest.mark.parametrize(("action", "params", "pointer"), [
    ("dispatch", {}, "/unit"),
    ("dispatch", {"unit": "nowhere"}, "/unit"),
    ("void", {}, "/reason"),
    ("void", {"reason": "   "}, "/reason"),
    ("void", {"reason": "a\u0000b"}, "/reason"),
    ("void", {"reason": "x", "colour": "red"}, "/colour"),
    ("void", {"reason": "x", "at": "2026-03-02T10:00:00"}, "/at"),
    ("void", {"reason": "x", "at": "2026-03-01T10:00:00+08:00"}, "/at"),
    ("void", {"reason": "x", "at": "2999-03-01T10:00:00+08:00"}, "/at"),
])  # fmt: skip
def test_a_bad_parameter_is_refused_at_its_place(
    service: Service, action: str, params: dict[str, Any], pointer: str
) -> None:
    ticket = life(service)
    refusal = service.act(ticket["id"], action, expect=422, **params)
    assert [error["pointer"] for error in refusal["errors"]] == [pointer]


def test_if_match_accepts_only_the_latest_version(service: Service) -> None:
    ticket = life(service)
    stale = {"If-Match": f'"{ticket["version"] - 1}"'}
    service.act(ticket["id"], "dispatch", unit="GA", headers=stale, expect=412)
    service.act(ticket["id"], "dispatch", unit="GA", headers={"If-Match": f'"{ticket["version"]}"'})
    service.act(ticket["id"], "accept", headers={"If-Match": "soon"}, expect=400)


def test_the_first_unit_stays_responsible_after_reassignment(service: Service) -> None:
    ticket = life(service, "dispatch", "accept")
    ticket = service.act(ticket["id"], "reassign", unit="CG", reason="属城管", at=at("2026-03-04 09:00"))
    assert (ticket["unit"], ticket["first_unit"], ticket["status"]) == ("CG", "GA", "dispatched")
    assert due(ticket) == "2026-03-11 17:30", "the unit clock starts anew for the new unit"
    assert ticket["received_at"] == at("2026-03-02 10:00"), "the citizen clock is never reset"


def test_a_return_needs_to_be_asked_for_within_two_working_days(service: Service) -> None:
    ticket = life(service, "dispatch")
    service.act(ticket["id"], "return", reason="非本单位职责", at=at("2026-03-04 17:30") + "", expect=200)
    late = life(service, "dispatch")
    service.act(late["id"], "return", reason="非本单位职责", at="2026-03-04T17:30:01+08:00", expect=409)


def test_a_refused_return_does_not_restart_the_clock(service: Service) -> None:
    ticket = life(service, "dispatch")
    service.act(ticket["id"], "return", reason="非本单位职责", at=at("2026-03-03 09:00"))
    same = service.act(ticket["id"], "dispatch", unit="GA", at=at("2026-03-03 15:00"))
    assert due(same) == "2026-03-09 17:30"
    assert same["status"] == "dispatched"


def test_a_third_return_is_not_possible(service: Service) -> None:
    ticket = life(service, "dispatch")
    for hour in (11, 13):
        service.act(ticket["id"], "return", reason="非本单位职责", at=at(f"2026-03-02 {hour}:00"))
        service.act(ticket["id"], "dispatch", unit="CG" if hour == 11 else "GA", at=at(f"2026-03-02 {hour}:30"))
    refusal = service.act(ticket["id"], "return", reason="非本单位职责", at=at("2026-03-02 14:00"), expect=409)
    assert "third return" in refusal["detail"]


def test_suspended_working_time_is_given_back(service: Service) -> None:
    ticket = life(service, "dispatch", "accept")
    service.act(ticket["id"], "suspend", reason="等待鉴定", at=at("2026-03-04 10:00"))
    assert service.get(f"/tickets/{ticket['id']}")["status"] == "suspended"
    ticket = service.act(ticket["id"], "resume", at=at("2026-03-05 10:00"))
    assert ticket["status"] == "accepted"
    assert due(ticket) == "2026-03-10 17:30", "one whole working day later"


def test_a_suspension_over_a_weekend_gives_nothing_back(service: Service) -> None:
    ticket = life(service, "dispatch", "accept")
    service.act(ticket["id"], "suspend", reason="等待", at=at("2026-03-06 17:30"))
    assert due(service.act(ticket["id"], "resume", at=at("2026-03-09 09:00"))) == "2026-03-09 17:30"


def test_an_extension_approved_by_another_moves_the_deadline(service: Service) -> None:
    ticket = service.push(unit="GA")
    service.act(ticket["id"], "accept", role="dispatcher")
    before = due(service.act(ticket["id"], "extend", role="dispatcher", days=3, reason="需勘验"))
    request = service.get("/extensions", state="pending")["items"][0]
    own = service.call("POST", f"/extensions/{request['id']}/approve", role="dispatcher")
    assert own.status_code == 403
    done = service.call("POST", f"/extensions/{request['id']}/approve", role="supervisor", json={"note": "同意"})
    assert done.status_code == 200, done.text
    assert due(done.json()["ticket"]) > before
    again = service.call("POST", f"/extensions/{request['id']}/refuse", role="supervisor")
    assert again.status_code == 409
    service.act(ticket["id"], "extend", role="dispatcher", days=3, reason="再延", expect=409)


@pytest.mark.parametrize("days", [0, 11, -1, None, True, "3", 2.5])
def test_an_extension_must_be_one_to_ten_whole_days(service: Service, days: Any) -> None:
    ticket = service.push(unit="GA")
    refusal = service.act(ticket["id"], "extend", days=days, reason="需勘验", expect=422)
    assert refusal["errors"][0]["pointer"] == "/days"


def test_an_extension_cannot_be_asked_for_after_the_deadline(service: Service) -> None:
    ticket = life(service, "dispatch", "accept")
    service.act(ticket["id"], "extend", days=2, reason="晚了", at="2026-03-09T17:30:01+08:00", expect=409)
    service.act(ticket["id"], "extend", days=2, reason="正好", at="2026-03-09T17:30:00+08:00")


def test_a_dissatisfied_callback_reopens_and_orders_supervision(service: Service) -> None:
    ticket = life(service, "dispatch", "accept", "complete")
    ticket = service.call_back(ticket["id"], outcome="reached", satisfaction="dissatisfied", resolved=False, speed=2,
                               at=at("2026-03-04 10:00"))  # fmt: skip
    assert (ticket["status"], ticket["stage"], ticket["supervised"]) == ("reopened", "urged", True)
    assert ticket["reopens"] == 1
    assert due(ticket) == "2026-03-11 17:30", "fresh deadlines"
    orders = service.get("/supervision-orders", ticket=ticket["id"])["items"]
    assert [(o["trigger"], o["term"]) for o in orders] == [("dissatisfied", 1)]


def test_three_unanswered_calls_on_three_half_days_close(service: Service) -> None:
    ticket = life(service, "dispatch", "accept", "complete")
    number = ticket["id"]
    for when in ("2026-03-04 09:30", "2026-03-04 10:30", "2026-03-04 14:00"):
        assert service.call_back(number, outcome="no_answer", at=at(when))["status"] == "completed", when
    assert service.call_back(number, outcome="no_answer", at=at("2026-03-05 09:30"))["status"] == "closed"


def test_an_answer_without_a_conversation_is_refused(service: Service) -> None:
    ticket = life(service, "dispatch", "accept", "complete")
    refusal = service.call_back(ticket["id"], outcome="no_answer", satisfaction="satisfied", expect=422)
    assert refusal["errors"][0]["pointer"] == "/satisfaction"


def test_a_void_ticket_asks_for_nothing_any_more(service: Service) -> None:
    ticket = life(service, "dispatch", "accept")
    ticket = service.act(ticket["id"], "void", reason="重复录入", at=at("2026-03-03 09:00"))
    assert ticket["status"] == "void"
    states = {row["target"]: row["state"] for row in service.get(f"/tickets/{ticket['id']}/deadlines")["items"]}
    assert states == {"accept": "met", "contact": "cancelled", "complete": "cancelled"}
    service.act(ticket["id"], "urge", expect=409)


def test_who_may_not_is_told_so(service: Service) -> None:
    ticket = life(service, "dispatch")
    assert service.act(ticket["id"], "accept", role="leader", expect=403)["type"].endswith("forbidden")
    unit = service.key("unit", unit="CG")
    service.act(ticket["id"], "accept", key=unit, expect=404)
    mine = service.key("unit", unit="GA")
    service.act(ticket["id"], "accept", key=mine, at=at("2026-03-02 11:00"), expect=403)
    assert service.act(ticket["id"], "accept", key=mine)["status"] == "accepted"
    assert service.client.get("/api/v1/tickets").status_code == 401
    wrong = service.client.get("/api/v1/tickets", headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code == 401
    assert wrong.headers["content-type"].startswith("application/problem+json")


def test_lists_are_read_page_by_page_without_gap_or_repeat(service: Service) -> None:
    made = [service.push(received_at=at("2026-03-02 10:00"))["id"] for _ in range(7)]
    seen: list[int] = []
    cursor = None
    while True:
        page = service.get("/tickets", limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)
    assert service.get("/tickets", cursor="abc", expect=400)["status"] == 400


def test_each_filter_finds_what_it_says(service: Service) -> None:
    late = life(service, "dispatch", "accept", title="工地噪声", kind="complaint", priority="urgent")
    done = life(service, "dispatch", "accept", "complete", title="路灯", kind="help")
    plain = service.push(title="停车难", kind="consult")

    def found(**filters: Any) -> set[int]:
        return {row["id"] for row in service.get("/tickets", **filters)["items"]}

    assert found() == {late["id"], done["id"], plain["id"]}
    assert found(status="accepted") == {late["id"]}
    assert found(status="accepted,completed") == {late["id"], done["id"]}
    assert found(unit="GA") == {late["id"], done["id"]}
    assert found(unit="CG") == set()
    assert found(kind="consult") == {plain["id"]}
    assert found(overdue=True) == {late["id"]}
    assert found(overdue=False) == {done["id"], plain["id"]}
    assert found(repeated=True) == set()
    assert found(q="噪声") == {late["id"]}
    assert found(q="%") == set()
    assert found(external_id=done["external_id"]) == {done["id"]}
    assert found(received_to=at("2026-03-02 10:00")) == set()
    assert found(received_from=at("2026-03-02 10:00"), received_to="2026-03-02T10:00:01+08:00") == {
        late["id"],
        done["id"],
    }
    assert found(due_before=at("2026-03-10 00:00")) == {late["id"]}
    assert found(source="hotline", stage="assigned") == {late["id"], done["id"], plain["id"]}
    assert service.get("/tickets", unit="nowhere", expect=422)["errors"][0]["pointer"] == "/unit"
    assert (
        service.get("/tickets", received_from="2026-03-02T10:00:00", expect=422)["errors"][0]["pointer"]
        == "/received_from"
    )
    assert service.get("/tickets", limit=501, expect=422)["errors"][0]["pointer"] == "/limit"


def test_a_returned_ticket_asks_its_unit_for_no_contact_any_more(service: Service) -> None:
    ticket = life(service, "dispatch")
    service.act(ticket["id"], "return", reason="非本单位职责", at=at("2026-03-03 09:00"))
    states = {row["target"]: row["state"] for row in service.get(f"/tickets/{ticket['id']}/deadlines")["items"]}
    assert states == {"accept": "cancelled", "contact": "cancelled", "complete": "overdue"}


def test_a_binding_source_limit_holds_until_reopening(service: Service) -> None:
    service.key("integrator")
    service.call("PATCH", "/sources/hotline", json={"binds_due": True})
    ticket = life(service, "dispatch", "accept", source_due_at=at("2026-03-05 12:00"))
    assert due(ticket) == "2026-03-05 12:00"
    service.act(ticket["id"], "complete", result="已修复", at=at("2026-03-04 10:00"))
    ticket = service.act(ticket["id"], "reopen", reason="仍有问题", at=at("2026-03-06 10:00"))
    assert due(ticket) == "2026-03-13 17:30", "a fresh deadline, by the policy"
