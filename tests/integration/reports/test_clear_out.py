"""The clear-out ledger: frozen once, for reasons, with both clocks; cleared and put back by itself; settled by the next."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import select
from sqlmodel import col

from app.errors import Conflict
from app.models import ClearOutEntry, ClearOutList, Report
from app.security.principal import SYSTEM
from reports import service
from reports.clear_out import ledger
from reports.editions import store as editions
from reports.period import parse_period
from tests.support import Service, at, moment

MARCH_ENDED, APRIL_ENDED = "2024-04-01 00:05", "2024-05-01 00:05"


def frozen(on: Service, month: str = "2024-03", now: str = MARCH_ENDED, **more: Any) -> dict[str, Any]:
    """The list of a month, frozen at a time of Beijing where it is not yet."""
    return service.produce(on.runtime, SYSTEM, "clear-out", month, now=moment(now), **more).document


def lived(on: Service, month: str = "2024-03", now: str = "2024-04-20 09:00", **more: Any) -> dict[int, dict[str, Any]]:
    """The rows of a month's list as they stand at a time, by ticket."""
    with on.runtime.reading() as (session, ref):
        found = service.clear_out(
            session, ref, SYSTEM, month, now=moment(now), zone=on.runtime.settings.zone, **more
        )  # fmt: skip
    return {item["ticket_id"]: item for item in found["items"]}


def codes(document: dict[str, Any]) -> dict[int, list[str]]:
    return {item["ticket_id"]: [reason["code"] for reason in item["reasons"]] for item in document["items"]}


def ticket(on: Service, received: str, unit: str = "GA", **fields: Any) -> int:
    """A ticket received, dispatched and signed for at a time of March 2024."""
    number: int = on.push(received_at=at(f"2024-{received}"), **fields)["id"]
    on.act(number, "dispatch", unit=unit, at=at(f"2024-{received}"))
    on.act(number, "accept", at=at(f"2024-{received}"))
    return number


@pytest.fixture
def office(service: Service) -> Service:
    """The service, by a name that leaves ``service`` to the module under test."""
    return service


def test_each_open_ticket_stands_on_the_list_for_its_reasons(office: Service) -> None:
    overdue = ticket(office, "03-01 10:00")  # due Friday the 8th; the 22nd is its tenth working day beyond
    ticket(office, "03-18 10:00")  # due the 25th; overdue by four working days at the month's end
    suspended = ticket(office, "03-12 10:00", unit="GA-1")
    office.act(suspended, "suspend", reason="等鉴定", at=at("2024-03-13 10:00"))
    short = ticket(office, "03-25 10:00")
    office.act(short, "suspend", reason="等鉴定", at=at("2024-03-26 10:00"))
    first = ticket(office, "03-26 10:00", external_id="A")
    again = ticket(office, "03-27 10:00", parent_external_id="A")
    done = ticket(office, "03-04 10:00")
    office.act(done, "complete", result="办结", at=at("2024-03-05 10:00"))
    document = frozen(office)
    assert codes(document) == {overdue: ["overdue"], suspended: ["suspended"], first: ["repeated"], again: ["repeated"]}
    rows = {item["ticket_id"]: item for item in document["items"]}
    assert rows[overdue]["reasons"][0]["zh"] == "超期 15 个工作日"  # 11–15, 18–22, 25–29 March
    assert rows[suspended]["reasons"][0]["en"] == "suspended for 18 days"
    assert document["summary"]["listed"] == 4
    assert {row["code"]: row["count"] for row in document["summary"]["by_reason"]} == {
        "overdue": 1, "repeated": 2, "suspended": 1,
    }  # fmt: skip
    assert {row["code"]: row["count"] for row in document["summary"]["by_unit"]} == {"GA": 3, "GA-1": 1}
    assert document["summary"]["last"] is None
    assert document["settings"] == {
        "overdue_working_days": 5, "suspended_days": 10, "reports": 2, "dissatisfied": 2, "order_term": 2,
        "relapse_days": 30,
    }  # fmt: skip


