"""Pingshan in other clothes: as GB18030, as XLSX, its columns in another order, and a thousand of its rows damaged in ten
ways: in the database the same tickets each time, and of each damage its count and its reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import xlsxwriter
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app.config import Settings
from app.models import Reject, Ticket
from app.runtime import Runtime
from ingest.files.importer import import_file
from ingest.rows.profile import load_profile
from ingest.rows.validate import open_mapped
from ingest.rows.write import RowCounts
from tests.damage import damaged, expected

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
FILE = "pingshan_msq_2018-02_to_2018-09.utf8.csv.gz"
PINGSHAN = load_profile("pingshan")
Rows = tuple[list[str], list[list[str]]]


@pytest.fixture(scope="module")
def table(real_data: Path) -> Rows:
    """The header and the rows, as they came."""
    with open_mapped(real_data / FILE, PINGSHAN) as source:
        return list(source.file.columns), [[str(cell) for cell in row.cells] for row in source.file.rows()]


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    """The service's shared state on an empty database."""
    found = Runtime.open(Settings(database_url=SecretStr(database_url)), NOW)
    yield found
    found.close()


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\r\n".join(",".join(f'"{cell}"' for cell in row) for row in [header, *rows]) + "\r\n"


def tally_of(tally: RowCounts) -> tuple[int, int, int]:
    return tally.created, tally.unchanged, tally.rejected


def test_the_same_rows_in_any_format_are_the_existing_tickets(runtime: Runtime, table: Rows, tmp_path: Path) -> None:
    header, rows = table
    (tmp_path / "gb.csv").write_bytes(csv_text(header, rows).encode("gb18030"))
    order = random.Random(3).sample(range(len(header)), len(header))
    shuffled = csv_text([header[n] for n in order], [[row[n] for n in order] for row in rows])
    (tmp_path / "shuffled.csv").write_text(shuffled.replace('","', '"\t"'), encoding="utf-16")
    with xlsxwriter.Workbook(tmp_path / "book.xlsx", {"constant_memory": True}) as book:
        sheet = book.add_worksheet("坪山")
        sheet.write_row(0, 0, ["坪山区民生诉求"])
        for number, row in enumerate([header, *rows], 1):
            for place, cell in enumerate(row):
                if cell.isdecimal() and number > 1:
                    sheet.write_number(number, place, int(cell))
                else:
                    sheet.write_string(number, place, cell)
    names = ("gb.csv", "shuffled.csv", "book.xlsx")
    found = [tally_of(import_file(runtime, tmp_path / name, PINGSHAN, NOW).tally) for name in names]
    assert found == [(3981, 0, 0), (0, 3981, 0), (0, 3981, 0)]


def test_a_thousand_damaged_rows_are_rejected_with_reasons(runtime: Runtime, table: Rows, tmp_path: Path) -> None:
    header, rows = table
    path = tmp_path / "damaged.csv"
    path.write_bytes(damaged(header, rows, 1_000).encode("gb18030"))
    done = import_file(runtime, path, PINGSHAN, NOW)
    assert tally_of(done.tally) == (2_981, 0, 1_000)
    with runtime.database.read() as session:
        kept = list(session.execute(select(Reject).order_by(col(Reject.row))).scalars())
        identifiers = set(session.execute(select(col(Ticket.external_id))).scalars())
    assert Counter(reject.reason for reject in kept) == expected(1_000)
    assert all(reject.raw and reject.errors[0]["zh"] != reject.errors[0]["en"] for reject in kept)
    place = header.index("REC_ID")
    damaged_rows = {reject.row for reject in kept}
    assert identifiers == {row[place] for number, row in enumerate(rows, 1) if number not in damaged_rows}
