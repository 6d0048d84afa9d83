"""Reports: sealed, corrected beside, opened to the tickets they count, seen by those who may, downloaded, printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import func, select, update
from sqlmodel import col

from app import cli
from app.config import get_settings
from app.errors import Invalid
from app.models import Report, Ticket
from app.security.principal import SYSTEM
from reports import service
from reports.editions import store as editions
from reports.figures.body import BalanceBroken
from reports.metrics import BALANCE_LEFT, BALANCE_RIGHT, BY_KEY, definitions
from tests.support import Service, at, moment

CONTRACT = (
    "kind", "period", "start", "end", "as_of", "scope", "edition", "hash", "definitions_version", "figures", "by_unit",
    "by_category", "by_source", "by_kind", "by_grid", "by_priority", "series", "compare", "balance", "verdicts_from_source",
)  # fmt: skip
SOON = "2024-04-01 00:05"


def made(
    on: Service, kind: str = "monthly", period: str = "2024-03", now: str = SOON, **more: Any
) -> service.PublishedReport:
    """The report, as made at a time of Beijing."""
    if "as_of" in more:
        more["as_of"] = moment(more["as_of"])
    return service.produce(on.runtime, SYSTEM, kind, period, now=moment(now), **more)


def stored(on: Service, report_id: int) -> Report:
    with on.runtime.database.read() as session:
        return session.get_one(Report, report_id)


@pytest.fixture
def march(service: Service) -> Service:
    """Five tickets of March 2024: two closed in time, one late, one open, one void; GA-1 stands below GA."""
    lives = [("GA", "03-08 10:00", True), ("GA-1", "03-08 11:00", False), ("CG", "03-20 10:00", True)]
    for unit, done, satisfied in lives:
        ticket = service.push(received_at=at("2024-03-04 10:00"), kind="complaint")["id"]
        service.act(ticket, "dispatch", unit=unit, at=at("2024-03-04 10:10"))
        service.act(ticket, "accept", at=at("2024-03-04 10:20"))
        service.act(ticket, "complete", result="已处理", at=at(f"2024-{done}"))
        answer = "satisfied" if satisfied else "basically_satisfied"
        service.call_back(ticket, outcome="reached", satisfaction=answer, resolved=True, at=at("2024-03-21 10:00"))
    waiting = service.push(received_at=at("2024-03-05 10:00"), kind="help")["id"]
    service.act(waiting, "dispatch", unit="CG", at=at("2024-03-05 10:10"))
    service.act(waiting, "accept", at=at("2024-03-05 10:20"))
    wrong = service.push(received_at=at("2024-03-06 10:00"))["id"]
    service.act(wrong, "void", reason="误报", at=at("2024-03-06 11:00"))
    return service


# ----------------------------------------------------------------------------------------------------------- editions


def test_a_report_says_what_the_contract_says(march: Service) -> None:
    report = made(march).document
    assert set(CONTRACT) <= set(report)
    assert [key for key in report if key in CONTRACT] == list(CONTRACT)  # on PostgreSQL too, which keeps no order
    assert list(report["figures"]) == list(BY_KEY)
    figures = report["figures"]
    assert figures["received"] == {"value": 4}
    assert figures["completion_rate"] == {"value": 0.75, "numerator": 3, "denominator": 4}
    assert figures["on_time_rate"] == {"value": 0.5, "numerator": 2, "denominator": 4}
    assert figures["satisfaction_rate_strict"] == {"value": 0.6667, "numerator": 2, "denominator": 3}
    assert figures["score_speed"] == {"value": None, "numerator": 0, "denominator": 0}
    by_unit = {
        row["code"]: (row["parent"], row["figures"]["received"]["value"]) for row in report["by_unit"] if row["code"]
    }
    assert by_unit == {"GA": (None, 2), "GA-1": ("GA", 1), "CG": (None, 2)}
    assert (report["start"], report["as_of"]) == ("2024-03-01T00:00:00+08:00", "2024-04-01T00:05:00+08:00")
    assert (report["edition"], report["running"], report["scope"]) == (1, False, {"unit": None})
    assert [point["period"] for point in report["series"]] == [*(f"2023-{n:02}" for n in range(3, 13)), "2024-01",
                                                               "2024-02", "2024-03"]  # fmt: skip
    assert set(report["compare"]) == {"previous", "last_year"}
    sides = [sum(report["balance"][key] for key in side) for side in (BALANCE_LEFT, BALANCE_RIGHT)]
    assert sides == [5, 5]


def test_the_same_report_again_is_the_same_edition(march: Service) -> None:
    first, again = made(march), made(march, now="2024-04-01 00:06")
    assert (first.created, again.created) == (True, False)
    assert (again.id, again.document) == (first.id, first.document)


def test_later_data_makes_a_correction_beside_the_first(march: Service) -> None:
    first = made(march)
    sealed = editions.document(stored(march, first.id))
    open_ticket = march.get("/tickets", status="accepted")["items"][0]
    march.act(open_ticket["id"], "complete", result="补录", at=at("2024-03-12 09:00"))  # told late, happened in March
    second = made(march, as_of=SOON, now="2024-04-03 09:00")
    assert (second.created, second.document["edition"]) == (True, 2)
    told = stored(march, second.id).difference
    assert told is not None
    assert told["from_edition"] == 1
    assert told["figures"]["completed"] == {"old": {"value": 3}, "new": {"value": 4}}
    assert "received" not in told["figures"]
    assert told["tickets"]["count"] == 1
    (changed,) = told["tickets"]["items"]
    assert (changed["number"], changed["change"]) == (open_ticket["number"], "changed")
    assert changed["columns"]["status"] == ["accepted", "completed"]
    assert changed["columns"]["completed_at"] == [None, "2024-03-12T01:00:00+00:00"]
    kept = stored(march, first.id)
    assert editions.document(kept) == sealed
    for report in (kept, stored(march, second.id)):
        editions.verify(report)
    assert made(march, as_of=SOON, now="2024-05-01 09:00").id == second.id


def test_what_happened_after_the_moment_asked_for_does_not_count(march: Service) -> None:
    first = made(march)
    ticket = march.get("/tickets", status="accepted")["items"][0]["id"]
    march.act(ticket, "complete", result="办结", at=at("2024-04-02 09:00"))
    assert made(march, as_of=SOON, now="2024-04-10 09:00").id == first.id
    later = made(march, now="2024-04-10 09:00")
    assert (later.document["edition"], later.document["figures"]["completed"]) == (2, {"value": 4})
    assert made(march, as_of=SOON, now="2024-04-11 09:00").id == first.id  # the first is still there to be equal to


@pytest.mark.parametrize("touched", ["body", "facts"])
def test_an_edition_that_was_touched_is_found_out(march: Service, touched: str) -> None:
    report_id = made(march).id
    report = stored(march, report_id)
    editions.verify(report)
    body, facts = dict(report.body), report.facts
    body["figures"] = {**body["figures"], "received": {"value": 5}}
    values = {"body": body} if touched == "body" else {"facts": facts[:-1] + bytes([facts[-1] ^ 1])}
    with march.runtime.database.write() as session:
        session.execute(update(Report).where(col(Report.id) == report_id).values(**values))
    with pytest.raises(editions.EditionBroken, match="monthly 2024-03 #1"):
        editions.verify(stored(march, report_id))


def test_facts_come_back_from_parquet_as_they_went_in(march: Service) -> None:
    report = stored(march, made(march).id)
    facts = editions.from_parquet(report.facts)
    assert len(facts) == 5
    assert editions.to_parquet(facts) == report.facts
    assert editions.changed_tickets(facts, facts) == []


def test_a_running_report_is_marked_and_replaced_by_its_edition(march: Service) -> None:
    one = made(march, now="2024-03-05 09:00")
    assert (one.document["running"], one.document["edition"]) == (True, 0)
    assert one.document["figures"]["received"] == {"value": 3}
    two = made(march, now="2024-03-07 09:00")
    assert (two.id, two.created, two.document["figures"]["received"]) == (one.id, True, {"value": 4})
    assert made(march, now="2024-03-07 09:01").created is False
    done = made(march)
    assert (done.document["edition"], done.document["running"], stored(march, done.id).difference) == (1, False, None)


@pytest.mark.server
def test_who_publishes_at_once_gets_one_edition(march: Service) -> None:
    barrier, found = Barrier(4), []

    def work() -> None:
        barrier.wait()
        found.append(made(march))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.id for each in found}) == 1
    assert sorted(each.created for each in found) == [False, False, False, True]


def test_an_unbalanced_report_is_not_published_and_names_tickets(march: Service) -> None:
    ticket = march.get("/tickets", status="accepted")["items"][0]
    with march.runtime.database.write() as session:  # completed before it was received, as no door would take it
        broken = update(Ticket).where(col(Ticket.id) == ticket["id"])
        session.execute(broken.values(status="completed", completed_at=moment("2024-02-01 09:00")))
    with pytest.raises(BalanceBroken, match=ticket["number"]):
        made(march)
    answer = march.call("POST", "/reports", json={"kind": "monthly", "period": "2024-03"})
    assert answer.status_code == 500
    assert (answer.json()["type"], ticket["number"] in answer.json()["detail"]) == (
        "urn:duban:problem:balance-broken",
        True,
    )
    with march.runtime.database.read() as session:
        assert session.execute(select(func.count()).select_from(Report)).scalar_one() == 0


@pytest.mark.parametrize(
    ("kind", "period", "more", "pointer"),
    [
        ("monthly", "2024-13", {}, "/period"),
        ("monthly", "2024-05", {}, "/period"),  # not begun
        ("monthly", "2024-03", {"as_of": "2024-04-01 00:06"}, "/as_of"),  # later than now
        ("monthly", "2024-03", {"as_of": "2024-02-28 09:00"}, "/as_of"),
        ("monthly", "2024-03", {"unit": "NOPE"}, "/scope"),
        ("yearly", "2024", {}, "/kind"),
    ],
)
def test_what_cannot_be_reported_on_is_refused_where_it_is_wrong(
    service: Service, kind: str, period: str, more: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        made(service, kind, period, "2024-04-01 00:05", **more)
    assert refused.value.problems[0].pointer == pointer


# ---------------------------------------------------------------------------------------------- held against the past


def test_a_report_is_compared_with_earlier_ones_at_equal_age(march: Service) -> None:
    early = march.push(received_at=at("2024-02-05 10:00"))["id"]
    when = at("2024-03-02 10:00")
    march.act(early, "dispatch", at=when, unit="CG")
    march.act(early, "accept", at=when)
    march.act(early, "complete", at=when, result="好")
    report = made(march).document
    assert report["compared_with"]["previous"] == {"period": "2024-02", "as_of": "2024-03-01T00:05:00+08:00"}
    assert report["compare"]["previous"]["received"] == {"value": 1}
    assert report["compare"]["previous"]["completed"] == {"value": 0}  # it was completed a day too late to be known
    assert report["series"][-2]["figures"] == report["compare"]["previous"]
    assert report["series"][-1]["figures"] == report["figures"]
    assert report["by_unit"][0]["compare"]["previous"] is None or report["by_unit"][0]["compare"]["previous"]


def test_an_earlier_period_is_read_from_a_sealed_edition_as_old(march: Service) -> None:
    march.push(received_at=at("2024-02-05 10:00"))
    february = made(march, period="2024-02", now="2024-03-01 03:00").document
    march.push(received_at=at("2024-02-06 10:00"))  # late news, which that edition does not know
    report = made(march).document
    assert report["series"][-2]["as_of"] == february["as_of"]
    assert report["series"][-2]["figures"] == february["figures"]
    assert report["compare"]["previous"]["received"] == {"value": 1}
    far = made(march, now="2024-06-01 00:00").document  # three months old: February as it was at three months
    assert far["compare"]["previous"]["received"] == {"value": 2}
    assert far["compared_with"]["previous"]["as_of"].startswith("2024-05-01T00:00")


@pytest.mark.parametrize(
    ("kind", "period", "points", "received"),
    [("daily", "2024-03-04", 31, 3), ("weekly", "2024-W10", 12, 4), ("range", "2024-03-05..2024-03-06", 31, 1)],
)
def test_days_weeks_and_ranges_are_reported_too(
    march: Service, kind: str, period: str, points: int, received: int
) -> None:
    report = made(march, kind, period).document
    assert (len(report["series"]), report["figures"]["received"]["value"]) == (points, received)


# -------------------------------------------------------------------------------------------------------- what is behind


def test_every_figure_equals_the_length_of_its_ticket_list(march: Service) -> None:
    report_id = made(march).id
    report = march.get(f"/reports/{report_id}")
    groups = {"": report["figures"], "unit:GA": next(r["figures"] for r in report["by_unit"] if r["code"] == "GA")}
    for group, figures in groups.items():
        for key, figure in figures.items():
            mean = BY_KEY[key].kind == "mean"
            says = figure.get("n", figure["denominator"] if mean else figure.get("numerator", figure["value"]))
            behind = march.get(f"/reports/{report_id}/tickets", figure=key, group=group, limit=500)
            assert (behind["total"], len(behind["items"]), behind["next"]) == (says, says, None), (group, key)


def test_the_list_behind_is_read_page_by_page(march: Service) -> None:
    report_id = made(march).id
    seen: list[int] = []
    cursor = ""
    while True:
        page = march.get(f"/reports/{report_id}/tickets", figure="received", limit=3, cursor=cursor)
        seen += [ticket["id"] for ticket in page["items"]]
        assert page["total"] == 4
        if page["next"] is None:
            break
        cursor = page["next"]
    assert (len(seen), seen) == (4, sorted(set(seen)))
    late = march.get(f"/reports/{report_id}/tickets", figure="on_time_rate", part="denominator", group="unit:CG")
    assert late["total"] == 2
    assert {ticket["unit"] for ticket in late["items"]} == {"CG"}
    refused = march.call("GET", f"/reports/{report_id}/tickets", params={"figure": "happiness"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/figure")


def test_the_api_makes_a_report_once_and_lists_it(march: Service) -> None:
    body = {"kind": "monthly", "period": "2024-03", "scope": {"unit": "GA"}, "as_of": at(SOON)}
    first = march.call("POST", "/reports", json=body)
    again = march.call("POST", "/reports", json={**body, "scope": "GA"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["created"], again.json()["created"], again.json()["id"]) == (True, False, first.json()["id"])
    assert first.headers["Location"] == f"/api/v1/reports/{first.json()['id']}"
    assert first.json()["figures"]["received"] == {"value": 2}
    made(march)
    listed = march.get("/reports", limit=1)
    assert listed["items"][0] | {"scope": {"unit": None}, "edition": 1, "correction": False} == listed["items"][0]
    rest = march.get("/reports", limit=1, cursor=listed["next"])
    assert (rest["items"][0]["scope"], rest["next"]) == ({"unit": "GA"}, None)
    assert len(march.get("/reports", kind="daily")["items"]) == 0
    assert len(march.get("/reports", scope="GA")["items"]) == 1
    group = march.get(f"/reports/{listed['items'][0]['id']}/figures", group="unit:CG")
    assert (group["group"], group["figures"]["received"]) == ("unit:CG", {"value": 2})
    assert march.get(f"/reports/{listed['items'][0]['id']}/figures")["figures"]["received"] == {"value": 4}


def test_what_each_figure_means_is_served_from_the_registry(service: Service) -> None:
    assert service.get("/metrics/definitions", role="auditor") == json.loads(json.dumps(definitions()))


# ------------------------------------------------------------------------------------------------------------ who may


@pytest.mark.parametrize(
    ("role", "reads", "makes"),
    [
        ("admin", 200, 201), ("leader", 200, 201), ("supervisor", 200, 201), ("dispatcher", 200, 201),
        ("auditor", 200, 403), ("caller", 403, 403), ("integrator", 403, 403),
    ],
)  # fmt: skip
def test_who_reads_and_who_makes_reports(service: Service, role: str, reads: int, makes: int) -> None:
    report_id = made(service).id
    for path in ("/reports", f"/reports/{report_id}", f"/reports/{report_id}/tickets?figure=received",
                 f"/reports/{report_id}/download?format=json"):  # fmt: skip
        assert service.call("GET", path, role=role).status_code == reads, path
    body = {"kind": "monthly", "period": "2024-02"}
    assert service.call("POST", "/reports", role=role, json=body).status_code == makes


def test_a_unit_reads_its_own_reports_and_those_below_it_alone(march: Service) -> None:
    ids = {scope: made(march, unit=scope or None).id for scope in ("", "GA", "GA-1", "CG")}
    key = march.key("unit", unit="GA")
    answers = {scope: march.call("GET", f"/reports/{n}", key=key).status_code for scope, n in ids.items()}
    assert answers == {"": 404, "GA": 200, "GA-1": 200, "CG": 404}
    listed = march.call("GET", "/reports", key=key).json()["items"]
    assert sorted(item["scope"]["unit"] for item in listed) == ["GA", "GA-1"]
    body = {"kind": "monthly", "period": "2024-02", "scope": "GA"}
    assert march.call("POST", "/reports", key=key, json=body).status_code == 403


def test_a_ticket_of_another_unit_is_counted_without_content(march: Service) -> None:
    ticket = march.push(received_at=at("2024-03-07 10:00"), content="家里的事", address="人民路 1 号")["id"]
    march.act(ticket, "dispatch", unit="CG", at=at("2024-03-07 10:10"))
    march.act(ticket, "reassign", unit="GA", reason="职责不符", at=at("2024-03-07 11:00"))
    report_id = made(march, unit="GA").id
    march.act(ticket, "reassign", unit="CG", reason="退回原单位", at=at("2024-04-02 11:00"))
    key = march.key("unit", unit="GA")
    behind = march.call("GET", f"/reports/{report_id}/tickets", key=key, params={"figure": "received"}).json()
    assert behind["total"] == len(behind["items"]) == 3
    gone = next(item for item in behind["items"] if item["id"] == ticket)
    assert (gone["number"] is not None, gone["title"], gone["content"], gone["address"]) == (True, None, None, None)
    assert all(item["title"] for item in behind["items"] if item["id"] != ticket)


# ---------------------------------------------------------------------------------------------------------- downloads


@pytest.mark.parametrize("format_", ["json", "csv", "xlsx"])
def test_a_report_is_downloaded_under_its_name(march: Service, format_: str, tmp_path: Path) -> None:
    report = made(march, unit="GA")
    answer = march.call("GET", f"/reports/{report.id}/download", params={"format": format_, "lang": "en"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''monthly-2024-03-GA.{format_}"
    path = tmp_path / "file"
    path.write_bytes(answer.content)
    if format_ == "json":
        assert json.loads(answer.content) == report.document
    elif format_ == "csv":
        assert '"' in path.read_text("utf-8-sig") or "completion_rate" in path.read_text("utf-8-sig")
    else:
        rows = CalamineWorkbook.from_path(path).get_sheet_by_name("Tickets").to_python()
        counted = [row for row in rows[1:] if row[rows[0].index("In received")] == "Yes"]
        assert len(counted) == report.document["figures"]["received"]["value"] == 2


@pytest.mark.parametrize("format_", ["docx", "pdf", "exe"])
def test_an_unknown_format_is_refused_with_the_known_ones(march: Service, format_: str) -> None:
    answer = march.call("GET", f"/reports/{made(march).id}/download", params={"format": format_})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/format")
    assert "json, csv, xlsx" in answer.json()["errors"][0]["detail"]


# ------------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def duban(march: Service, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line on the same database: called with words, it gives its exit code."""
    monkeypatch.setenv("DUBAN_DATABASE_URL", march.runtime.settings.database_url.get_secret_value())
    get_settings.cache_clear()

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["duban", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    yield call
    get_settings.cache_clear()


def test_the_command_line_writes_the_files_asked_for(
    duban: Any, march: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", "monthly", "2024-03", "--format", "xlsx,csv,json", "--out", str(tmp_path / "out"), "--as-of",
             "2024-04-01T00:05")  # fmt: skip
    assert duban(*words) == 0
    names = ["monthly-2024-03.csv", "monthly-2024-03.json", "monthly-2024-03.xlsx"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    written = json.loads((tmp_path / "out" / "monthly-2024-03.json").read_bytes())
    assert (written["edition"], written["figures"]["received"]) == (1, {"value": 4})
    assert "第 1 版已封存" in capsys.readouterr().out
    assert duban(*words, "--unit", "GA") == 0
    assert (tmp_path / "out" / "monthly-2024-03-GA.csv").exists()
    assert march.get(f"/reports/{made(march).id}")["hash"] == written["hash"]


def test_the_report_command_prints_exactly_one_json_document(duban: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert duban("report", "weekly", "2024-W10", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["kind"], printed["figures"]["received"]) == ("weekly", {"value": 4})


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("monthly", "2024-03", "--format", "docx"), "json, csv, xlsx"),
        (("monthly", "2024-03", "--format", "xlsx,pdf"), "json, csv, xlsx"),
        (("monthly", "2024-W10"), "2024-03"),
        (("hourly", "2024-03"), "daily"),
    ],
)
def test_the_command_line_says_in_a_line_what_is_wrong(
    duban: Any, words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert duban("report", *words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert line in said.err
    assert said.err.count("\n") == 1