def test_days_open_are_told_on_both_clocks(office: Service) -> None:
    number = ticket(office, "03-11 10:00")  # a Monday, in hours 09:00–12:00, 13:30–17:30
    office.act(number, "suspend", reason="等鉴定", at=at("2024-03-11 11:00"))
    row = frozen(office)["items"][0]
    assert (row["ticket_id"], row["unit_seconds"]) == (number, 3600)
    assert row["citizen_seconds"] == int((moment("2024-04-01 00:00") - moment("2024-03-11 10:00")).total_seconds())


def test_two_dissatisfactions_and_a_second_term_are_reasons(office: Service) -> None:
    number = ticket(office, "03-04 10:00")
    for day in ("05", "07"):
        office.act(number, "complete", result="办结", at=at(f"2024-03-{day} 10:00"))
        office.call_back(number, outcome="reached", satisfaction="dissatisfied", at=at(f"2024-03-{day} 15:00"))
    (row,) = frozen(office)["items"]
    assert [reason["code"] for reason in row["reasons"]][-2:] == ["dissatisfied", "supervision"]
    assert row["stage"]["code"] != "assigned"


def test_a_repeat_within_thirty_days_of_closing_is_a_reason(office: Service) -> None:
    for name, closed in (("A", "02-28"), ("B", "01-05")):
        earlier = office.push(received_at=at("2024-01-02 10:00"), external_id=name)["id"]
        office.act(earlier, "dispatch", unit="GA", at=at("2024-01-02 10:00"))
        office.act(earlier, "accept", at=at("2024-01-02 10:00"))
        office.act(earlier, "complete", result="办结", at=at(f"2024-{closed} 10:00"))
        office.call_back(earlier, outcome="reached", satisfaction="satisfied", at=at(f"2024-{closed} 11:00"))
    relapse = ticket(office, "03-28 10:00", parent_external_id="A")
    late = ticket(office, "03-28 10:00", parent_external_id="B")
    assert codes(frozen(office)) == {relapse: ["repeated", "relapsed"], late: ["repeated"]}


def test_a_list_made_late_is_the_list_that_was_missed(office: Service) -> None:
    open_then = ticket(office, "03-01 10:00")
    office.act(open_then, "complete", result="办结", at=at("2024-04-03 10:00"))
    frozen_late = frozen(office, now="2024-04-20 09:00")
    assert codes(frozen_late) == {open_then: ["overdue"]}
    assert frozen_late["as_of"] == "2024-04-01T00:00:00+08:00"
    assert frozen_late["items"][0]["state"] == "cleared"


def test_a_list_is_frozen_once_and_sealed(office: Service) -> None:
    ticket(office, "03-01 10:00")
    first = frozen(office)
    ticket(office, "03-02 10:00")  # told late: it would stand on a list made now
    assert frozen(office, now="2024-04-02 09:00") == first
    with office.runtime.database.read() as session:
        (report,) = session.execute(select(Report)).scalars()
        editions.verify(report)
        assert (report.kind, report.edition, report.hash) == ("clear-out", 1, first["hash"])
    behind = office.get(f"/reports/{report.id}/tickets", figure="listed", group="reason:overdue")
    assert (behind["total"], len(behind["items"])) == (1, 1)


@pytest.mark.server
def test_who_freezes_at_once_gets_one_list(office: Service) -> None:
    ticket(office, "03-01 10:00")
    barrier, found = Barrier(3), []

    def work() -> None:
        barrier.wait()
        found.append(service.produce(office.runtime, SYSTEM, "clear-out", "2024-03", now=moment(MARCH_ENDED)))

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.created for each in found) == [False, False, True]
    assert len({each.id for each in found}) == 1
    with office.runtime.database.read() as session:
        assert len(session.execute(select(ClearOutEntry)).scalars().all()) == 1


def test_a_month_that_still_runs_is_shown_and_not_frozen(office: Service) -> None:
    ticket(office, "03-01 10:00")
    shown = frozen(office, now="2024-03-25 09:00")
    assert (shown["running"], shown["edition"], shown["summary"]["listed"]) == (True, 0, 1)
    with office.runtime.reading() as (session, ref):
        period = parse_period("clear-out", "2024-03", "Asia/Shanghai")
        listed = ledger.draft(session, ref, period, moment("2024-03-25 09:00"), relapse_days=30)
    with office.runtime.database.write() as session, pytest.raises(Conflict, match="2024-03"):
        ledger.freeze(session, listed, moment("2024-03-25 09:00"), "user:x")
    assert office.call("GET", "/clear-out/2024-03").status_code == 404
    assert frozen(office)["edition"] == 1


