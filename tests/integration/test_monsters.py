"""Files made to burst whoever reads them, by the page and by the command: bounded memory, a clear answer, and the process
goes on. ``python -m tests.monsters.reading`` shows what each takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.monsters.making import monsters

MOST_MIB = 80
"""Of memory that one file may cost this process: less than any of them is, unpacked."""
SAID = {
    "csv_field": "2 tickets, 1 rejects",
    "csv_open_quotes": "rejects",
    "csv_wide": "refused: the header has more than 1000 columns",
    "csv_fat_rows": "120 tickets, 0 rejects",
    "csv_line_without_end": "refused: the file has no header row",
    "ndjson_line": "2 tickets, 1 rejects",
    "ndjson_fat": "8 tickets",
    "json_element": "longer than 1048576 characters",
    "json_deep": "nested too deeply",
    "json_many_behind_a_long_one": "rejects",
    "gzip_bomb": "zip bomb",
    "gzip_in_gzip": "refused",
    "zip_bomb": "zip bomb",
    "zip_in_zip": "refused",
    "zip_lying": "refused",
    "zip_of_many": "too many files",
    "xlsx_far_corner": "too large",
    "xlsx_far_corner_quoted_otherwise": "too large",
    "xlsx_far_corner_elsewhere": "too large",
    "xlsx_far_row_of_nameless_cells": "too large",
    "xlsx_sheet": "too large",
    "ods_repeated": "refused",
}
"""What is answered where that matters; of the others, that something is."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux, to look at memory")
def test_no_file_takes_the_memory_it_asks_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.monsters.reading", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["name"] for one in found} == {name for name, _ in monsters()}
    assert [one for one in found if one["mib"] > MOST_MIB] == []
    by_the_page = {one["name"]: one["said"] for one in found if one["door"] == "page"}
    assert {name: by_the_page[name] for name, said in SAID.items() if said not in by_the_page[name]} == {}
    assert not [one for one in found if "root:" in one["said"]], "nothing of this machine is told"
