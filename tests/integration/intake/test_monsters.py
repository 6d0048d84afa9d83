"""Files made to burst whoever reads them, by the page and by the command: bounded memory, a clear answer, and the process
goes on. ``python -m tests.monsters.reading`` shows what each takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.monsters.making import monsters

MOST_MIB = 80
"""Of memory that one file may cost this process: less than any of them is, unpacked."""
ANSWERED = {
    "csv_field": "2 tickets, 1 rejects",
    "csv_open_quotes": "1 tickets, 4999 rejects",
    "csv_wide": "columns-many",
    "csv_fat_rows": "120 tickets, 0 rejects",
    "csv_line_without_end": "header-missing",
    "ndjson_line": "2 tickets, 1 rejects",
    "ndjson_fat": "8 tickets, 0 rejects",
    "json_element": "json-broken",
    "json_deep": "json-broken",
    "json_many_behind_a_long_one": "0 tickets, 5000 rejects",
    "gzip_bomb": "archive-ratio",
    "gzip_in_gzip": "archive-nested",
    "zip_bomb": "archive-ratio",
    "zip_in_zip": "archive-nested",
    "zip_lying": "archive-sizes",
    "zip_of_many": "archive-crowded",
    "xlsx_plain": "1 tickets, 0 rejects",
    "xlsx_wide": "columns-many",
    "xlsx_fat_rows": "0 tickets, 12 rejects",
    "xlsx_far_corner": "spreadsheet-cells",
    "xlsx_far_corner_quoted_otherwise": "spreadsheet-memory",
    "xlsx_far_corner_elsewhere": "spreadsheet-memory",
    "xlsx_far_row_of_nameless_cells": "spreadsheet-memory",
    "xlsx_strings": "0 tickets, 0 rejects",
    "xlsx_sheet": "spreadsheet-unpacked",
    "xlsx_lying": "archive-sizes",
    "xlsx_deep": "0 tickets, 0 rejects",
    "xlsx_entities": "spreadsheet-doctype",
    "xlsx_external": "spreadsheet-doctype",
    "ods_plain": "2 tickets, 0 rejects",
    "ods_sheet_of_one_cell": "spreadsheet-cells",
    "ods_million_columns": "spreadsheet-memory",
    "ods_million_rows": "spreadsheet-cells",
    "ods_spaces": "spreadsheet-memory",
    "ods_entities": "spreadsheet-doctype",
    "xls_plain": "1 tickets, 0 rejects",
    "xls_far_corner": "spreadsheet-memory",
    "xls_many_far_corners": "spreadsheet-memory",
    "xls_dimensions": "spreadsheet-memory",
    "xls_strings": "1 tickets, 0 rejects",
    "xls_loop": "spreadsheet-memory",
    "xls_cut": "spreadsheet-damaged",
    "xls_beyond": "spreadsheet-damaged",
    "xls_directory_loop": "spreadsheet-memory",
    "xls_table_loop": "spreadsheet-memory",
    "xls_password": "spreadsheet-encrypted",
    "xls_password_of_a_new_one": "spreadsheet-encrypted",
}
"""Which guard speaks at the page, or what comes of the file."""
TOLD = {
    "spreadsheet-unpacked": "more than 256 MiB (at xl/worksheets/sheet1.xml); split it",
    "spreadsheet-cells": "more than 2000000 cells; delete the rows and columns outside the table",
    "spreadsheet-memory": "takes more than 1024 MiB of memory",
    "spreadsheet-doctype": "of the spreadsheet holds a document type",
    "spreadsheet-damaged": "cannot be read; open it in a spreadsheet program and save it as XLSX or CSV",
    "spreadsheet-encrypted": "save it without the password",
    "archive-ratio": "packed more than 300 to 1",
    "archive-nested": "unpack it once",
    "archive-sizes": "bytes, and it has more",
    "archive-crowded": "too many files",
    "columns-many": "more than 1000 columns",
    "header-missing": "no header row: the row is longer than 1048576 characters",
    "json-broken": "of the JSON array cannot be read: it is",
}
"""What each of them says."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux, to look at memory")
def test_no_file_takes_the_memory_it_asks_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.monsters.reading", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["name"] for one in found} == {name for name, _ in monsters()}
    assert [one for one in found if one["mib"] > MOST_MIB] == []
    by_the_page = {one["name"]: one for one in found if one["door"] == "page"}
    assert {name: one["guard"] or one["said"] for name, one in by_the_page.items()} == ANSWERED
    refused = [one for one in found if one["guard"]]
    assert {one["guard"] for one in refused} == TOLD.keys()
    assert [one for one in by_the_page.values() if one["guard"] and TOLD[one["guard"]] not in one["en"]] == []
    assert [one for one in refused if not re.search("[一-鿿]", one["zh"])] == []
    assert not [one for one in found if "root:" in one["en"]], "nothing of this machine is told"
    assert not [one for one in refused if str(tmp_path) in one["zh"] + one["en"]]
