"""Files taken in whole: counts, what a ticket of the past becomes, rejects, and going on after an interruption."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlmodel import col

from app.config import Settings
from app.db import Database
from app.errors import BadRequest, Conflict
from app.models import Callback, Category, Deadline, Grid, ImportRun, Reject, Source, Ticket, TicketEvent, Unit
from app.runtime import Runtime
from app.services.audit import seals
from app.services.core import catalogue
from app.services.supervision.sweep import sweep
from ingest.files.importer import ImportResult, Progress, import_file, rejects_of
from ingest.rows.profile import load_profile, parse_profile
from tests.waiting import until

NOW = datetime.fromisoformat("2026-03-02T10:00:00+08:00")
HEADER = (
    "编号", "标题", "类型", "分类", "责任单位", "受理时间", "状态", "派单时间", "签收时间", "办结时间", "归档时间",
    "作废时间", "时限", "满意度", "办理结果",
)  # fmt: skip


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    """The service's shared state on an empty database."""
    found = Runtime.open(Settings(database_url=SecretStr(database_url)), NOW)
    yield found
    found.close()


def table(folder: Path, rows: Sequence[dict[str, str]], name: str = "tickets.csv") -> Path:
    """A file of the office's own columns; what a row leaves out is blank, but for its number, title and receipt."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER, restval="")
        writer.writeheader()
        for number, row in enumerate(rows, 1):
            writer.writerow({"编号": f"A{number}", "标题": "路灯不亮", "受理时间": "2026-01-05 09:00", **row})
    return path


def take(runtime: Runtime, path: Path, profile: str = "duban", **options: Any) -> ImportResult:
    return import_file(runtime, path, load_profile(profile), NOW, **options)


def counts(done: ImportResult) -> tuple[int, int, int]:
    return done.tally.created, done.tally.unchanged, done.tally.rejected


def all_of(runtime: Runtime, model: Any) -> list[Any]:
    with runtime.database.read() as session:
        return list(session.execute(select(model).order_by(*model.__table__.primary_key.columns)).scalars())


def only(runtime: Runtime, model: Any) -> Any:
    (found,) = all_of(runtime, model)
    return found


def local(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(NOW.tzinfo).strftime("%m-%d %H:%M")


# -------------------------------------------------------------------------------------------- counts, and again


def test_a_file_becomes_tickets_and_rejects_and_its_chains_hold(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, [{}, {"标题": ""}, {"类型": "投诉"}, {"受理时间": "昨天"}, {"类型": "闲聊"}])
    done = take(runtime, path)
    assert counts(done) == (2, 0, 3)
    found = list(rejects_of(runtime, done.run_id))
    assert [(row, errors[0]["pointer"]) for row, errors in found] == [(2, "/title"), (4, "/received_at"), (5, "/kind")]
    kept = all_of(runtime, Reject)
    assert [(r.door, r.row, r.state, r.profile) for r in kept] == [("import", n, "open", "duban") for n in (2, 4, 5)]
    assert json.loads(kept[1].raw)["受理时间"] == "昨天"
    assert kept[2].errors[0]["zh"] != kept[2].errors[0]["en"]
    assert seals.verify(runtime.database) is None
    run = only(runtime, ImportRun)
    assert (run.state, run.position, run.created, run.rejected) == ("done", 5, 2, 3)


def test_importing_a_file_again_changes_nothing(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, [{}, {"标题": ""}, {}])
    take(runtime, path)
    with runtime.database.write() as session:
        session.execute(select(Reject)).scalar_one().state = "deleted"
    again = take(runtime, path)
    assert counts(again) == (0, 2, 1)
    assert [row for row, _ in rejects_of(runtime, again.run_id)] == [2]
    assert only(runtime, Reject).state == "deleted"  # somebody has dealt with it
    assert len(all_of(runtime, TicketEvent)) == 2


def test_two_equal_bad_rows_of_one_file_are_two_rejects(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, [{"编号": ""}, {"编号": ""}])
    assert counts(take(runtime, path)) == (0, 0, 2)
    assert [reject.row for reject in all_of(runtime, Reject)] == [1, 2]


def test_changed_content_of_a_known_number_is_rejected_by_field(runtime: Runtime, tmp_path: Path) -> None:
    take(runtime, table(tmp_path, [{}, {}, {}]))
    other = [{"标题": "井盖缺失"}, {"状态": "已办结", "办结时间": "2026-01-06 09:00"}, {}]
    done = take(runtime, table(tmp_path, other, "other.csv"))
    assert counts(done) == (0, 1, 2)
    found = {row: [error["pointer"] for error in errors] for row, errors in rejects_of(runtime, done.run_id)}
    assert found == {1: ["/title"], 2: ["/status", "/completed_at"]}
    assert {r.reason for r in all_of(runtime, Reject)} == {"differs"}
    assert {t.title for t in all_of(runtime, Ticket)} == {"路灯不亮"}


def test_a_number_that_comes_twice_in_a_file_is_one_ticket(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, [{"编号": "X"}, {"编号": "X"}, {"编号": "X", "标题": "另一件事"}])
    done = take(runtime, path)
    assert counts(done) == (1, 1, 1)
    assert [row for row, _ in rejects_of(runtime, done.run_id)] == [3]


def test_a_source_may_be_named_and_is_made(runtime: Runtime, tmp_path: Path) -> None:
    take(runtime, table(tmp_path, [{}]))
    assert counts(take(runtime, table(tmp_path, [{}]), source_code="hotline")) == (1, 0, 0)
    assert [source.code for source in all_of(runtime, Source)] == ["import", "hotline"]


def test_a_file_unlike_its_profile_is_refused_before_storing(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(Exception, match="column") as caught:
        take(runtime, path)
    assert caught.value.status == 422  # type: ignore[attr-defined]
    assert all_of(runtime, ImportRun) == []


def test_a_json_array_that_breaks_off_keeps_what_stands_before(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "tickets.json"
    rows = ", ".join(json.dumps({"external_id": f"J{n}", "title": "x"}) for n in range(3))
    path.write_text(f"[{rows}, {{", "utf-8")
    with pytest.raises(BadRequest, match="element 4"):
        take(runtime, path)
    assert len(all_of(runtime, Ticket)) == 3
    assert only(runtime, ImportRun).state == "running"


# ---------------------------------------------------------------------------------------- what the past becomes


def test_each_known_step_of_history_is_an_event_at_its_time(runtime: Runtime, tmp_path: Path) -> None:
    take(runtime, table(tmp_path, [{
        "状态": "已归档", "责任单位": "城管局", "派单时间": "2026-01-05 10:00", "签收时间": "2026-01-05 11:00",
        "办结时间": "2026-01-08 17:00", "归档时间": "2026-01-09 09:00", "时限": "2026-01-09 18:00", "满意度": "满意",
        "办理结果": "已更换灯泡"}]))  # fmt: skip
    events = all_of(runtime, TicketEvent)
    assert [(e.type, local(e.at)) for e in events] == [
        ("received", "01-05 09:00"),
        ("dispatched", "01-05 10:00"),
        ("accepted", "01-05 11:00"),
        ("completed", "01-08 17:00"),
        ("called_back", "01-09 09:00"),
        ("closed", "01-09 09:00"),
    ]
    assert {e.actor for e in events} == {"import:duban"}
    ticket = only(runtime, Ticket)
    assert (ticket.status, ticket.historical, ticket.next_check_at) == ("closed", True, None)
    assert (ticket.result, ticket.satisfaction, ticket.head_seq) == ("已更换灯泡", "satisfied", 6)
    assert local(ticket.first_completed_at) == "01-08 17:00"
    deadline = only(runtime, Deadline)
    assert (deadline.target, deadline.basis, deadline.limit) == ("complete", "source", None)
    assert (local(deadline.due_at), local(deadline.met_at)) == ("01-09 18:00", "01-08 17:00")
    assert only(runtime, Callback).outcome == "reached"


@pytest.mark.parametrize(
    ("row", "has_deadline", "events"),
    [
        ({"状态": "已派单"}, False, ["received", "dispatched?"]),
        ({"状态": "已派单", "时限": "2026-01-09 18:00"}, True, ["received", "dispatched?"]),
        ({"状态": "已派单", "时限": "2026-01-01 18:00"}, True, ["received", "dispatched?"]),  # before its receipt
        ({"状态": "已办结", "办结时间": "2026-01-08 17:00"}, False, ["received", "completed"]),
        ({"状态": "已办结", "时限": "2026-01-09 18:00"}, False, ["received", "completed?"]),  # when, nobody knows
        ({"状态": "已归档", "办结时间": "2026-01-04 17:00", "时限": "2026-01-09 18:00"}, True,
         ["received", "completed", "closed?"]),
        ({"状态": "作废", "作废时间": "2026-01-06 10:00", "时限": "2026-01-09 18:00"}, True, ["received", "voided"]),
        ({"状态": "作废"}, False, ["received", "voided?"]),
    ],
)  # fmt: skip
def test_history_is_judged_by_the_limit_of_its_source_or_not(
    runtime: Runtime, tmp_path: Path, row: dict[str, str], has_deadline: bool, events: list[str]
) -> None:
    take(runtime, table(tmp_path, [row]))
    assert len(all_of(runtime, Deadline)) == has_deadline
    ticket = only(runtime, Ticket)
    assert (ticket.due_at is not None) == has_deadline
    assert (ticket.voided_at is not None) == (ticket.status == "void")
    told = [e.type + ("?" if e.data.get("moment") == "unknown" else "") for e in all_of(runtime, TicketEvent)]
    assert told == events


def test_history_wakes_no_ladder_and_live_rows_do(runtime: Runtime, tmp_path: Path) -> None:
    rows = [{"责任单位": "GA"}, {"责任单位": "GA", "状态": "已签收", "签收时间": "2026-01-05 09:30"}]
    take(runtime, table(tmp_path, rows))
    assert sweep(runtime.database, runtime.reference, NOW).alerts == 0
    done = take(runtime, table(tmp_path, [*rows, {"状态": "已办结", "办结时间": "2026-01-06 09:00"}]),
                source_code="live", live=True)  # fmt: skip
    assert counts(done) == (3, 0, 0)
    fresh, signed, finished = all_of(runtime, Ticket)[2:]
    assert (fresh.status, fresh.historical, local(fresh.due_at)) == ("dispatched", False, "01-12 17:30")
    assert (signed.status, finished.next_check_at) == ("accepted", None)
    accept = [d for d in all_of(runtime, Deadline) if d.ticket_id == signed.id and d.target == "accept"]
    assert local(accept[0].met_at) == "01-05 09:30"
    # the fresh one: accept, contact, complete; the signed one: contact, complete
    assert sweep(runtime.database, runtime.reference, NOW).alerts == 5


def test_units_are_found_by_code_then_name_or_created(runtime: Runtime, tmp_path: Path) -> None:
    with runtime.database.write() as session:
        catalogue.create_node(session, Unit, {"code": "GA", "name": "公安局"})
        catalogue.create_node(session, Unit, {"code": "公安局", "name": "另一个"})
        catalogue.create_node(session, Unit, {"code": "CG", "name": "城管局"})
        for code in ("S1", "S2"):
            catalogue.create_node(session, Unit, {"code": code, "name": "司法所"})
    long = "某市某区某街道办事处综合行政执法队" * 5
    rows = [{"责任单位": unit} for unit in ("公安局", "城管局", "司法所", "民政局", long)]
    take(runtime, table(tmp_path, rows))
    units = {unit.id: unit for unit in all_of(runtime, Unit)}
    found = [units[ticket.unit_id] for ticket in all_of(runtime, Ticket)]
    assert [unit.code for unit in found[:4]] == ["公安局", "CG", "司法所", "民政局"]
    assert (len(found[4].code), found[4].name) == (64, long)
    assert {unit.path for unit in found} == {f"/{unit.id}/" for unit in found}
    assert len(units) == 8


TREE = """
name = "tree"
title = { zh = "树", en = "tree" }
source = { code = "tree", zh = "树", en = "tree" }
time_zone = "Asia/Shanghai"
[fields]
external_id = "id"
title = "title"
[category]
codes = "path"
levels = [{ code = "c1", name = "n1" }, { code = "c2", name = "n2" }]
[grid]
levels = [{ code = "g", name = "gn" }]
"""


def test_trees_are_created_from_the_root_keeping_known_names(runtime: Runtime, tmp_path: Path) -> None:
    with runtime.database.write() as session:
        catalogue.create_node(session, Grid, {"code": "G1", "name": "我们的名字"})
        catalogue.create_node(session, Grid, {"code": "G2", "name": "G2"})
    path = tmp_path / "tree.csv"
    path.write_text(
        "id,title,c1,n1,c2,n2,g,gn\n1,t,10,环境,1,噪声,G1,他们的名字\n2,t,10,环境卫生,2,垃圾,G2,东片\n3,t,20,交通,1,停车,G3,\n",
        "utf-8",
    )
    done = import_file(runtime, path, parse_profile(TREE), NOW)
    assert counts(done) == (3, 0, 0)
    made = {node.code: node for node in all_of(runtime, Category)}
    assert {code: node.name for code, node in made.items()} == {
        "10": "环境", "10/1": "噪声", "10/2": "垃圾", "20": "交通", "20/1": "停车",
    }  # fmt: skip
    assert made["10/2"].path == f"/{made['10'].id}/{made['10/2'].id}/"
    assert {grid.code: grid.name for grid in all_of(runtime, Grid)} == {"G1": "我们的名字", "G2": "东片", "G3": "G3"}


# ---------------------------------------------------------------------------------------------------- interrupted


class Interrupted(Exception):
    """The import ends here."""


def test_an_import_resumes_after_the_last_committed_row(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, [{"标题": ""} if n % 10 == 3 else {} for n in range(95)])

    def stop(done: Progress) -> None:
        if done.row >= 40:
            raise Interrupted

    with pytest.raises(Interrupted):
        take(runtime, path, chunk=20, on_progress=stop)
    assert len(all_of(runtime, Ticket)) == 36
    done = take(runtime, path, chunk=20)
    assert (done.resumed_after, counts(done)) == (40, (85, 0, 10))
    assert [row for row, _ in rejects_of(runtime, done.run_id)] == list(range(4, 95, 10))
    assert len(all_of(runtime, Ticket)) == 85
    assert only(runtime, ImportRun).state == "done"


def test_a_second_import_of_a_running_file_stops(runtime: Runtime, tmp_path: Path) -> None:
    path = table(tmp_path, [{} for _ in range(40)])
    inner: list[tuple[int, int, int]] = []

    def another(done: Progress) -> None:
        if not inner:
            inner.append(counts(take(runtime, path, chunk=10)))

    with pytest.raises(Conflict, match="another process"):
        take(runtime, path, chunk=10, on_progress=another)
    assert inner == [(40, 0, 0)]
    assert len(all_of(runtime, Ticket)) == 40


def _command(path: Path, url: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "import", str(path), "--profile", "duban", "--json", *more],
        env={**os.environ, "DUBAN_DATABASE_URL": url, "DUBAN_LANG": "en"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _position(database: Database) -> int:
    try:
        with database.read() as session:
            return session.execute(select(func.max(ImportRun.position))).scalar() or 0
    except OperationalError:
        return 0


@pytest.mark.server
def test_a_repeatedly_killed_import_loses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    rows, bad = 16_000, 97
    path = table(tmp_path, [{"受理时间": "坏"} if n % bad == 5 else {"责任单位": f"U{n % 7}"} for n in range(rows)])
    choose = random.Random(database_url)
    database = Database(database_url)
    killed = 0
    for after in (1, 6_000, 10_000):
        process = _command(path, database_url)
        until(lambda at=after, p=process: _position(database) >= at or p.poll() is not None)  # type: ignore[misc]
        with suppress(subprocess.TimeoutExpired):
            process.wait(choose.random() / 5)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed >= 2
    out, err = _command(path, database_url).communicate(timeout=120)
    said = json.loads(out)
    expected = list(range(6, rows + 1, bad))
    assert (said["created"], said["unchanged"], said["rejected"]) == (rows - len(expected), 0, len(expected)), err
    assert [reject["row"] for reject in said["rejects"]] == expected
    with database.read() as session:
        types: Any = select(col(TicketEvent.type), func.count()).group_by(col(TicketEvent.type))
        events = dict(session.execute(types).all())
        tickets = session.execute(select(func.count(), func.count(col(Ticket.external_id).distinct()))).one()
        assert session.execute(select(func.count()).select_from(Reject)).scalar() == len(expected)
    assert tuple(tickets) == (rows - len(expected),) * 2
    assert events == {"received": rows - len(expected)}
    assert seals.verify(database) is None
    database.dispose()


def test_the_command_says_what_is_wrong_in_one_line(sqlite_url: str, tmp_path: Path) -> None:
    process = _command(tmp_path / "nothing.csv", sqlite_url)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines() == ["duban: there is no file nothing.csv"]
    process = _command(table(tmp_path, [{}]), sqlite_url, "--colour")
    assert (process.communicate(timeout=60)[0], process.returncode) == ("", 2)
