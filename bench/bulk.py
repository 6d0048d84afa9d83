"""Tickets by batch and by import, end to end, beside COPY (SQLite: executemany) of the same rows of all tables.

The work begins with bytes (bodies of 10,000 rows, a CSV file) and ends with the last commit: parsed, mapped, validated,
fingerprinted, looked up, with policy, deadlines, events and hashes. The reference is given the finished rows as tuples
and writes each table in one statement and one transaction. On SQLite, and on PostgreSQL too if
``DUBAN_BENCH_POSTGRES_URL`` names an empty database.
"""

from __future__ import annotations

import csv
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import psycopg
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from app.config import Settings
from app.models import Category, Deadline, Ticket, TicketEvent, Unit
from app.runtime import Runtime
from app.services.core import catalogue
from bench.measure import Row, seconds_in_turn
from ingest.batch.service import JSON, MAX_ROWS, import_batch
from ingest.files.importer import import_file
from ingest.rows.profile import load_profile

NOW = datetime(2026, 3, 31, 2, 0, tzinfo=UTC)
TABLES: tuple[Any, ...] = (Ticket, TicketEvent, Deadline)
ZONE = ZoneInfo("Asia/Shanghai")
SOURCE = "bench"
_KINDS = ("consult", "help", "complaint", "report")
_PG_TYPES = {"JSON": "jsonb", "UtcDateTime": "timestamptz", "Float": "float8", "Boolean": "bool", "Integer": "int4"}

Tuples = list[tuple[str, list[str], list[Any], list[tuple[Any, ...]]]]


def documents(n: int) -> list[dict[str, Any]]:
    """Return ``n`` tickets of a quarter, as pushed, with twelve fields and more."""
    choose = random.Random(1)
    return [
        {
            "external_id": f"B{number:08d}",
            "title": f"小区路灯不亮 {number}",
            "content": "小区东门外的路灯坏了一个星期，晚上出行不便，请尽快派人修理。",
            "kind": choose.choice(_KINDS),
            "category": f"C{choose.randrange(40)}",
            "unit": f"U{choose.randrange(60)}",
            "received_at": (NOW - timedelta(seconds=choose.randrange(90 * 86_400))).isoformat(),
            "reporter": {"name": "张三", "phone": f"138{choose.randrange(10**8):08d}"},
            "address": f"人民路 {choose.randrange(900)} 号",
            "latitude": 30.1 + choose.random() / 10,
            "longitude": 104.2 + choose.random() / 10,
            "attributes": {"channel": "电话"},
        }
        for number in range(n)
    ]


