"""What a careless or hostile client sends: refused with a problem document that says where, never a stack trace, never
half obeyed; the same on both databases."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from app.api.limits import LONGEST
from tests.support import Service, running

HUGE = 10**19


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem document of a refusal, checked for what every one of them has."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert body["status"] == status
    assert not [word for word in ("Traceback", "SELECT ", "sqlalchemy", "/app/", ".py") if word in answer.text]
    return body


def pointers(answer: Any) -> list[str]:
    """Where a 422 says that something is wrong."""
    return [error["pointer"] for error in problem(answer, 422)["errors"]]


def cursor(text: str) -> str:
    """A cursor as the service writes it, with whatever in it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


LISTS = (
    "/tickets",
    "/alerts",
    "/supervision-orders",
    "/extensions",
    "/rejects",
    "/reports",
    "/keys",
    "/users",
    "/units",
)


def test_a_number_beyond_the_database_range_is_refused(service: Service) -> None:
    for path in LISTS:
        for text in (f"k{HUGE}", "k9223372036854775808", "k-1", "k"):
            problem(service.call("GET", path, params={"cursor": cursor(text)}), 400)
        for limit in (501, 0, HUGE):
            assert pointers(service.call("GET", path, params={"limit": limit})) == ["/limit"]
    for path in ("/alerts", "/supervision-orders", "/extensions"):
        assert pointers(service.call("GET", path, params={"ticket": HUGE})) == ["/ticket"]
    assert pointers(service.call("PATCH", f"/keys/{HUGE}", json={"revoked": True})) == ["/key_id"]
    assert pointers(service.call("PATCH", f"/users/{HUGE}", json={"active": True})) == ["/user_id"]
    assert pointers(service.call("GET", f"/tickets/{HUGE}")) == ["/ticket_id"]


def test_a_version_of_five_thousand_digits_is_no_version(service: Service) -> None:
    ticket = service.push(unit="GA")["id"]
    answer = service.call("POST", f"/tickets/{ticket}/urge", json={}, headers={"If-Match": '"' + "9" * 5000 + '"'})
    assert "If-Match" in problem(answer, 400)["detail"]


MEANINGLESS = [
    ("status", "bogus"), ("status", "accepted,bogus"), ("kind", "投诉"), ("priority", "x"), ("stage", "x"),
    ("card", "green"), ("unit", "NO"), ("category", "NO"), ("source", "NO"), ("grid", "NO"), ("overdue", "maybe"),
    ("repeated", "2"), ("received_from", "2026-01-01T00:00:00"), ("received_to", "yesterday"), ("due_before", "2026"),
    ("due_before", "0001-01-01T00:00:00+14:00"), ("due_before", "9999-12-31T23:59:59-14:00"), ("q", "x" * 201),
    ("q", "a\0b"), ("external_id", "\0"), ("recieved_from", "2026-01-01T00:00:00Z"),
]  # fmt: skip


def test_an_invalid_filter_is_refused_instead_of_ignored(service: Service) -> None:
    service.push()
    for name, value in MEANINGLESS:
        assert pointers(service.call("GET", "/tickets", params={name: value})) == [f"/{name}"], (name, value)
    # given twice, half of it would be obeyed
    assert pointers(service.call("GET", "/tickets?status=closed&status=void")) == ["/status"]


