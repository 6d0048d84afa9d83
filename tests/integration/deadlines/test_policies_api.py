"""Policies and ladders through the REST interface: versions, which one would match, TOML, and who may."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from typing import Any

from tests.support import Service, at, due

NOISE = {
    "code": "noise",
    "name_zh": "噪声",
    "match": {"kind": ["complaint"]},
    "limits": {"complete": {"unit": "working_days", "amount": 3}, "accept": {"unit": "working_hours", "amount": 4}},
}


def send(service: Service, method: str, path: str, expect: int = 200, *, role: str = "admin", **options: Any) -> Any:
    answer = service.call(method, path, role=role, **options)
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_a_policy_is_made_changed_and_retired_in_versions(service: Service) -> None:
    made = send(service, "POST", "/policies", 201, role="dispatcher", json=NOISE)
    assert (made["code"], made["version"], made["in_force"]) == ("noise", 1, True)
    assert due(service.push(kind="complaint", received_at=at("2026-03-02 10:00"))) == "2026-03-05 17:30"
    changed = send(
        service, "PATCH", "/policies/noise", json={"limits": {"complete": {"unit": "working_days", "amount": 2}}}
    )
    assert (changed["version"], changed["changed"]) == (2, True)
    assert changed["match"] == {"kind": ["complaint"]}, "what is left out stays"
    again = send(service, "PATCH", "/policies/noise", json={"name_zh": "噪声"})
    assert (again["version"], again["changed"]) == (2, False)
    assert due(service.push(kind="complaint", received_at=at("2026-03-02 10:00"))) == "2026-03-04 17:30"
    send(service, "POST", "/policies", 409, json=NOISE)
    send(service, "PATCH", "/policies/noise", json={"retired": True})
    assert "noise" not in {item["code"] for item in service.get("/policies")["items"]}
    history = [item["version"] for item in service.get("/policies", history=True)["items"] if item["code"] == "noise"]
    assert history == [2, 1]
    assert due(service.push(kind="complaint", received_at=at("2026-03-02 10:00"))) == "2026-03-09 17:30"


def test_with_apply_open_the_answer_lists_what_moved(service: Service) -> None:
    ticket = service.push(kind="complaint", unit="GA", received_at=at("2026-03-02 10:00"))
    assert send(service, "POST", "/policies", 201, json=NOISE)["moved"] == [], "new tickets only, unless asked"
    told = send(service, "PATCH", "/policies/noise?apply=open", json={"name_en": "Noise"})
    moved = {row["target"]: (row["ticket_id"], row["old"], row["new"]) for row in told["moved"]}
    assert moved["complete"] == (ticket["id"], at("2026-03-09 17:30"), at("2026-03-05 17:30"))
    assert moved["contact"] == (ticket["id"], at("2026-03-03 17:30"), None), "the new policy asks for no contact"
    receipt = service.get(f"/tickets/{ticket['id']}/deadlines/complete/receipt")
    assert receipt["policy"] == {"code": "noise", "version": 2}
    assert (receipt["differs"], receipt["due_at"]) == (False, at("2026-03-05 17:30"))


def test_a_preview_says_which_policy_would_match_and_why(service: Service) -> None:
    told = send(service, "POST", "/policies/preview", role="auditor", json={"kind": "consult"})
    assert told["policy"]["code"] == "consult"
    assert told["why_en"] == "kind is consult"
    assert {one["code"]: one["matches"] for one in told["considered"]} == {
        "consult": True, "default": True, "complex": False, "emergency": False,
    }  # fmt: skip
    assert told["limits_in_words"]["complete"]["en"].startswith("2 working days")
    urgent = send(service, "POST", "/policies/preview", json={"kind": "consult", "priority": "emergency"})
    assert urgent["policy"]["code"] == "emergency"


def test_an_export_names_the_version_that_is_not_in_force_yet(service: Service) -> None:
    assert not service.call("GET", "/policies/export").text.startswith("#")
    send(service, "POST", "/policies", 201, json={**NOISE, "valid_from": "2099-01-01T00:00:00+08:00"})
    first = service.call("GET", "/policies/export").text.splitlines()[0]
    assert first.startswith("#")
    assert f"version 1 of {NOISE['code']} is not in force now" in first


def test_toml_goes_out_and_comes_back_and_nothing_changes(service: Service) -> None:
    send(service, "POST", "/policies", 201, json={**NOISE, "valid_from": "2026-01-01T00:00:00+08:00", "calendar": "cn"})
    text = service.call("GET", "/policies/export").text
    assert {one["code"] for one in tomllib.loads(text)["policy"]} == {
        "default",
        "consult",
        "complex",
        "emergency",
        "noise",
    }
    toml = {"Content-Type": "application/toml"}
    back = send(service, "POST", "/policies/import", content=text, headers=toml)
    assert (back["created"], back["changed"], len(back["unchanged"])) == ([], [], 5)
    more = text.replace('code = "noise"', 'code = "dust"') + ""
    assert send(service, "POST", "/policies/import", content=more, headers=toml)["created"] == ["dust"]
    bad = text.replace("amount = 15", "amount = -1")
    wrong = send(service, "POST", "/policies/import", 422, content=bad, headers=toml)
    assert wrong["errors"][0]["pointer"] == "/policy/0/limits/complete/amount"
    send(service, "POST", "/policies/import", 422, content="[[policy]", headers=toml)
    send(service, "POST", "/policies/import", 415, content=text, headers={"Content-Type": "text/html"})


BAD: list[tuple[dict[str, Any], str]] = [
    ({"limits": {"complete": {"unit": "working_days", "amount": -1}}}, "/limits/complete/amount"),
    ({"limits": {"complete": {"unit": "working_days", "amount": 10**9}}}, "/limits/complete/amount"),
    ({"limits": {"sleep": {"unit": "working_days", "amount": 1}}}, "/limits/sleep"),
    ({"match": {"kind": ["noise"]}}, "/match/kind/0"),
    ({"match": {"unit": ["nowhere"]}}, "/match/unit/0"),
    ({"match": {"colour": ["red"]}}, "/match/colour"),
    ({"calendar": "nowhere"}, "/calendar"),
    ({"valid_from": "2026-03-02T00:00:00"}, "/valid_from"),
    ({"valid_from": "2026-03-02T00:00:00Z", "valid_to": "2026-03-01T00:00:00Z"}, "/valid_to"),
    ({"extension_days": 366}, "/extension_days"),
    ({"code": "Noise!"}, "/code"),
    ({"colour": 1}, "/colour"),
]


def test_a_bad_policy_is_refused_at_its_place(service: Service) -> None:
    for change, pointer in BAD:
        answer = send(service, "POST", "/policies", 422, json={**NOISE, **change})
        assert answer["errors"][0]["pointer"] == pointer, answer
    assert len(service.get("/policies")["items"]) == 4


def test_one_policy_for_all_other_tickets_must_stay(service: Service) -> None:
    send(service, "PATCH", "/policies/default", 409, json={"retired": True})
    send(service, "PATCH", "/policies/default", 409, json={"match": {"kind": ["help"]}})
    send(service, "PATCH", "/policies/default", 409, json={"valid_to": "2099-01-01T00:00:00Z"})
    send(service, "PATCH", "/policies/nowhere", 404, json={"retired": True})
    assert service.get("/policies", history=True)["items"][0]["version"] == 1


def test_only_admins_and_dispatchers_edit_policies_and_all_read(service: Service) -> None:
    ladder = service.get("/ladders", role="auditor")["items"][0]
    for role in ("supervisor", "leader", "integrator"):
        service.get("/policies", role=role)
        send(service, "POST", "/policies", 403, role=role, json=NOISE)
        send(service, "PATCH", "/policies/default", 403, role=role, json={"name_en": "x"})
        send(service, "PATCH", f"/ladders/{ladder['code']}", 403, role=role, json={"rungs": ladder["rungs"][:2]})
    changed = send(
        service, "PATCH", f"/ladders/{ladder['code']}", role="dispatcher", json={"rungs": ladder["rungs"][:2]}
    )
    assert (changed["version"], len(changed["rungs"])) == (2, 2)
    with service.runtime.reading() as (_, ref):
        assert len(ref.ladder.rungs) == 2
    send(service, "PATCH", f"/ladders/{ladder['code']}", 422, json={"rungs": [{"code": "x"}]})


def test_a_version_with_a_later_beginning_waits_for_it(service: Service) -> None:
    changes = {"limits": {"complete": {"unit": "working_days", "amount": 3}}, "valid_from": "2026-04-01T00:00:00+08:00"}
    send(service, "PATCH", "/policies/consult", json=changes)
    assert due(service.push(kind="consult", received_at=at("2026-03-02 10:00"))) == "2026-03-04 17:30"
    assert due(service.push(kind="consult", received_at=at("2026-04-13 10:00"))) == "2026-04-16 17:30"
    before = send(service, "POST", "/policies/preview", json={"kind": "consult", "at": at("2026-03-31 23:59:59")})
    after = send(service, "POST", "/policies/preview", json={"kind": "consult", "at": at("2026-04-01 00:00")})
    assert (before["policy"]["version"], after["policy"]["version"]) == (1, 2)


def test_a_receipt_is_text_in_both_languages_or_404(service: Service) -> None:
    ticket = service.push(unit="GA", received_at=at("2026-02-13 16:30"))
    path = f"/tickets/{ticket['id']}/deadlines"
    english = service.call("GET", f"{path}/complete/receipt?format=text&lang=en").text
    assert "Due  2026-02-27 17:30:00" in english
    assert "make-up workday" in english
    assert "到期  2026-02-27 17:30:00" in service.call("GET", f"{path}/complete/receipt?format=text").text
    told = service.get(f"{path}/complete/receipt")
    assert told["due_at"] == told["stored_due_at"] == at("2026-02-27 17:30")
    assert told["calendar"]["code"] == "cn"
    assert len(told["hash"]) == 64
    service.get(f"{path}/callback/receipt", expect=404)
    service.get(f"{path}/sleep/receipt", expect=422)
    service.get("/tickets/999999/deadlines/complete/receipt", expect=404)
    other = service.key("unit", unit="CG")
    assert service.call("GET", f"{path}/complete/receipt", key=other).status_code == 404


HOURS = [["09:00", "10:00"]]
LONG = {**NOISE, "code": "long", "limits": {"complete": {"unit": "working_hours", "amount": 15_000.5}}}


def problem(service: Service, method: str, path: str, json: dict[str, Any]) -> tuple[str, str]:
    """Where a request is refused, and why."""
    (told,) = send(service, method, path, 422, json=json)["errors"]
    return told["pointer"], told["detail"]


def test_a_limit_beyond_a_calendar_is_refused_with_the_maximum(service: Service) -> None:
    send(service, "PUT", "/calendars/tiny", 201, json={"week": {"wed": HOURS}})
    said = "must be within 5,217 working {}: by the calendar 'tiny' a longer one is not sure to end in 100 years"
    place = "/limits/complete/amount"
    assert problem(service, "POST", "/policies", LONG) == (place, said.format("hours"))
    days = {"complete": {"unit": "working_days", "amount": 20_000}}
    of_its_own = {**LONG, "limits": days, "calendar": "tiny"}
    assert problem(service, "POST", "/policies", of_its_own) == (place, said.format("days"))
    assert problem(service, "PATCH", "/policies/default", {"limits": days})[0] == place
    rungs = service.get("/ladders")["items"][0]["rungs"]
    rungs[1]["offset"] = {"unit": "working_days", "amount": -20_000}
    assert problem(service, "PATCH", "/ladders/default", {"rungs": rungs})[0] == "/rungs/1/offset/amount"
    most = {**LONG, "limits": {"complete": {"unit": "working_days", "amount": 5_217}}, "calendar": "tiny"}
    send(service, "POST", "/policies", 201, json=most)
    assert due(service.push(kind="complaint", received_at=at("2026-03-02 10:00"))) == "2126-02-20 10:00"


def test_a_calendar_too_empty_for_a_limit_is_refused_whole(service: Service) -> None:
    send(service, "POST", "/policies", 201, json=LONG)
    held = service.push(kind="complaint", unit="GA")
    too_empty = (
        "the limit for complete of version 1 of the policy 'long' is 15,000.5, and this calendar is sure of no more"
    )
    place, why = problem(service, "PUT", "/calendars/cn", {"week": {"wed": HOURS}})
    assert (place, too_empty in why) == ("/week", True)
    send(service, "PATCH", "/policies/long", json={"retired": True})
    assert problem(service, "PUT", "/calendars/cn", {"week": {"wed": HOURS}}) == (place, why), (
        "a ticket is judged by it"
    )
    assert service.get("/calendars/cn")["version"] == 1
    service.act(held["id"], "void", reason="重复")
    send(service, "PUT", "/calendars/cn", json={"week": {"wed": HOURS}})
    service.push(kind="complaint")


def test_days_off_for_good_are_refused_and_intake_goes_on(service: Service) -> None:
    week = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), HOURS)
    first = date(2027, 1, 1)
    off: dict[str, list[list[str]]] = {(first + timedelta(days=n)).isoformat(): [] for n in range(36_600)}
    place, why = problem(service, "PUT", "/calendars/cn", {"week": week, "days": off})
    assert place == "/days"
    assert "this calendar is sure of no more than 0 working days" in why
    service.push()