def write_csv(path: Path, tickets: Sequence[dict[str, Any]]) -> None:
    """Write the same tickets as a spreadsheet of past cases: completed, with their moments and the source's limit."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["编号", "标题", "内容", "类型", "分类", "责任单位", "受理时间", "姓名", "电话", "地址", "纬度", "经度", "状态",
             "派单时间", "办结时间", "时限"]
        )  # fmt: skip
        for ticket in tickets:
            received = datetime.fromisoformat(ticket["received_at"]).astimezone(ZONE).replace(tzinfo=None)
            dispatched, completed, due = (received + timedelta(hours=hours) for hours in (1, 30, 100))
            writer.writerow(
                [ticket["external_id"], ticket["title"], ticket["content"], ticket["kind"], ticket["category"],
                 ticket["unit"], received, ticket["reporter"]["name"], ticket["reporter"]["phone"], ticket["address"],
                 ticket["latitude"], ticket["longitude"], "已办结", dispatched, completed, due]
            )  # fmt: skip


def empty(runtime: Runtime) -> None:
    """Delete every ticket."""
    with runtime.database.writer.begin() as connection:
        if runtime.database.is_postgresql:
            connection.exec_driver_sql("TRUNCATE ticket, ticket_event, deadline, import_run, callback CASCADE")
            return
        for table in ("deadline", "ticket_event", "ticket", "import_run"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def stored_rows(runtime: Runtime) -> Tuples:
    """Return the stored rows of all tables as tuples ready for a driver."""
    found: Tuples = []
    with runtime.database.engine.connect() as connection:
        for model in TABLES:
            table = model.__table__
            names = [column.name for column in table.columns]
            quoted = ", ".join(f'"{name}"' for name in names)
            rows = [tuple(row) for row in connection.exec_driver_sql(f"SELECT {quoted} FROM {table.name}")]
            used = [i for i in range(len(names)) if any(row[i] is not None for row in rows)]
            rows = [tuple(_ready(row[i]) for i in used) for row in rows]
            kinds = [type(table.columns[names[i]].type).__name__ for i in used]
            found.append((table.name, [names[i] for i in used], kinds, rows))
    return found


def _ready(value: Any) -> Any:
    return Jsonb(value, orjson.dumps) if isinstance(value, dict) else value


def write_bare(runtime: Runtime, tables: Tuples) -> None:
    """Write the rows by the reference method."""
    connection = runtime.database.writer.raw_connection()
    raw: Any = connection.driver_connection
    if isinstance(raw, psycopg.Connection):
        with raw.cursor() as cursor:
            for name, columns, kinds, rows in tables:
                quoted = ", ".join(f'"{column}"' for column in columns)
                statement: Any = f"COPY {name} ({quoted}) FROM STDIN (FORMAT BINARY)"
                with cursor.copy(statement) as copy:
                    copy.set_types([_pg_type(kind, column) for kind, column in zip(kinds, columns, strict=True)])
                    for row in rows:
                        copy.write_row(row)
        raw.commit()
    else:
        raw.execute("BEGIN IMMEDIATE")
        for name, columns, _, rows in tables:
            quoted, marks = ", ".join(f'"{column}"' for column in columns), ", ".join("?" * len(columns))
            raw.executemany(f"INSERT INTO {name} ({quoted}) VALUES ({marks})", rows)
        raw.execute("COMMIT")
    connection.close()


def _pg_type(kind: str, column: str) -> str:
    if kind == "BigInteger" or (kind == "Integer" and column == "ticket_id"):
        return "int8"
    return _PG_TYPES.get(kind, "text")


def _prepared(url: str) -> Runtime:
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), NOW)
    with runtime.database.write() as session:
        catalogue.ensure_source(session, SOURCE)
        if not session.query(Unit).count():
            for n in range(60):
                catalogue.create_node(session, Unit, {"code": f"U{n}", "name": f"单位 {n}"})
            for n in range(40):
                catalogue.create_node(session, Category, {"code": f"C{n}", "name": f"分类 {n}"})
    return runtime


def _measured(runtime: Runtime, what: str, where: str, n: int, work: Callable[[], None]) -> Row:
    empty(runtime)
    work()  # once, for the rows that the reference writes, and to warm up
    rows = stored_rows(runtime)
    assert len(rows[0][3]) == n, f"{len(rows[0][3])} of {n} tickets were stored"

    mine, theirs = seconds_in_turn(work, lambda: write_bare(runtime, rows), between=lambda: empty(runtime))
    return Row(
        f"{n:,} tickets by {what}, {where}",
        f"{n / mine:,.0f} tickets/s",
        f"{'COPY' if where == 'PostgreSQL' else 'executemany'} of the same rows {n / theirs:,.0f} tickets/s",
        theirs / mine,
        "≥ 0.35",
        "≥ 0.6",
    )


def rows(scale: float) -> list[Row]:
    """Measure batch and import on each database."""
    n = int(10_000 * scale)
    tickets = documents(n)
    bodies = [orjson.dumps(tickets[start : start + MAX_ROWS]) for start in range(0, n, MAX_ROWS)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tickets.csv"
        write_csv(file, tickets)
        urls = [("SQLite", f"sqlite:///{folder}/bench.db")]
        if wished := os.environ.get("DUBAN_BENCH_POSTGRES_URL"):
            urls.append(("PostgreSQL", wished))
        for where, url in urls:
            runtime = _prepared(url)
            with runtime.reading() as (_, ref):
                source = ref.source_by_code(SOURCE)
            assert source is not None, "it was made"
            source_id = source.id

            def by_batch(runtime: Runtime = runtime, source_id: int = source_id) -> None:
                for body in bodies:
                    import_batch(runtime, body, JSON, SOURCE, source_id, "key:1", NOW)

            def by_import(runtime: Runtime = runtime) -> None:
                import_file(runtime, file, load_profile("duban"), NOW, source_code=SOURCE)

            found.append(_measured(runtime, "batch", where, n, by_batch))
            found.append(_measured(runtime, "import", where, n, by_import))
            empty(runtime)
            runtime.close()
    return found
