"""Rejects: listed, grouped by reason, corrected, tried again one or all, deleted; who may see which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.models import Unit
from app.services.core import catalogue
from ingest.files.importer import import_file
from ingest.rows.profile import load_profile
from tests.support import Service, at, moment

NOW = moment("2026-03-02 10:00")


def send(service: Service, *rows: Any, source: str = "hotline") -> None:
    key = service.key("integrator", source=source)
    assert service.call("POST", "/tickets/batch", key=key, json=list(rows)).status_code == 200


def bad(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "external_id": f"R{number}",
        "title": "路灯不亮",
        "received_at": at("2026-03-02 10:00"),
        "unit": "XZ",
        **fields,
    }


def import_bad(service: Service, folder: Path, text: str, profile: str = "duban", name: str = "f.csv") -> None:
    (folder / name).write_text(text, "utf-8")
    import_file(service.runtime, folder / name, load_profile(profile), NOW)


def items(service: Service, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/rejects", **params)["items"]
    return found


def test_rejects_are_listed_newest_first_by_pages_and_narrowed(service: Service, tmp_path: Path) -> None:
    send(service, *(bad(n) for n in range(5)), bad(5, title=""))
    send(service, bad(1), source="feed2")
    import_bad(service, tmp_path, "编号,标题\n,x\n")
    everything = items(service)
    assert [r["id"] for r in everything] == sorted((r["id"] for r in everything), reverse=True)
    assert len(everything) == 8
    page, seen = service.get("/rejects", limit=3), []
    while True:
        seen += page["items"]
        if page["next"] is None:
            break
        page = service.get("/rejects", limit=3, cursor=page["next"])
    assert seen == everything
    assert [len(items(service, **narrow)) for narrow in (
        {"door": "import"}, {"source": "feed2"}, {"reason": "string_too_short"}, {"state": "deleted"}, {"state": "all"},
        {"run": everything[0]["run"]},
    )] == [1, 1, 1, 0, 8, 1]  # fmt: skip
    service.get("/rejects", source="nowhere", expect=422)
    first = everything[-1]
    assert (first["door"], first["source"], first["row"], first["state"]) == ("batch", "hotline", 1, "open")
    assert first["errors"][0]["pointer"] == "/unit"
    assert json.loads(first["raw"]) == bad(0)
    assert service.get(f"/rejects/{first['id']}") == first


def test_groups_count_what_waits_by_reason(service: Service) -> None:
    send(service, bad(1), bad(2), bad(3, title="", unit=None))
    found = items(service, group="reason")
    assert [(group["reason"], group["count"]) for group in found] == [("invalid", 2), ("string_too_short", 1)]
    assert found[1]["example"]["errors"] == [{"pointer": "/title", "detail": "must not be empty"}]


def test_a_corrected_row_becomes_a_ticket_and_a_wrong_one_stays(service: Service) -> None:
    send(service, bad(1))
    (reject,) = items(service)
    path = f"/rejects/{reject['id']}"
    still = service.call("POST", f"{path}/retry", json={"row": bad(1, unit="nowhere")})
    assert (still.status_code, still.json()["errors"][0]["pointer"]) == (422, "/unit")
    assert service.get(path) == reject
    taken = service.call("POST", f"{path}/retry", role="dispatcher", json={"row": bad(1, unit="GA")})
    assert taken.status_code == 200, taken.text
    ticket = service.get(f"/tickets/{taken.json()['ticket_id']}")
    assert (ticket["external_id"], ticket["unit"], ticket["historical"]) == ("R1", "GA", False)
    settled = service.get(path)
    assert (settled["state"], settled["ticket_id"]) == ("retried", ticket["id"])
    assert settled["settled_by"].startswith("key:")
    assert json.loads(settled["raw"]) == bad(1)
    assert service.call("POST", f"{path}/retry").status_code == 409


def test_as_it_came_or_as_text_a_row_may_be_tried_again(service: Service) -> None:
    send(service, bad(1), bad(2))
    second, first = items(service)
    assert service.call("POST", f"/rejects/{first['id']}/retry").status_code == 422
    service.unit("XZ")
    assert service.call("POST", f"/rejects/{first['id']}/retry").status_code == 200
    text = json.dumps(bad(2, unit="CG"))
    assert service.call("POST", f"/rejects/{second['id']}/retry", json={"raw": text}).status_code == 200
    assert items(service) == []


@pytest.mark.parametrize(
    ("body", "status"), [({"raw": "{"}, 400), ({"raw": "x", "row": {}}, 422), ({"rows": {}}, 422), ({"row": {}}, 422)]
)
def test_a_correction_that_cannot_be_read_is_refused(service: Service, body: dict[str, Any], status: int) -> None:
    send(service, bad(1))
    assert service.call("POST", f"/rejects/{items(service)[0]['id']}/retry", json=body).status_code == status
    assert len(items(service)) == 1


def test_all_of_a_reason_are_tried_again_at_once(service: Service) -> None:
    send(service, *(bad(n) for n in range(3)), bad(3, unit="nowhere"), bad(4, title=""))
    service.unit("XZ")
    answer = service.call("POST", "/rejects/retry", json={"reason": "invalid"})
    assert answer.json() == {"taken": 3, "refused": 1}
    assert [r["reason"] for r in items(service)] == ["string_too_short", "invalid"]
    assert len(service.get("/tickets")["items"]) == 3
    assert service.call("POST", "/rejects/retry", json={}).status_code == 422


def test_a_row_of_a_file_is_read_by_its_profile_again(service: Service, tmp_path: Path) -> None:
    header = "REC_ID,MAIN_TYPE_NAME,SUB_TYPE_NAME,CREATE_TIME,DISPOSE_UNIT_ID,DISPOSE_UNIT_NAME,INTIME_ARCHIVE_NUM"
    import_bad(service, tmp_path, f"{header}\n77,市容,摊贩,昨天,9001,城管科,1\n", "pingshan")
    (reject,) = items(service)
    row = {**json.loads(reject["raw"]), "CREATE_TIME": "2018-09-01 10:00:00"}
    taken = service.call("POST", f"/rejects/{reject['id']}/retry", json={"row": row}).json()
    ticket = service.get(f"/tickets/{taken['ticket_id']}")
    assert (ticket["status"], ticket["source_verdict"], ticket["historical"]) == ("completed", "on_time", True)
    assert (ticket["unit"], ticket["unit_name"]) == ("9001", "城管科")


def test_a_nested_row_of_json_keeps_its_parts(service: Service, tmp_path: Path) -> None:
    line = {"external_id": "", "title": "x", "reporter": {"phone": "1234567"}, "colour": 5}
    import_bad(service, tmp_path, json.dumps(line) + "\n", name="f.ndjson")
    (reject,) = items(service)
    taken = service.call("POST", f"/rejects/{reject['id']}/retry", json={"row": {**line, "external_id": "N1"}}).json()
    ticket = service.get(f"/tickets/{taken['ticket_id']}")
    assert ticket["attributes"] == {"colour": 5}
    assert ticket["reporter"]["phone"]


def test_other_content_of_a_known_ticket_gets_its_own_number(service: Service) -> None:
    send(service, bad(1, unit=None), bad(1, unit=None, title="另一件事"))
    (reject,) = items(service)
    assert reject["reason"] == "differs"
    answer = service.call("POST", f"/rejects/{reject['id']}/retry")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/title")
    mended = {"row": bad(101, unit=None, title="另一件事")}
    assert service.call("POST", f"/rejects/{reject['id']}/retry", json=mended).status_code == 200
    assert len(service.get("/tickets")["items"]) == 2


def test_a_deleted_reject_leaves_the_list_and_is_kept(service: Service) -> None:
    send(service, bad(1))
    (reject,) = items(service)
    for _ in range(2):
        gone = service.call("DELETE", f"/rejects/{reject['id']}")
        assert (gone.status_code, gone.json()["state"]) == (200, "deleted")
    assert items(service) == []
    assert items(service, state="deleted")[0]["raw"] == reject["raw"]
    assert service.call("POST", f"/rejects/{reject['id']}/retry").status_code == 409
    assert service.call("DELETE", "/rejects/999999").status_code == 404


def test_an_integrator_sees_masked_rejects_of_its_own_source(service: Service) -> None:
    reporter = {"name": "张三丰", "phone": "13812345678"}
    send(service, bad(1, reporter=reporter))
    send(service, bad(2), source="feed2")
    (own,) = items(service, role="integrator")
    assert (own["source"], json.loads(own["raw"])["reporter"]) == ("hotline", {"name": "张**", "phone": "138****5678"})
    theirs = items(service, source="feed2")[0]["id"]
    for method, path in (("GET", ""), ("POST", "/retry"), ("DELETE", "")):
        assert service.call(method, f"/rejects/{theirs}{path}", role="integrator").status_code == 404
    with service.runtime.database.write() as session:
        catalogue.create_node(session, Unit, {"code": "XZ", "name": "乡镇"})
    many = service.call("POST", "/rejects/retry", role="integrator", json={"reason": "invalid"})
    assert many.json() == {"taken": 1, "refused": 0}


@pytest.mark.parametrize("role", ["caller", "leader", "auditor", "supervisor"])
def test_others_have_no_business_with_rejects(service: Service, role: str) -> None:
    send(service, bad(1))
    reject = items(service)[0]["id"]
    calls = (("GET", ""), ("GET", f"/{reject}"), ("POST", f"/{reject}/retry"), ("DELETE", f"/{reject}"))
    assert {service.call(m, f"/rejects{p}", role=role).status_code for m, p in calls} == {403}
