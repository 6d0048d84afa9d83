"""One process that has every monster looked at, previewed and imported, and says how much memory each has taken."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from app import clock
from app.config import Settings
from app.errors import DubanError
from app.runtime import Runtime
from ingest.files.importer import import_file
from ingest.files.uploads import LIMITS
from ingest.profile_wizard.preview import preview
from ingest.profile_wizard.proposal import propose
from ingest.profile_wizard.sampling import read_sample
from ingest.rows.profile import load_profile
from tests.monsters import making

SPACE = 2 * 2**30
"""Bytes of addresses that this process may have: beyond, it fails."""

BY_THE_PAGE_ALONE = (
    "csv_open_quotes", "json_many_behind_a_long_one", "xlsx_sheet", "xlsx_deep", "xlsx_strings", "xlsx_fat_rows",
    "ods_million_rows", "ods_million_columns", "ods_spaces", "xls_far_corner", "xls_many_far_corners", "xls_loop",
    "xls_directory_loop", "xls_table_loop",
)  # fmt: skip
"""Files that the command would take as they are, rejects by the million, or megabytes of nothing; or that its reader would
refuse as the page's does, but not before it has taken the gigabytes that it may."""


def main(folder: Path, only: str = "") -> None:
    """Go through the monsters, those whose name holds ``only``."""
    runtime = Runtime.open(Settings(database_url=SecretStr(f"sqlite:///{folder / 'm.db'}")), clock.now())
    profile = load_profile("duban", ()).model_copy(update={"keep_rest": False})
    now = clock.now()

    def by_the_page(path: Path) -> tuple[str, DubanError | None]:
        propose(read_sample(path, limits=LIMITS), "Asia/Shanghai")
        seen = preview(path, profile, now, limits=LIMITS)
        return f"{seen.tickets} tickets, {seen.rejects} rejects", seen.broken

    def by_command(path: Path) -> tuple[str, DubanError | None]:
        tally = import_file(runtime, path, profile, now).tally
        return f"{tally.created} tickets, {tally.rejected} rejects", None

    doors: tuple[tuple[str, Callable[[Path], tuple[str, DubanError | None]]], ...] = (
        ("page", by_the_page),
        ("command", by_command),
    )
    names = [name for name, _ in making.monsters() if only in name]
    # made in a process of its own: what making them takes is not to be counted
    subprocess.run([sys.executable, "-m", making.__name__, str(folder), *names], check=True)
    for name in names:
        path = folder / name
        for door, take in doors if name not in BY_THE_PAGE_ALONE else doors[:1]:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before, began = _memory("VmRSS"), time.monotonic()
            try:
                said, refusal = take(path)
            except DubanError as error:
                said, refusal = "refused", error
            grown = _memory("VmHWM") - before
            found = {
                "name": name,
                "door": door,
                "mib": grown,
                "seconds": round(time.monotonic() - began, 1),
                "said": said,
                "guard": refusal.reason if refusal else None,
                "zh": refusal.message.zh if refusal else "",
                "en": refusal.message.en if refusal else "",
            }
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
        path.unlink()
    runtime.close()


def _memory(what: str) -> int:
    """A line of this process's status, in MiB."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "Linux says so"
    return int(found[1]) // 1024


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    main(Path(sys.argv[1]), *sys.argv[2:3])
