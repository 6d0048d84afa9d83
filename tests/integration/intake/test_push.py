"""The single-push door: what it answers, what it refuses and where, and that nothing is lost or taken twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from app import clock
from app.db import Database
from app.errors import Busy, Invalid
from app.models import IdempotentAnswer, Ticket, TicketEvent
from app.security.principal import Principal
from app.services.access import accounts, key_cache
from app.services.audit.seals import verify
from app.services.intake import create as intake
from ingest.push.queue import PushQueue
from ingest.push.transaction import Answer, Push, commit_pushes
from ingest.rows import compare
from ingest.rows.ticket_in import validate_ticket
from tests.support import Service, at, running

FULL: dict[str, Any] = {
    "external_id": "F-1", "title": "路灯不亮", "content": "三天了", "kind": "complaint", "priority": "urgent",
    "received_at": "2026-03-02T10:00:00+08:00", "source_due_at": "2026-03-05T10:00:00+08:00",
    "reporter": {"name": "张三丰", "phone": "13800001234"}, "address": "人民路 1 号", "latitude": 22.5, "longitude": 114,
    "unit": "GA", "attributes": {"channel": "phone", "score": 3.5},
}  # fmt: skip


def post(service: Service, body: Any, *, role: str = "integrator", query: str = "", **headers: str) -> httpx2.Response:
    options: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    if isinstance(body, bytes):
        headers.setdefault("Content-Type", "application/json")
    return service.call("POST", f"/tickets{query}", role=role, headers=headers, **options)


def count(service: Service, table: Any = Ticket) -> int:
    with service.runtime.database.read() as session:
        return int(session.execute(select(func.count()).select_from(table)).scalar_one())


def incoming(external_id: str, **fields: Any) -> Any:
    return validate_ticket({"external_id": external_id, "title": "路灯不亮", **fields})


# ---------------------------------------------------------------------------------------------------- what is answered


def test_what_a_push_answers_is_what_reading_the_ticket_gives(service: Service) -> None:
    answer = post(service, FULL)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/tickets/{answer.json()['id']}"
    read = service.call("GET", f"/tickets/{answer.json()['id']}", role="integrator")
    assert answer.json() == read.json()
    assert answer.headers["etag"] == read.headers["etag"]
    assert answer.json()["reporter"] == {"name": "张**", "phone": "138****1234", "id_number": None}


def test_a_repeated_push_is_200_and_a_different_one_409_by_field(
    service: Service,
) -> None:
    first = post(service, FULL)
    same = {**FULL, "received_at": "2026-03-02T02:00:00Z", "kind": "投诉", "grid": "", "severity": None}
    again = post(service, same)
    assert (again.status_code, again.json()) == (200, first.json())
    other = post(
        service, {**FULL, "title": "路灯坏了", "reporter": {"name": "张三丰"}, "attributes": {"channel": "web"}}
    )
    assert other.status_code == 409
    assert other.json()["fields"] == ["attributes", "reporter.phone", "title"]
    assert "reporter.phone" in other.json()["detail"]
    assert "13800001234" not in other.text
    assert count(service) == 1


def test_a_retry_after_dispatch_is_still_the_same_content(service: Service) -> None:
    body = {"external_id": "D-1", "title": "路灯不亮"}
    ticket = post(service, body).json()
    service.act(ticket["id"], "dispatch", unit="CG")
    again = post(service, body)
    assert (again.status_code, again.json()["unit"]) == (200, "CG")
    other = post(service, {**body, "unit": "GA", "received_at": at("2026-03-02 10:00")})
    assert other.json()["fields"] == ["received_at", "unit"]


def test_the_same_number_at_two_sources_is_two_tickets(service: Service) -> None:
    assert post(service, FULL).status_code == 201
    key = service.key("integrator", source="other")
    assert service.call("POST", "/tickets", key=key, json=FULL).status_code == 201


@pytest.mark.parametrize(("change", "pointer"), [
    ({"title": "  "}, "/title"),
    ({"title": "a\u0000b"}, "/title"),
    ({"attributes": {"a/b": ["\u0000"]}}, "/attributes/a~1b/0"),
    ({"colour": "red"}, "/colour"),
    ({"unit": "nowhere"}, "/unit"),
    ({"category": "nothing"}, "/category"),
    ({"grid": "nowhere"}, "/grid"),
    ({"received_at": "2026-03-02T10:00:00"}, "/received_at"),
    ({"received_at": "2099-03-02T10:00:00Z"}, "/received_at"),
    ({"received_at": "1970-01-01T00:00:00+14:00"}, "/received_at"),
    ({"source_due_at": "0001-01-01T00:00:00+14:00"}, "/source_due_at"),
    ({"source_due_at": "2100-12-31T23:59:59-12:00"}, "/source_due_at"),
    ({"latitude": 91}, "/latitude"),
])  # fmt: skip
def test_what_cannot_be_taken_is_refused_at_its_place(service: Service, change: dict[str, Any], pointer: str) -> None:
    answer = post(service, {**FULL, **change})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert count(service) == 0


def test_a_receipt_ten_minutes_ahead_is_accepted_and_eleven_not(service: Service) -> None:
    def ahead(minutes: float, number: str) -> int:
        moment = (clock.now() + timedelta(minutes=minutes)).isoformat()
        return post(service, {"external_id": number, "title": "x", "received_at": moment}).status_code

    assert ahead(9.9, "E-1") == 201
    assert ahead(11, "E-2") == 422


def test_a_lone_surrogate_is_refused_where_it_stands(service: Service) -> None:
    answer = post(service, b'{"external_id": "S", "title": "\\ud800"}')
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/title"]


@pytest.mark.parametrize(("body", "headers", "status"), [
    (b"{", {}, 400),
    (b'{"external_id": "\xff"}', {}, 400),
    (b"[1]", {}, 422),
    (b"{}", {"Content-Type": "text/plain"}, 415),
    (b"{}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b" " * (256 * 1024 + 1), {}, 413),
    (b"[" * 100_000, {}, 400),
    (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415),
])  # fmt: skip
def test_a_body_that_is_no_ticket_is_refused_by_its_kind(
    service: Service, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = post(service, body, **headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_body_that_hides_its_length_is_cut_off_all_the_same(service: Service) -> None:
    def endless() -> Any:
        for _ in range(40):
            yield b" " * 10_000

    answer = service.call("POST", "/tickets", role="integrator", content=endless(),
                          headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == 413


def test_unstorable_text_is_refused_everywhere_and_never_a_500(
    service: Service,
) -> None:
    ticket = post(service, FULL).json()
    for said in ("a\0b", "\ud800"):
        body = json.dumps({"reason": said, "note": said}).encode()
        for action in ("void", "return", "urge"):
            answer = service.call("POST", f"/tickets/{ticket['id']}/{action}", content=body,
                                  headers={"Content-Type": "application/json"})  # fmt: skip
            assert answer.status_code == 422, (action, answer.text)
    for query in ("?q=%00", "?external_id=%00", "?unit=%00"):
        assert service.call("GET", f"/tickets{query}").status_code in (200, 422)
    answer = service.call("PATCH", "/tickets/by-external/hotline/%00", json={"title": "x"})
    assert answer.status_code in (404, 422)


# ------------------------------------------------------------------------------------------------------- who may push


def test_only_the_office_pushes_manually_or_for_a_source(service: Service) -> None:
    service.key("integrator", source="hotline")
    body = {"external_id": "M-1", "title": "来访登记"}
    assert post(service, body, role="dispatcher").json()["source"] == "manual"
    assert post(service, body, role="admin", query="?source=hotline").json()["source"] == "hotline"
    assert post(service, body, role="admin", query="?source=nowhere").status_code == 422
    assert post(service, body, role="leader").status_code == 403
    assert post(service, body, role="integrator", query="?source=manual").status_code == 403


def test_without_a_key_or_with_a_wrong_one_nothing_is_taken(service: Service) -> None:
    assert service.client.post("/api/v1/tickets", json=FULL).status_code == 401
    assert service.call("POST", "/tickets", key="dbk_nobody", json=FULL).status_code == 401
    assert count(service) == 0


def test_a_revoked_key_is_refused_once_its_cache_is_stale(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_cache.STALE <= 2, "seconds that a revoked key may still work"
    assert post(service, FULL).status_code == 201
    with service.runtime.database.write() as session:
        accounts.revoke_key(session, 1, clock.now())
    monkeypatch.setattr(key_cache, "FRESH", 0.0)
    monkeypatch.setattr(key_cache, "STALE", 0.0)
    assert post(service, {**FULL, "external_id": "F-2"}).status_code == 401


def test_a_source_that_is_switched_off_takes_nothing(service: Service) -> None:
    assert post(service, FULL).status_code == 201
    service.call("PATCH", "/sources/hotline", json={"active": False}).raise_for_status()
    assert post(service, {**FULL, "external_id": "F-2"}).json()["errors"][0]["pointer"] == "/source"


# --------------------------------------------------------------------------------------------------- Idempotency-Key


def test_an_idempotency_key_replays_the_answer_after_changes(service: Service) -> None:
    first = post(service, FULL, **{"Idempotency-Key": '"k-1"'})
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    service.act(first.json()["id"], "accept")
    again = post(service, FULL, **{"Idempotency-Key": "k-1"})
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"


def test_a_key_reused_for_another_body_is_refused_per_caller(service: Service) -> None:
    post(service, FULL, **{"Idempotency-Key": "k-1"})
    other = post(service, {**FULL, "external_id": "F-2"}, **{"Idempotency-Key": "k-1"})
    assert other.status_code == 422
    assert other.json()["type"].endswith("idempotency-key-reused")
    assert count(service) == 1
    key = service.key("integrator", source="other")
    answer = service.call("POST", "/tickets", key=key, json=FULL, headers={"Idempotency-Key": "k-1"})
    assert answer.status_code == 201


def test_a_refused_request_leaves_its_key_free(service: Service) -> None:
    assert post(service, {**FULL, "unit": "nowhere"}, **{"Idempotency-Key": "k-1"}).status_code == 422
    assert post(service, FULL, **{"Idempotency-Key": "k-1"}).status_code == 201


def test_a_key_older_than_a_day_is_forgotten(service: Service) -> None:
    post(service, FULL, **{"Idempotency-Key": "k-1"})
    with service.runtime.database.write() as session:
        kept = session.execute(select(IdempotentAnswer)).scalar_one()
        kept.created_at -= timedelta(hours=24)
    answer = post(service, FULL, **{"Idempotency-Key": "k-1"})
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", '""', "a b", "k" * 129])
def test_a_key_that_is_not_one_is_refused(service: Service, key: str) -> None:
    assert post(service, FULL, **{"Idempotency-Key": key}).status_code == 400


def test_a_key_twice_in_one_group_makes_one_ticket(service: Service) -> None:
    service.key("integrator")
    pushes = [Push(incoming("A"), "hotline", "key:1", "k"), Push(incoming("A"), "hotline", "key:1", "k"),
              Push(incoming("B"), "hotline", "key:1", "k")]  # fmt: skip
    one, two, three = commit_pushes(service.runtime, pushes, clock.now())
    assert isinstance(one, Answer)
    assert isinstance(two, Answer)
    assert (one.status, two.status, two.replayed, two.body) == ("created", "created", True, one.body)
    assert isinstance(three, Invalid)
    assert count(service) == 1


# --------------------------------------------------------------------------------------------------------- corrections


def correct(service: Service, body: Any, *, expect: int = 200, external_id: str = "F-1", role: str = "integrator",
            source: str = "hotline", version: int | None = None) -> Any:  # fmt: skip
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    answer = service.call(
        "PATCH", f"/tickets/by-external/{source}/{external_id}", role=role, json=body, headers=headers
    )
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_a_correction_changes_named_fields_and_a_retry_none(
    service: Service,
) -> None:
    ticket = post(service, FULL).json()
    patch = {"title": "路灯坏了", "reporter": {"phone": None}, "address": None, "attributes": {"channel": "web"}}
    after = correct(service, patch)
    assert (after["title"], after["address"], after["attributes"]) == (
        "路灯坏了",
        None,
        {"channel": "web", "score": 3.5},
    )
    assert after["reporter"]["phone"] is None
    assert after["version"] == ticket["version"] + 1
    assert correct(service, patch)["version"] == after["version"]
    corrected = {
        **FULL,
        "title": "路灯坏了",
        "reporter": {"name": "张三丰"},
        "attributes": {"channel": "web", "score": 3.5},
    }
    del corrected["address"]
    assert post(service, corrected).status_code == 200
    assert post(service, FULL).json()["fields"] == ["address", "attributes", "reporter.phone", "title"]


def test_a_repeated_push_does_not_undo_an_office_correction(
    service: Service,
) -> None:
    ticket = post(service, FULL).json()
    office = Principal("user:li", "李派单", "dispatcher")
    with service.runtime.writing() as uow:
        compare.correct(uow, office, "hotline", "F-1", {"priority": "emergency"})
    again = post(service, FULL)
    assert (again.status_code, again.json()["id"], again.json()["priority"]) == (200, ticket["id"], "emergency")
    other = post(service, {**FULL, "title": "别的事"})
    assert (other.status_code, "title" in other.json()["fields"]) == (409, True)
    correct(service, {"title": "路灯坏了"})
    assert post(service, FULL).status_code == 409  # the source itself has said something else since


def test_a_correction_event_has_old_and_new_but_no_personal_data(service: Service) -> None:
    ticket = post(service, FULL).json()
    correct(service, {"priority": "emergency", "reporter": {"phone": "13900009999"}, "address": "解放路 2 号"})
    told = service.get(f"/tickets/{ticket['id']}/events")["items"][-1]
    assert told["type"] == "corrected"
    assert told["data"]["fields"] == ["address", "priority", "reporter.phone"]
    assert told["data"]["changes"] == {"priority": {"from": "urgent", "to": "emergency"}}
    assert not any(part in str(told) for part in ("13900009999", "13800001234", "解放路", "人民路", "张三丰"))
    assert verify(service.runtime.database) is None


def test_a_raised_priority_brings_the_deadline_forward(service: Service) -> None:
    ticket = post(service, {**FULL, "priority": "normal"}).json()
    assert ticket["due_at"] == at("2026-03-09 17:30")
    after = correct(service, {"priority": "emergency"})
    assert after["due_at"] == at("2026-03-02 12:00")
    moves = service.get(f"/tickets/{ticket['id']}/events")["items"][-1]["data"]["deadlines"]
    assert moves["complete"].items() >= {"from": "2026-03-09T09:30:00Z", "to": "2026-03-02T04:00:00Z"}.items()
    assert set(moves) == {"accept", "contact", "complete"}


def test_a_later_receipt_moves_only_deadlines_that_start_with_it(
    service: Service,
) -> None:
    post(service, FULL)
    assert correct(service, {"received_at": at("2026-03-03 10:00")})["due_at"] == at("2026-03-10 17:30")
    plain = post(service, {**FULL, "external_id": "F-2", "unit": None}).json()
    due = service.act(plain["id"], "dispatch", unit="GA", at=at("2026-03-04 09:00"))["due_at"]
    assert due == at("2026-03-11 17:30")
    assert correct(service, {"received_at": at("2026-03-01 10:00")}, external_id="F-2")["due_at"] == due
    refused = correct(service, {"received_at": at("2026-03-05 10:00")}, external_id="F-2", expect=422)
    assert refused["errors"][0]["pointer"] == "/received_at"


def test_time_suspended_is_kept_when_the_limit_changes(service: Service) -> None:
    ticket = post(service, {**FULL, "priority": "normal", "kind": "consult"}).json()
    assert ticket["due_at"] == at("2026-03-04 17:30")
    service.act(ticket["id"], "accept", at=at("2026-03-02 11:00"))
    service.act(ticket["id"], "suspend", at=at("2026-03-03 09:00"), reason="等材料")
    service.act(ticket["id"], "resume", at=at("2026-03-04 09:00"))
    assert service.get(f"/tickets/{ticket['id']}")["due_at"] == at("2026-03-05 17:30")
    assert correct(service, {"kind": "complaint"})["due_at"] == at("2026-03-10 17:30")


def test_a_corrected_binding_source_limit_moves_the_deadline(service: Service) -> None:
    service.key("integrator")
    service.call("PATCH", "/sources/hotline", json={"binds_due": True}).raise_for_status()
    assert post(service, FULL).json()["due_at"] == at("2026-03-05 10:00")
    assert correct(service, {"source_due_at": at("2026-03-06 12:00")})["due_at"] == at("2026-03-06 12:00")
    assert correct(service, {"source_due_at": None})["due_at"] == at("2026-03-09 17:30")


def test_the_source_may_set_the_unit_only_before_dispatch(service: Service) -> None:
    ticket = post(service, {**FULL, "unit": None}).json()
    assert correct(service, {"unit": "CG"})["status"] == "dispatched"
    types = [event["type"] for event in service.get(f"/tickets/{ticket['id']}/events")["items"]]
    assert types == ["received", "corrected", "dispatched"]
    assert correct(service, {"unit": "GA"}, expect=409)["fields"] == ["unit"]
    assert post(service, {**FULL, "unit": "CG"}).status_code == 200


@pytest.mark.parametrize(("body", "pointer"), [
    ({"title": None}, "/title"), ({"external_id": "F-2"}, "/external_id"), ({"category": "nothing"}, "/category"),
    ({"colour": "red"}, "/colour"), ({"received_at": "2099-01-01T00:00:00Z"}, "/received_at"), ([], ""),
    ({"attributes": {"x": "\u0000"}}, "/attributes/x"),
])  # fmt: skip
def test_an_invalid_correction_is_refused_and_changes_nothing(service: Service, body: Any, pointer: str) -> None:
    ticket = post(service, FULL).json()
    assert [error["pointer"] for error in correct(service, body, expect=422)["errors"]] == [pointer]
    assert service.get(f"/tickets/{ticket['id']}") == ticket


def test_a_closed_ticket_is_not_corrected_and_a_stale_one_is_412(service: Service) -> None:
    ticket = post(service, FULL).json()
    correct(service, {"title": "x"}, expect=412, version=7)
    correct(service, {"title": "x"}, version=ticket["version"])
    service.act(ticket["id"], "void", reason="误登")
    assert correct(service, {"title": "y"}, expect=409)["state"] == "void"


def test_a_correction_is_for_the_sources_own_tickets_that_exist(service: Service) -> None:
    post(service, FULL)
    correct(service, {"title": "x"}, external_id="F-9", expect=404)
    service.key("integrator", source="other")
    correct(service, {"title": "x"}, source="other", expect=403)
    correct(service, {"title": "x"}, source="nowhere", expect=403)
    correct(service, {"title": "x"}, role="leader", expect=403)
    assert correct(service, {"title": "x"}, role="dispatcher")["title"] == "x"


def test_a_corrected_parent_counts_as_a_repeat_there(service: Service) -> None:
    parent = post(service, {**FULL, "external_id": "P"}).json()
    other = post(service, {**FULL, "external_id": "Q"}).json()
    post(service, {**FULL, "parent_external_id": "P"})
    assert correct(service, {"parent_external_id": "Q"})["parent_id"] == other["id"]
    repeats = {n: service.get(f"/tickets/{n}")["repeats"] for n in (parent["id"], other["id"])}
    assert repeats == {parent["id"]: 0, other["id"]: 1}


# ------------------------------------------------------------------------------------- nothing is lost, nothing is twice


@pytest.mark.server
@pytest.mark.parametrize("processors", [2, 8])
def test_a_hundred_concurrent_pushes_of_ten_ids_make_ten_tickets(
    database_url: str, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    """In one group after the other, and, where the database can, in two at a time."""
    monkeypatch.setattr("ingest.push.queue.os.cpu_count", lambda: processors)
    with running(database_url) as service:
        key = service.key("integrator")

        def push(n: int) -> int:
            body = {"external_id": f"C-{n % 10}", "title": "路灯不亮"}
            return service.call("POST", "/tickets", key=key, json=body).status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(push, range(100)))
        assert sorted(statuses) == [200] * 90 + [201] * 10
        assert count(service) == 10
        assert verify(service.runtime.database) is None


def test_one_row_that_breaks_a_group_is_refused_alone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.key("integrator")
    whole = intake.write

    def write(session: Any, rows: Any, **more: Any) -> Any:
        if any(row.ticket["external_id"] == "R-5" for row in rows):
            rows[0].ticket["title"] = None  # what no check before the database has seen
        return whole(session, rows, **more)

    monkeypatch.setattr(intake, "write", write)
    pushes = [Push(incoming(f"R-{n}"), "hotline", "key:1") for n in range(9)]
    answers = commit_pushes(service.runtime, pushes, clock.now())
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Answer)] == [5]
    assert isinstance(answers[5], Invalid)
    assert count(service) == 8
    assert verify(service.runtime.database) is None


def test_a_bug_in_one_ticket_sinks_no_neighbour(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.key("integrator")
    whole: Callable[..., Any] = intake.prepare

    def prepare(ref: Any, ticket: Any, source: Any, **more: Any) -> Any:
        if ticket.external_id == "R-1":
            raise ZeroDivisionError
        return whole(ref, ticket, source, **more)

    monkeypatch.setattr(intake, "prepare", prepare)
    answers = commit_pushes(
        service.runtime, [Push(incoming(f"R-{n}"), "hotline", "key:1") for n in range(3)], clock.now()
    )
    assert [type(answer) for answer in answers] == [Answer, ZeroDivisionError, Answer]


def test_a_group_stored_by_a_failed_commit_is_found_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.key("integrator")
    lost = ["once"]

    def after_commit(_session: Any) -> None:
        if lost:
            lost.clear()
            raise OperationalError("COMMIT", {}, _lost_connection())

    with service.runtime.database.read() as session:
        event.listen(type(session), "after_commit", after_commit)
    try:
        answers = commit_pushes(
            service.runtime, [Push(incoming(f"L-{n}"), "hotline", "key:1") for n in range(3)], clock.now()
        )
    finally:
        event.remove(type(session), "after_commit", after_commit)
    assert not lost
    assert [answer.status for answer in answers if isinstance(answer, Answer)] == ["created"] * 3
    assert count(service) == 3
    assert count(service, TicketEvent) == 3


def _lost_connection() -> Exception:
    return psycopg.OperationalError("server closed the connection unexpectedly")


@contextmanager
def _away(database: Database) -> Iterator[None]:
    """SQLite is kept busy by another writer; PostgreSQL's connections are cut."""
    if not database.is_postgresql:
        with database.writer.begin():
            yield
        return

    def cut(*_: Any) -> None:
        raise _lost_connection()

    event.listen(database.engine, "before_cursor_execute", cut)
    yield
    event.remove(database.engine, "before_cursor_execute", cut)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer waits for SQLite as long as a test may take, not half a minute."""
    monkeypatch.setattr("app.db.PATIENCE", 0.5)


@pytest.mark.server
@pytest.mark.usefixtures("impatient")
def test_a_lost_database_answers_503_to_all_waiting_and_recovers(
    service: Service,
) -> None:
    post(service, FULL)
    key = service.key("integrator")

    def push(n: int) -> httpx2.Response:
        return service.call("POST", "/tickets", key=key, json={"external_id": f"W-{n}", "title": "x"})

    with _away(service.runtime.database), ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(push, range(8)))
    assert {answer.status_code for answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {push(n).status_code for n in range(8)} == {201}


def test_a_full_queue_refuses_with_retry_after(service: Service) -> None:
    async def story() -> list[Any]:
        settings = service.runtime.settings.model_copy(update={"intake_queue": 2})
        service.runtime.settings = settings
        queue = PushQueue(service.runtime)  # nobody empties it yet
        waiting = [asyncio.create_task(queue.push(Push(incoming(f"Q-{n}"), "hotline", "key:1"))) for n in range(3)]
        await asyncio.sleep(0)
        async with queue:
            return await asyncio.gather(*waiting, return_exceptions=True)

    service.key("integrator")
    one, two, three = asyncio.run(story())
    assert (one.status, two.status) == ("created", "created")
    assert isinstance(three, Busy)
    assert three.retry_after >= 1


def test_closing_answers_whoever_waits_and_takes_nobody_more(service: Service) -> None:
    async def story() -> tuple[list[Any], Any]:
        queue = PushQueue(service.runtime)
        async with queue:
            waiting = [asyncio.create_task(queue.push(Push(incoming(f"X-{n}"), "hotline", "key:1"))) for n in range(5)]
            await asyncio.sleep(0)
        late = await asyncio.gather(queue.push(Push(incoming("X-9"), "hotline", "key:1")), return_exceptions=True)
        return await asyncio.gather(*waiting), late[0]

    service.key("integrator")
    answers, late = asyncio.run(story())
    assert [answer.status for answer in answers] == ["created"] * 5
    assert isinstance(late, Busy)
    assert count(service) == 5


def test_a_caller_that_gives_up_takes_nothing_from_the_others(service: Service) -> None:
    async def story() -> list[Any]:
        async with PushQueue(service.runtime) as queue:
            tasks = [asyncio.create_task(queue.push(Push(incoming(f"G-{n}"), "hotline", "key:1"))) for n in range(3)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    service.key("integrator")
    one, two, three = asyncio.run(story())
    assert isinstance(two, asyncio.CancelledError)
    assert (one.status, three.status) == ("created", "created")