def test_a_time_filter_needs_an_offset_and_tolerates_a_lost_plus(service: Service) -> None:
    ticket = service.push(unit="GA")["id"]
    for wrong in (1_700_000_000, "1700000000", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", True):
        assert pointers(service.call("POST", f"/tickets/{ticket}/urge", json={"at": wrong})) == ["/at"]
    received = "received_from=2026-01-01T00:00:00+08:00"
    assert [row["id"] for row in service.call("GET", f"/tickets?{received}").json()["items"]] == [ticket]


def test_text_that_no_database_keeps_is_refused_where_it_stands(service: Service) -> None:
    ticket = service.push(unit="GA")["id"]
    order = service.call("POST", f"/tickets/{ticket}/supervision-orders", json={}).json()["id"]
    for method, path, body, at in (
        ("POST", "/units", {"code": "a\0b", "name": "x"}, "/code"),
        ("POST", "/grids", {"code": "g", "name": "\0"}, "/name"),
        ("PATCH", "/units/GA", {"name": "a\0b"}, "/name"),
        ("POST", "/sources", {"code": "s", "name": "a\0b"}, "/name"),
        ("POST", "/keys", {"role": "auditor", "name": "\0"}, "/name"),
        ("POST", f"/tickets/{ticket}/supervision-orders", {"demand": "a\0b"}, "/demand"),
        ("POST", f"/supervision-orders/{order}/reply", {"reply": "\0"}, "/reply"),
        ("POST", f"/tickets/{ticket}/urge", {"note": "a\0b"}, "/note"),
        ("POST", "/rejects/retry", {"reason": "\0"}, "/reason"),
        ("POST", "/reports", {"kind": "daily", "period": "2026-01-01", "scope": "\0"}, "/scope"),
    ):
        assert pointers(service.call(method, path, json=body)) == [at], path
    assert pointers(service.call("POST", f"/tickets/{ticket}/urge", content=b'{"note": "\\ud800"}', headers=JSON)) == [
        "/note"
    ]


JSON = {"Content-Type": "application/json"}


def test_a_path_with_a_nul_leads_nowhere(service: Service) -> None:
    for path in ("/units/%00", "/policies/%00"):
        problem(service.call("PATCH", path, json={"name": "x"}), 404)


BROKEN = [
    (b"[" * 100_000, 400), (b'{"a":' * 50_000, 400), (b'{"note": "\xff"}', 400), (b'{"note":', 400), (b"[1]", 422),
    (b'"x"', 422), (b'{"days": NaN}', 422),
]  # fmt: skip


def test_a_body_that_is_no_object_of_json_is_refused(service: Service) -> None:
    ticket = service.push(unit="GA")["id"]
    for body, status in BROKEN:
        problem(service.call("POST", f"/tickets/{ticket}/urge", content=body, headers=JSON), status)
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
        answer = service.call("POST", f"/tickets/{ticket}/urge", content=b"<a/>", headers={"Content-Type": kind})
        problem(answer, 422)


def test_a_huge_body_is_refused_by_length_header_and_by_content(service: Service) -> None:
    ticket = service.push(unit="GA")["id"]
    path = f"/tickets/{ticket}/urge"
    declared = service.client.post(f"/api/v1{path}", content=b"x" * (LONGEST + 1), headers=JSON)
    problem(declared, 413)  # even before it is asked who sends it

    def pieces() -> Iterator[bytes]:
        yield b'{"note": "'
        for _ in range(LONGEST // 2**16 + 1):
            yield b"x" * 2**16
        yield b'"}'

    problem(service.call("POST", path, content=pieces(), headers=JSON), 413)
    assert service.get(f"/tickets/{ticket}")["urges"] == 0


def test_every_method_on_a_missing_resource_answers_404(service: Service) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/mediations", "/webhooks", "/supervision-orders/1/document", "/nope"):
            found = problem(service.call(method, path), 404)
            assert "/docs" in found["detail"]
    for path in ("/open311/v2/services.json", "/r/token", "/report/token", "/api/v2/tickets"):
        problem(service.client.get(path), 404)


def test_405_names_the_allowed_methods(service: Service) -> None:
    answer = service.call("DELETE", "/units")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert "GET, HEAD, POST" in problem(answer, 405)["detail"]
    problem(service.call("GET", "/tickets/"), 404)  # and not sent elsewhere: an address has one spelling


def test_an_action_refuses_what_it_does_not_take(service: Service) -> None:
    ticket = service.push()["id"]
    answer = service.call("POST", f"/tickets/{ticket}/dispatch", json={"unit": "GA", "days": 3, "note": "x"})
    assert sorted(pointers(answer)) == ["/days", "/note"]
    assert service.get(f"/tickets/{ticket}")["status"] == "received"


def test_a_correction_reaches_an_external_id_with_a_slash_in_it(service: Service) -> None:
    service.push(external_id="2026/热线 7")
    path = "/tickets/by-external/hotline/2026%2F%E7%83%AD%E7%BA%BF%207"
    answer = service.call("PATCH", path, role="integrator", json={"priority": "urgent"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["priority"] == "urgent"


def test_a_key_is_ended_for_good_and_only_one_that_is_there(service: Service) -> None:
    problem(service.call("PATCH", "/keys/777777", json={"revoked": True}), 404)
    assert pointers(service.call("PATCH", "/keys/777777", json={"revoked": False})) == ["/revoked"]


def test_the_scope_of_a_report_is_an_object_or_a_code(service: Service) -> None:
    body = {"kind": "daily", "period": "2026-01-01"}
    assert pointers(service.call("POST", "/reports", json={**body, "scope": {"grid": "x"}})) == ["/scope/grid"]
    assert service.call("POST", "/reports", json={**body, "scope": "GA"}).json()["scope"] == {"unit": "GA"}


def test_an_invalid_order_action_names_state_and_allowed_actions(service: Service) -> None:
    ticket = service.push(unit="GA")["id"]
    order = service.call("POST", f"/tickets/{ticket}/supervision-orders", json={}).json()["id"]
    found = problem(service.call("POST", f"/supervision-orders/{order}/accept-reply", json={}), 409)
    assert (found["state"], found["allowed"]) == ("issued", ["reply"])


def test_an_unknown_report_group_has_no_ticket_list(service: Service) -> None:
    service.push(unit="GA", received_at="2026-03-02T09:00:00+08:00")
    report = service.call("POST", "/reports", json={"kind": "daily", "period": "2026-03-02"}).json()["id"]
    path = f"/reports/{report}/tickets"
    assert service.get(path, figure="received", group="unit:GA")["total"] == 1
    for group in ("unit:NO", "nothing"):
        assert pointers(service.call("GET", path, params={"figure": "received", "group": group})) == ["/group"]


def test_what_is_due_is_open_unless_a_state_is_named(service: Service) -> None:
    still, done = (service.push(unit="GA", received_at="2026-03-02T09:00:00+08:00")["id"] for _ in range(2))
    service.act(done, "accept")
    service.act(done, "complete", result="已办")
    before = "2026-04-01T00:00:00+08:00"
    assert [row["id"] for row in service.get("/tickets", due_before=before)["items"]] == [still]
    assert [row["id"] for row in service.get("/tickets", due_before=before, status="completed")["items"]] == [done]


@pytest.mark.server
@pytest.mark.postgres
def test_a_page_reports_a_lost_database_and_recovers(postgres_url: str) -> None:
    def refuse(*_: Any) -> None:
        raise psycopg.OperationalError("the database system is starting up")

    with running(postgres_url) as service:
        engine, cookie = service.runtime.database.engine, {"Cookie": "duban_session=nobody"}
        event.listen(engine, "do_connect", refuse)
        engine.dispose()
        answer = service.client.get("/tickets?lang=en", headers=cookie)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "the database is away" in answer.text
        event.remove(engine, "do_connect", refuse)
        assert service.client.get("/tickets", headers=cookie, follow_redirects=False).status_code == 303


def test_unstorable_text_in_rules_is_refused_with_pointer(service: Service) -> None:
    rungs = service.get("/ladders")["items"][0]["rungs"]
    for path, body, where in (
        ("/ladders/default", {"rungs": [{**rungs[0], "name": "到\ud800期"}, *rungs[1:]]}, "/rungs/0/name"),
        ("/ladders/default", {"rungs": [{**rungs[0], "na\0me": "到期"}, *rungs[1:]]}, "/rungs/0"),
        ("/policies/default", {"name": "默认\0"}, "/name"),
    ):
        headers = {"Content-Type": "application/json"}
        answer = service.call("PATCH", path, content=json.dumps(body), headers=headers)
        assert pointers(answer) == [where]
    assert service.get("/ladders")["items"][0]["rungs"] == rungs