# ------------------------------------------------------------------------------------------------------ lived with


def test_a_row_is_cleared_by_completion_and_restored_by_a_repeat(office: Service) -> None:
    number = ticket(office, "03-01 10:00", external_id="A")
    frozen(office)
    assert lived(office)[number]["state"] == "open"
    office.act(number, "complete", result="办结", at=at("2024-04-10 10:00"))
    cleared = lived(office)[number]
    assert (cleared["state"], cleared["cleared_at"]) == ("cleared", "2024-04-10T10:00:00+08:00")
    assert lived(office, now="2024-04-09 09:00")[number]["state"] == "open"  # as it stood then
    ticket(office, "04-12 10:00", parent_external_id="A")
    back = lived(office)[number]
    assert (back["state"], back["cleared_at"]) == ("put_back", None)


def test_a_reopened_ticket_is_put_back_too(office: Service) -> None:
    number = ticket(office, "03-01 10:00")
    frozen(office)
    office.act(number, "complete", result="办结", at=at("2024-04-10 10:00"))
    office.call_back(number, outcome="reached", satisfaction="dissatisfied", at=at("2024-04-11 10:00"))
    assert lived(office)[number]["state"] == "put_back"


def test_the_next_list_settles_the_last_and_carries_plans_over(office: Service) -> None:
    done, stays = ticket(office, "03-01 10:00"), ticket(office, "03-04 10:00", unit="CG")
    frozen(office)
    plan = {"leader": "李副局长", "measures": "每周调度", "condition": "群众签字"}
    assert office.call("PATCH", f"/clear-out/2024-03/{stays}", json=plan).status_code == 200
    office.act(done, "complete", result="办结", at=at("2024-04-10 10:00"))
    april = frozen(office, "2024-04", APRIL_ENDED)
    (row,) = april["items"]
    assert (row["ticket_id"], row["lists"]) == (stays, 2)
    assert {name: row[name] for name in plan} == plan
    last = april["summary"]["last"]
    assert (last["period"], last["listed"], last["cleared"], last["carried_over"], last["put_back"]) == (
        "2024-03", 2, 1, 1, 0,
    )  # fmt: skip
    assert last["rate"] == {"value": 0.5, "numerator": 1, "denominator": 2}
    office.act(stays, "complete", result="办结", at=at("2024-05-10 10:00"))
    states = {key: row["state"] for key, row in lived(office, now="2024-05-20 09:00").items()}
    assert states == {done: "cleared", stays: "carried_over"}  # what the next list found, whatever came later
    refused = office.call("PATCH", f"/clear-out/2024-03/{stays}", json={"leader": "王"})
    assert refused.status_code == 409
    part = frozen(office, "2024-04", APRIL_ENDED, unit="GA")
    assert part["items"] == []
    assert (part["summary"]["last"]["listed"], part["summary"]["last"]["cleared"]) == (1, 1)


def test_an_open_ticket_stays_on_the_ledger_without_other_reason(office: Service) -> None:
    number = ticket(office, "03-12 10:00")
    office.act(number, "suspend", reason="等鉴定", at=at("2024-03-13 10:00"))
    assert codes(frozen(office)) == {number: ["suspended"]}
    office.act(number, "resume", at=at("2024-04-28 10:00"))
    assert codes(frozen(office, "2024-04", APRIL_ENDED)) == {number: ["carried_over"]}


