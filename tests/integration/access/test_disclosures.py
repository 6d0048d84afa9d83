"""Each look at a citizen's name, phone or id number in full is kept, and whoever audits reads who looked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.files.importer import import_file
from ingest.rows.profile import load_profile
from tests.support import Service, at, moment

REPORTER = {"name": "张三丰", "phone": "13812345678"}


def looks(service: Service, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/disclosures", role="auditor", **params)["items"]
    return found


def refused_rows(service: Service, folder: Path) -> None:
    """A batch with a reporter and one without; a file with a reporter's column, and with a row that is torn."""
    key = service.key("integrator", source="hotline")
    rows = [{"external_id": "R1", "title": "", "reporter": REPORTER}, {"external_id": "R2", "title": ""}]
    assert service.call("POST", "/tickets/batch", key=key, json=rows).status_code == 200
    (folder / "f.csv").write_text("编号,标题,姓名,电话\n,x,张三丰,13812345678\n7,x,张三丰,13812345678,多,余\n", "utf-8")
    import_file(
        service.runtime, folder / "f.csv", load_profile("duban"), moment("2026-03-02 10:00"), source_code="hotline"
    )


def test_a_raw_reject_row_is_disclosed_by_role_and_audited(service: Service, tmp_path: Path) -> None:
    refused_rows(service, tmp_path)
    torn, of_file, plain, pushed = service.get("/rejects", role="dispatcher")["items"]
    assert all("13812345678" in row["raw"] for row in (torn, of_file, pushed))
    listed = looks(service)
    assert {(one["reject_id"], tuple(one["fields"])) for one in listed} == {
        (torn["id"], ("raw",)), (of_file["id"], ("name", "phone")), (pushed["id"], ("name", "phone")),
    }  # fmt: skip
    assert {(one["who_name"], one["ticket_id"]) for one in listed} == {("dispatcher", None)}
    service.get(f"/rejects/{plain['id']}")
    assert looks(service) == listed  # nobody stands in that row
    service.get(f"/rejects/{pushed['id']}")
    assert [one["who_name"] for one in looks(service, reject=pushed["id"])] == ["admin", "dispatcher"]


def test_a_role_without_disclosure_gets_masked_rows_unaudited(service: Service, tmp_path: Path) -> None:
    refused_rows(service, tmp_path)
    torn, of_file, _, pushed = service.get("/rejects", role="integrator")["items"]
    assert torn["raw"] is None
    for row in (of_file, pushed):
        assert ("张**" in row["raw"], "138****5678" in row["raw"]) == (True, True)
        one = service.get(f"/rejects/{row['id']}", role="integrator")
        gone = service.call("DELETE", f"/rejects/{row['id']}").json()
        assert one["raw"] == row["raw"] == gone["raw"]
    assert looks(service) == []


def test_looks_are_read_by_pages_and_by_who_what_and_when(service: Service) -> None:
    first, second = (service.push(reporter=REPORTER)["id"] for _ in range(2))
    for ticket, role in ((first, "caller"), (second, "caller"), (first, "dispatcher"), (first, "leader")):
        service.get(f"/tickets/{ticket}", role=role, reveal=True)
    everything = looks(service)
    assert [(one["ticket_id"], one["who_name"]) for one in everything] == [
        (first, "dispatcher"), (second, "caller"), (first, "caller"),
    ]  # fmt: skip
    page = service.get("/disclosures", limit=2)
    rest = service.get("/disclosures", limit=2, cursor=page["next"])
    assert (page["items"] + rest["items"], rest["next"]) == (everything, None)
    caller = everything[1]["who"]
    assert [len(looks(service, **narrow)) for narrow in (
        {"who": caller}, {"who": caller, "ticket": first}, {"reject": 1}, {"at_to": at("2026-01-01 00:00")},
        {"at_from": everything[-1]["at"]}, {"at_from": everything[0]["at"], "at_to": everything[0]["at"]},
    )] == [2, 1, 0, 0, 3, 0]  # fmt: skip


@pytest.mark.parametrize("role", ["dispatcher", "supervisor", "caller", "unit", "leader", "integrator"])
def test_nobody_else_reads_who_looked(service: Service, role: str) -> None:
    key = service.key(role, unit="GA" if role == "unit" else None)
    assert service.call("GET", "/disclosures", key=key).status_code == 403
