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
from app.domain.errors import DubanError
from app.runtime import Runtime
from ingest.drafting.preview import preview
from ingest.drafting.proposal import propose
from ingest.drafting.sampling import look
from ingest.importer import import_file
from ingest.profile import load_profile
from ingest.uploads import LIMITS
from tests.monsters import making

SPACE = 2 * 2**30
"""Bytes of addresses that this process may have: beyond, it fails."""

BY_THE_PAGE_ALONE = ("csv_open_quotes", "json_many_behind_a_long_one", "xlsx_sheet", "xlsx_deep", "xlsx_strings")
"""Files that the command would take as they are: rejects by the million, or megabytes of nothing."""


def main(folder: Path, only: str = "") -> None:
    """Go through the monsters, those whose name holds ``only``."""
    runtime = Runtime.open(Settings(database_url=SecretStr(f"sqlite:///{folder / 'm.db'}")), clock.now())
    profile = load_profile("duban", ()).model_copy(update={"keep_rest": False})
    now = clock.now()

    def by_the_page(path: Path) -> str:
        propose(look(path, limits=LIMITS), "Asia/Shanghai")
        seen = preview(path, profile, now, limits=LIMITS)
        return f"{seen.tickets} tickets, {seen.rejects} rejects" + (f", {seen.broken.en}" if seen.broken else "")

    def by_command(path: Path) -> str:
        tally = import_file(runtime, path, profile, now).tally
        return f"{tally.created} tickets, {tally.rejected} rejects"

    doors: tuple[tuple[str, Callable[[Path], str]], ...] = (("page", by_the_page), ("command", by_command))
    for name, _ in making.monsters():
        if only not in name:
            continue
        subprocess.run(  # made in a process of its own: what making it takes is not to be counted
            [sys.executable, str(making.__file__), str(folder), name], check=True
        )
        path = folder / name
        for door, take in doors if name not in BY_THE_PAGE_ALONE else doors[:1]:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before, began = _memory("VmRSS"), time.monotonic()
            try:
                said = take(path)
            except DubanError as error:
                said = f"refused: {error.en}"
            grown = _memory("VmHWM") - before
            found = {
                "name": name,
                "door": door,
                "mib": grown,
                "seconds": round(time.monotonic() - began, 1),
                "said": said,
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