def test_a_row_is_changed_by_one_who_read_its_latest_version(office: Service) -> None:
    number = ticket(office, "03-01 10:00")
    frozen(office)
    path = f"/clear-out/2024-03/{number}"
    first = office.call("PATCH", path, json={"leader": " 李副局长 "}, headers={"If-Match": '"1"'}, role="supervisor")
    assert (first.status_code, first.headers["ETag"]) == (200, '"2"')
    assert (first.json()["leader"], first.json()["version"]) == ("李副局长", 2)
    assert office.call("PATCH", path, json={"measures": "约谈"}, headers={"If-Match": '"1"'}).status_code == 412
    second = office.call("PATCH", path, json={"measures": "约谈"}, headers={"If-Match": '"2"'}).json()
    assert (second["leader"], second["measures"]) == ("李副局长", "约谈")
    assert office.call("PATCH", path, json={"leader": None}).json()["leader"] is None
    assert office.call("PATCH", path, json={"state": "cleared"}).status_code == 422
    assert office.call("PATCH", path, json={"leader": "x" * 101}).status_code == 422
    assert office.call("PATCH", "/clear-out/2024-03/999999", json={"leader": "x"}).status_code == 404
    with office.runtime.database.read() as session:
        (report,) = session.execute(select(Report)).scalars()
    editions.verify(report)  # what is lived with is no part of what was sealed


@pytest.mark.parametrize(
    ("role", "reads", "changes"),
    [("leader", 200, 200), ("supervisor", 200, 200), ("dispatcher", 200, 403), ("auditor", 200, 403), ("caller", 403, 403),
     ("integrator", 403, 403)],
)  # fmt: skip
def test_who_reads_and_who_changes_the_list(office: Service, role: str, reads: int, changes: int) -> None:
    number = ticket(office, "03-01 10:00")
    frozen(office)
    assert office.call("GET", "/clear-out/2024-03", role=role).status_code == reads
    body = {"leader": "李副局长"}
    assert office.call("PATCH", f"/clear-out/2024-03/{number}", role=role, json=body).status_code == changes


def test_a_unit_sees_its_part_of_the_list(office: Service) -> None:
    mine, below = ticket(office, "03-01 10:00"), ticket(office, "03-01 11:00", unit="GA-1")
    ticket(office, "03-01 12:00", unit="CG")
    frozen(office)
    key = office.key("unit", unit="GA")
    seen = office.call("GET", "/clear-out/2024-03", key=key).json()
    assert {item["ticket_id"] for item in seen["items"]} == {mine, below}
    assert (seen["summary"]["listed"], seen["scope"]) == (2, {"unit": "GA"})
    assert office.call("GET", "/clear-out/2024-03?unit=GA-1", key=key).json()["summary"]["listed"] == 1
    assert office.call("GET", "/clear-out/2024-03?unit=CG", key=key).status_code == 404
    assert office.call("GET", "/clear-out/2024-03").json()["summary"]["listed"] == 3


def test_a_month_without_a_list_is_told_how_to_get_one(office: Service) -> None:
    answer = office.call("GET", "/clear-out/2024-02")
    assert (answer.status_code, "duban report clear-out 2024-02" in answer.json()["detail"]) == (404, True)
    assert office.call("GET", "/clear-out/February").status_code == 422


@pytest.mark.parametrize("format_", ["json", "csv", "xlsx"])
def test_the_list_is_downloaded_as_it_is_lived_with(office: Service, format_: str, tmp_path: Path) -> None:
    number = ticket(office, "03-01 10:00", title="夜间噪声")
    frozen(office)
    office.call("PATCH", f"/clear-out/2024-03/{number}", json={"leader": "李副局长"})
    (listed,) = office.get("/reports", kind="clear-out")["items"]
    answer = office.call("GET", f"/reports/{listed['id']}/download", params={"format": format_})
    assert answer.headers["content-disposition"].endswith(f"clear-out-2024-03.{format_}")
    if format_ == "xlsx":
        (tmp_path / "list.xlsx").write_bytes(answer.content)
        sheets = CalamineWorkbook.from_path(tmp_path / "list.xlsx")
        text = str(sheets.get_sheet_by_index(0).to_python())
    else:
        text = answer.content.decode("utf-8-sig")
    assert "李副局长" in text
    assert "夜间噪声" in text


def test_the_rules_in_force_are_kept_with_the_list(office: Service) -> None:
    frozen(office)
    with office.runtime.database.read() as session:
        row = session.execute(select(ClearOutList).where(col(ClearOutList.month) == "2024-03")).scalar_one()
    assert (row.settings["overdue_working_days"], row.settings["suspended_days"], row.created_by) == (
        5,
        10,
        "system:duban",
    )
