"""POST /tickets/batch: each row answered by itself, bad ones kept, whole requests refused for what they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from app import clock
from app.db import Database
from app.models import Deadline, Reject, Ticket, TicketEvent
from app.security.principal import Principal
from app.services.audit import seals
from app.services.core.reference import read_reference
from app.services.intake import create as intake
from app.store import bulk
from ingest.batch.service import MAX_RUNNING, MAX_WAITING
from ingest.rows import compare
from ingest.rows.ticket_in import TicketIn, fingerprint
from tests.support import Service, at, running

NDJSON = {"Content-Type": "application/x-ndjson"}


def ticket(number: int, **fields: Any) -> dict[str, Any]:
    return {"external_id": f"B{number}", "title": "路灯不亮", "received_at": at("2026-03-02 10:00"), **fields}


def send(service: Service, rows: Sequence[Any], **options: Any) -> dict[str, Any]:
    answer = service.call("POST", "/tickets/batch", role="integrator", json=list(rows), **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert [result["index"] for result in found["results"]] == list(range(len(rows)))
    return found


def raw(service: Service, body: bytes, kind: str = "application/json") -> Any:
    return service.call("POST", "/tickets/batch", role="integrator", content=body, headers={"Content-Type": kind})


def tally(answer: dict[str, Any]) -> tuple[int, int, int]:
    return answer["created"], answer["unchanged"], answer["rejected"]


def all_of(service: Service, model: Any) -> list[Any]:
    with service.runtime.database.read() as session:
        return list(session.execute(select(model).order_by(*model.__table__.primary_key.columns)).scalars())


def test_a_batch_says_of_each_row_what_became_of_it(service: Service) -> None:
    send(service, [ticket(1), ticket(2)])
    answer = send(
        service, [ticket(1), ticket(2, title="井盖缺失", reporter={"phone": "1"}), ticket(3), {"title": "x"}, 7]
    )
    assert tally(answer) == (1, 1, 3)
    results = answer["results"]
    assert [result["status"] for result in results] == ["unchanged", "rejected", "created", "rejected", "rejected"]
    assert [e["pointer"] for e in results[1]["errors"]] == ["/reporter/phone", "/title"]
    assert results[3]["errors"] == [{"pointer": "/external_id", "detail": "is required"}]
    assert service.get(f"/tickets/{results[2]['id']}")["external_id"] == "B3"
    assert results[0]["id"] == service.get("/tickets", external_id="B1")["items"][0]["id"]


def test_a_ticket_by_batch_has_all_that_a_pushed_one_has(service: Service) -> None:
    pushed = service.push(external_id="P", received_at=at("2026-03-02 10:00"), unit="GA")
    (result,) = send(service, [ticket(1, unit="GA")])["results"]
    batched = service.get(f"/tickets/{result['id']}")
    own = ("id", "number", "external_id", "next_check_at")
    assert {k: v for k, v in batched.items() if k not in own} == {k: v for k, v in pushed.items() if k not in own}
    types = [[e["type"] for e in service.get(f"/tickets/{t['id']}/events")["items"]] for t in (pushed, batched)]
    assert types[0] == types[1] == ["received", "dispatched"]
    assert seals.verify(service.runtime.database) is None


@pytest.mark.server
@pytest.mark.parametrize("size", [1, bulk.COPY_FROM - 1, bulk.COPY_FROM, 2_500])
def test_groups_of_every_size_are_stored_whole(service: Service, size: int) -> None:
    rows = [ticket(n, unit="GA" if n % 2 else None, attributes={"n": n, "中": [1, None]}) for n in range(size)]
    assert tally(send(service, rows)) == (size, 0, 0)
    assert tally(send(service, rows)) == (0, size, 0)
    compare = all_of(service, Ticket)
    assert [(t.external_id, t.attributes) for t in compare] == [(r["external_id"], r["attributes"]) for r in rows]
    assert len(all_of(service, TicketEvent)) == size + size // 2
    assert len(all_of(service, Deadline)) == size + 2 * (size // 2)
    assert seals.verify(service.runtime.database) is None


def test_a_key_that_comes_twice_in_a_batch_is_one_ticket(service: Service) -> None:
    answer = send(service, [ticket(1), ticket(1), ticket(1, title="另一件事")])
    assert [result["status"] for result in answer["results"]] == ["created", "unchanged", "rejected"]
    assert len({result["id"] for result in answer["results"]}) == 1


def test_a_later_report_of_the_same_batch_is_linked_to_the_first(service: Service) -> None:
    first, second = send(service, [ticket(1), ticket(2, parent_external_id="B1")])["results"]
    assert service.get(f"/tickets/{second['id']}")["parent_id"] == first["id"]
    assert service.get(f"/tickets/{first['id']}")["repeats"] == 1


def test_rejects_are_kept_whole_and_once(service: Service) -> None:
    bad = {"external_id": "B9", "title": "", "colour": "红"}
    for _ in range(2):  # a client that tries again
        assert tally(send(service, [ticket(1), bad]))[2] == 1
    (kept,) = all_of(service, Reject)
    assert (kept.door, kept.row, kept.state, json.loads(kept.raw)) == ("batch", 2, "open", bad)
    assert {error["pointer"] for error in kept.errors} == {"/title", "/colour"}


def test_ndjson_is_read_by_line_and_a_broken_line_is_rejected(service: Service) -> None:
    lines = [json.dumps(ticket(1)), "", '{"external_id": "B2", "ti', json.dumps(ticket(3)), "[1]"]
    answer = raw(service, b"\xef\xbb\xbf" + "\r\n".join(lines).encode(), "application/x-ndjson; charset=utf-8")
    assert answer.status_code == 200, answer.text
    assert [result["status"] for result in answer.json()["results"]] == ["created", "rejected", "created", "rejected"]
    assert [reject.raw for reject in all_of(service, Reject)] == [lines[2], "[1]"]


def test_bytes_that_are_no_text_are_kept_escaped(service: Service) -> None:
    answer = raw(service, b'{"external_id": "B1", "title": "\xff\x00"}\n', "application/x-ndjson")
    assert answer.json()["rejected"] == 1
    (kept,) = all_of(service, Reject)
    assert "\\xff" in kept.raw
    assert "\0" not in kept.raw


@pytest.mark.parametrize(
    ("row", "pointer"),
    [
        ('{"external_id": "B1", "title": "a\\u0000b"}', "/title"),
        ('{"external_id": "B1", "title": "\\ud800"}', "/title"),
        ('{"external_id": "B1", "title": "x", "latitude": NaN}', "/latitude"),
        ('{"external_id": "B1", "title": "x", "unit": "nowhere"}', "/unit"),
        ('{"external_id": "B1", "title": "x", "received_at": "2026-03-02T10:00:00"}', "/received_at"),
        ('{"external_id": "B1", "title": "x", "received_at": "2999-03-02T10:00:00Z"}', "/received_at"),
        ('{"external_id": "B1", "title": "x", "attributes": {"a": 1e999}}', "/attributes/a"),
    ],
)
def test_what_no_database_keeps_is_refused_at_its_place(service: Service, row: str, pointer: str) -> None:
    answer = raw(service, f"[{json.dumps(ticket(2))}, {row}]".encode()).json()
    assert [result["status"] for result in answer["results"]] == ["created", "rejected"]
    assert answer["results"][1]["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b'[{"external_id": "B1", "title": "x"},\n {"a": "}]', "application/json", 400, "line 2"),
        (b'[{"external_id": "B1", "title": "x"}', "application/json", 400, "line 1"),
        (b'{"external_id": "B1", "title": "x"}', "application/json", 400, "array"),
        (b"[" * 100_000, "application/json", 400, "JSON"),
        (b"[[" + b"[]," * 600_000 + b"[]]]", "application/json", 413, "brackets"),
        (b"\xff\xfe[]", "application/json", 400, "UTF-8"),
        (b"", "application/json", 400, "JSON"),
        (b"[]", "text/csv", 415, "application/x-ndjson"),
        (b"[" + b'{"title": "x"},' * 10_000 + b"{}]", "application/json", 413, "10000"),
        (b"{}\n" * 10_001, "application/x-ndjson", 413, "10000"),
        (b" " * (32 * 2**20 + 1), "application/json", 413, "32 MiB"),
    ],
)  # fmt: skip
def test_a_request_that_is_no_batch_is_refused_whole(
    service: Service, body: bytes, kind: str, status: int, says: str
) -> None:
    answer = raw(service, body, kind)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]
    assert all_of(service, Ticket) == all_of(service, Reject) == []


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_broken_long_or_deep_row_is_rejected_alone(service: Service, kind: str) -> None:
    bad = [
        '{"a": }',
        "nope",
        '{"external_id": "B2", "title": "' + "x" * 300_000 + '"}',
        '{"a": ' + "[" * 5_000 + "]" * 5_000 + "}",
    ]
    rows = [json.dumps(ticket(1)), *bad, json.dumps(ticket(3))]
    body = "\n".join(rows) if "ndjson" in kind else f"[{','.join(rows)}]"
    answer = raw(service, body.encode(), kind).json()
    assert [result["status"] for result in answer["results"]] == ["created", *["rejected"] * 4, "created"]
    kept = {reject.row: reject for reject in all_of(service, Reject)}
    assert [kept[n].reason for n in (2, 3, 4, 5)] == ["json_invalid", "json_invalid", "record_too_long", "json_invalid"]
    assert kept[2].raw == '{"a": }'
    assert len(kept[4].raw) < 263_000


def test_more_batches_than_may_wait_are_told_to_come_again(service: Service) -> None:
    batches = service.client.app.state.batches  # type: ignore[attr-defined]
    service.key("integrator")

    async def send_to_a_full_line() -> httpx2.Response:
        async with AsyncExitStack() as line:
            for _ in range(MAX_RUNNING + MAX_WAITING):
                await line.enter_async_context(batches.admit())
            return await asyncio.to_thread(raw, service, b"[]")

    answer = asyncio.run(send_to_a_full_line())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert raw(service, b"[]").status_code == 200


def test_a_repeated_batch_does_not_undo_an_office_correction(service: Service) -> None:
    send(service, [ticket(1), ticket(2)])
    office = Principal("user:li", "李派单", "dispatcher")
    with service.runtime.writing() as uow:
        number = ticket(1)["external_id"]
        compare.correct(uow, office, "hotline", number, {"priority": "emergency"})
    again = send(service, [ticket(1), {**ticket(2), "title": "别的事"}])
    assert [result["status"] for result in again["results"]] == ["unchanged", "rejected"]
    assert sorted(one.priority for one in all_of(service, Ticket)) == ["emergency", "normal"]


def test_an_empty_batch_is_a_batch(service: Service) -> None:
    assert send(service, []) == {"created": 0, "unchanged": 0, "rejected": 0, "results": []}


def test_who_may_push_and_from_where(service: Service) -> None:
    key = service.key("integrator", source="hotline")
    answer = service.call("POST", "/tickets/batch?source=other", key=key, json=[ticket(1)])
    assert answer.status_code == 403
    assert service.call("POST", "/tickets/batch", role="caller", json=[ticket(1)]).status_code == 403
    assert service.call("POST", "/tickets/batch", role="dispatcher", json=[ticket(1)]).json()["created"] == 1
    assert service.client.post("/api/v1/tickets/batch", json=[ticket(1)]).status_code == 401


@pytest.mark.server
@pytest.mark.postgres
@pytest.mark.parametrize("size", [5, 200])
def test_the_first_of_two_transactions_with_one_key_wins(postgres_url: str, size: int) -> None:
    """The look-up before saw nothing: the race is lost in the insert itself, by one statement and by COPY."""

    with running(postgres_url) as service:
        service.key("integrator")
        database: Database = service.runtime.database
        now = clock.now()

        def prepared(first: int) -> list[intake.PreparedTicket]:
            ids = service.runtime.ids.take(size)
            with database.read() as session:
                ref = read_reference(session)
            source = ref.source_by_code("hotline")
            assert source is not None
            rows = [TicketIn(**ticket(first + n)) for n in range(size)]
            return [
                intake.prepare(ref, row, source, ticket_id=i, fingerprint=fingerprint(row), actor="key:1", now=now,
                               zone=service.runtime.settings.zone)
                for row, i in zip(rows, ids, strict=True)
            ]  # fmt: skip

        mine, theirs = prepared(0), prepared(size - 2)  # two keys in common
        with database.write() as session:
            assert bulk.insert_tickets(session, rows_of(theirs)) == set()
        with database.write() as session:
            lost = bulk.insert_tickets(session, rows_of(mine))
        assert lost == {p.ticket["id"] for p in mine[-2:]}
        assert len(all_of(service, Ticket)) == len(all_of(service, TicketEvent)) == 2 * size - 2
        assert seals.verify(database) is None


def rows_of(prepared: Sequence[intake.PreparedTicket]) -> bulk.Rows:
    return bulk.Rows(
        [p.ticket for p in prepared],
        [event for p in prepared for event in p.events],
        [deadline for p in prepared for deadline in p.deadlines],
    )
