"""What a retry may do: with the rights and the name of the caller, to the rejected record alone, with no masked value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from app import clock
from app.models import Reject, Ticket, TicketEvent
from ingest.devtools.simulator.server import SECRET, SECRET_VARIABLES, serving
from ingest.devtools.simulator.world import Faults, SimulatedUpstream
from ingest.feeds.pull import pull
from ingest.files.importer import import_file
from ingest.rows.profile import load_profile
from tests.integration.upstream import Moving, add, simulated
from tests.support import Service, moment


@pytest.fixture
def fed(
    service: Service, moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, int, dict[str, Any]]]:
    """A feed with the ticket S000002, and the record S000001 rejected for its state; the service and that record."""
    for variable in SECRET_VARIABLES.values():
        monkeypatch.setenv(variable, SECRET)
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(service.runtime, simulated("sulaiban", address))
        world.advance(2)
        world.items["S000001"].garbage = 4
        pull(service.runtime, "sulaiban", pace=moving.pace())
    with service.runtime.database.read() as session:
        reject = session.execute(select(Reject)).scalar_one()
        assert (reject.external_id, reject.door) == ("S000001", "feed")
        assert reject.id is not None
        yield service, reject.id, json.loads(reject.raw)


def retry(service: Service, reject_id: int, row: dict[str, Any], *, role: str, source: str) -> Any:
    key = service.key(role, source=source if role == "integrator" else None)
    return service.call("POST", f"/rejects/{reject_id}/retry", key=key, json={"row": row})


def stored(service: Service, external_id: str) -> tuple[Ticket | None, list[TicketEvent]]:
    with service.runtime.database.read() as session:
        found = session.execute(select(Ticket).where(col(Ticket.external_id) == external_id)).scalar_one_or_none()
        query = select(TicketEvent).where(col(TicketEvent.ticket_id) == (found.id if found else 0))
        return found, list(session.execute(query.order_by(col(TicketEvent.seq))).scalars())


@pytest.mark.parametrize("role", ["integrator", "dispatcher"])
def test_a_retry_cannot_touch_another_record(fed: tuple[Service, int, dict[str, Any]], role: str) -> None:
    service, reject_id, record = fed
    before = stored(service, "S000002")
    answer = retry(service, reject_id, {**record, "id": "S000002", "state": "new"}, role=role, source="sulaiban")
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/external_id"])
    answer = retry(service, reject_id, {**record, "id": "S000002", "state": "done"}, role=role, source="sulaiban")
    assert answer.status_code == 422
    assert stored(service, "S000002") == before
    assert service.get(f"/rejects/{reject_id}")["state"] == "open"


def test_a_retry_bears_the_name_of_the_caller(fed: tuple[Service, int, dict[str, Any]]) -> None:
    service, reject_id, record = fed
    key = service.key("integrator", source="sulaiban")
    with service.runtime.database.read() as session:
        from_key = session.execute(select(TicketEvent.actor)).scalars().first()  # type: ignore[call-overload]
    assert from_key == "feed:sulaiban"
    record = {**record, "handler": None, "matter": None, "state": "new"}
    answer = service.call("POST", f"/rejects/{reject_id}/retry", key=key, json={"row": record})
    assert answer.status_code == 200, answer.text
    _, events = stored(service, "S000001")
    assert events
    assert {event.actor.partition(":")[0] for event in events} == {"key"}


def test_an_integrator_ends_nothing_and_makes_no_unit(service: Service, tmp_path: Path) -> None:
    service.key("integrator", source="hotline")
    (tmp_path / "f.csv").write_text("编号,标题,状态,责任单位\nA1,,received,GA\n", "utf-8")
    import_file(
        service.runtime, tmp_path / "f.csv", load_profile("duban"), moment("2026-03-02 10:00"), source_code="hotline"
    )
    (reject,) = service.get("/rejects")["items"]
    row = {**json.loads(reject["raw"]), "标题": "路灯不亮"}
    ended = {**row, "状态": "closed", "办结时间": "2026-03-01 10:00", "满意度": "very_satisfied", "责任单位": "NEWUNIT"}
    answer = retry(service, reject["id"], ended, role="integrator", source="hotline")
    assert answer.status_code == 422
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/status", "/completed_at", "/satisfaction", "/unit"}
    assert "NEWUNIT" not in [unit["code"] for unit in service.get("/units")["items"]]
    assert stored(service, "A1")[0] is None
    answer = retry(service, reject["id"], row, role="integrator", source="hotline")
    assert answer.status_code == 200, answer.text
    (tmp_path / "g.csv").write_text("编号,标题,状态,责任单位\nA2,,received,GA\n", "utf-8")
    import_file(
        service.runtime, tmp_path / "g.csv", load_profile("duban"), moment("2026-03-02 10:00"), source_code="hotline"
    )
    (reject,) = service.get("/rejects")["items"]
    answer = retry(service, reject["id"], {**ended, "编号": "A2"}, role="dispatcher", source="hotline")
    assert answer.status_code == 200, answer.text
    found, events = stored(service, "A2")
    assert found is not None
    assert (found.status, found.satisfaction) == ("closed", "very_satisfied")
    assert {event.actor.partition(":")[0] for event in events} == {"key"}


def test_retrying_all_as_an_integrator_keeps_the_reasons(service: Service, tmp_path: Path) -> None:
    service.key("integrator", source="hotline")
    (tmp_path / "f.csv").write_text("编号,标题,状态,办结时间\nA1,,closed,2026-03-01 10:00\n", "utf-8")
    import_file(
        service.runtime, tmp_path / "f.csv", load_profile("duban"), moment("2026-03-02 10:00"), source_code="hotline"
    )
    (reject,) = service.get("/rejects")["items"]
    done = service.call("POST", "/rejects/retry", role="integrator", json={"reason": reject["reason"]})
    assert done.json() == {"taken": 0, "refused": 1}
    assert service.get("/rejects")["items"] == [reject]


REPORTER = {"name": "张三丰", "phone": "13812345678", "id_number": "330102199001011234"}


def test_masked_values_that_come_back_keep_the_original(service: Service) -> None:
    key = service.key("integrator", source="hotline")
    sent = {"external_id": "M1", "title": "", "reporter": REPORTER}
    for external_id, written in (("M1", "row"), ("M2", "raw")):
        service.call("POST", "/tickets/batch", key=key, json=[{**sent, "external_id": external_id}])
        (reject,) = service.get("/rejects", role="integrator")["items"]
        masked = json.loads(reject["raw"])
        assert masked["reporter"]["phone"] == "138****5678"
        row: Any = {**masked, "title": "路灯不亮"}
        content = {written: json.dumps(row) if written == "raw" else row}
        answer = service.call("POST", f"/rejects/{reject['id']}/retry", key=key, json=content)
        assert answer.status_code == 200, answer.text
        found, _ = stored(service, external_id)
        assert found is not None
        assert (found.reporter_name, found.reporter_phone, found.reporter_id_number) == tuple(REPORTER.values())
    service.call("POST", "/tickets/batch", key=key, json=[{**sent, "external_id": "M3"}])
    (reject,) = service.get("/rejects", role="integrator")["items"]
    masked = json.loads(reject["raw"])
    changed = {**masked, "external_id": "M3", "title": "x", "reporter": {**masked["reporter"], "phone": "139****0000"}}
    answer = service.call("POST", f"/rejects/{reject['id']}/retry", key=key, json={"row": changed})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/reporter/phone"])


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("phone", "138****5678"), ("phone", "138xxxx5678"), ("phone", "138＊＊＊＊5678"), ("name", "张**"),
        ("name", "*"), ("id_number", "3****************4"), ("id_number", "330102XXXXXXXX1234"),
    ],
)  # fmt: skip
def test_a_masked_value_is_refused_everywhere(service: Service, tmp_path: Path, part: str, value: str) -> None:
    key = service.key("integrator", source="hotline")
    body = {"external_id": "X1", "title": "路灯不亮", "reporter": {part: value}}
    pointer = f"/reporter/{part}"
    pushed = service.call("POST", "/tickets", key=key, json=body)
    assert (pushed.status_code, pushed.json()["errors"][0]["pointer"]) == (422, pointer)
    assert "masked" in pushed.json()["errors"][0]["detail"]
    batch = service.call("POST", "/tickets/batch", key=key, json=[body]).json()
    assert (batch["rejected"], batch["results"][0]["errors"][0]["pointer"]) == (1, pointer)
    service.push(external_id="X2")
    path = "/tickets/by-external/hotline/X2"
    patched = service.call("PATCH", path, key=key, json={"reporter": {part: value}})
    assert (patched.status_code, patched.json()["errors"][0]["pointer"]) == (422, pointer)
    line = {"external_id": "X3", "title": "x", "reporter": {part: value}}
    (tmp_path / "f.ndjson").write_text(json.dumps(line) + "\n", "utf-8")
    done = import_file(
        service.runtime, tmp_path / "f.ndjson", load_profile("duban"), clock.now(), source_code="hotline"
    )
    assert (done.tally.created, done.tally.rejected) == (0, 1)


@pytest.mark.parametrize("value", ["617-555-1234 x12", "(0571) 8888-1234", "+86 138 1234 5678", "33010219900101123X"])
def test_full_numbers_are_no_masks(service: Service, value: str) -> None:
    service.push(external_id="X1", reporter={"name": "O'Neil 张某某", "phone": value, "id_number": value})


def test_a_mask_stored_before_does_not_block_corrections(service: Service) -> None:
    ticket = service.push(external_id="X1", reporter={"phone": "13812345678"})
    with service.runtime.database.write() as session:
        session.get_one(Ticket, ticket["id"]).reporter_phone = "138****5678"
    answer = service.call("PATCH", "/tickets/by-external/hotline/X1", role="integrator", json={"title": "井盖破损"})
    assert (answer.status_code, answer.json()["title"]) == (200, "井盖破损")
