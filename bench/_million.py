"""A large file imported by ``duban import`` in a terminal: progress bar, rows per second, peak memory; killed with
SIGKILL at 50 % and started again. The file is generated from the demonstration's vocabulary.

python -m bench._million FOLDER --rows 1000000 [--url postgresql://…]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import func
from sqlalchemy import select as query

from app import clock
from app.config import Settings
from app.demo.matters import MATTERS, fill
from app.demo.people import citizen
from app.demo.places import place
from app.models import Reject, Ticket, TicketEvent
from app.runtime import Runtime

_EVERY_BAD = 100
"""One row of so many has no title."""
_SHARE = re.compile(rb"(\d+) %")


def write_file(path: Path, rows: int) -> int:
    """Write the file; return the number of its invalid rows."""
    rng = random.Random(1)
    begin = datetime(2024, 1, 1)  # noqa: DTZ001 - as spreadsheets have it: the wall clock of the office
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["编号", "标题", "内容", "分类", "责任单位", "受理时间", "姓名", "电话", "地址", "派单时间", "办结时间"]
        )
        for number in range(rows):
            matter = rng.choice(MATTERS)
            case = rng.choice(matter.cases)
            where = place(rng)
            who = citizen(rng)
            received = begin + timedelta(seconds=rng.randrange(2 * 365 * 86_400))
            title = "" if number % _EVERY_BAD == 7 else fill(rng.choice(case.titles), rng, where)
            writer.writerow(
                [f"M{number:08d}", title, fill(rng.choice(case.details), rng, where), matter.code, where.town.code, received,
                 who.name, who.phone, where.address, received + timedelta(hours=2),
                 received + timedelta(hours=rng.randrange(4, 200))]
            )  # fmt: skip
    return sum(number % _EVERY_BAD == 7 for number in range(rows))


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One run of the command: exit code, duration, peak memory (MiB), start of its output, last progress line."""

    code: int
    seconds: float
    mib: int
    output: str
    bar: str


def run(path: Path, url: str, kill_at: int | None = None) -> ImportRun:
    """Run ``duban import`` in a terminal; send SIGKILL once it shows ``kill_at`` percent."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "import", str(path), "--profile", "duban", "--json"],
        env={**os.environ, "DUBAN_DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE, stderr=theirs, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdout is not None, "stdout is a pipe"
    output, bar, peak, open_ends = b"", b"", 0, {ours, process.stdout.fileno()}
    while open_ends:
        for end in select.select(list(open_ends), [], [], 0.2)[0]:
            try:
                piece = os.read(end, 65_536)
            except OSError:
                piece = b""  # a terminal whose other end is gone
            if not piece:
                open_ends.discard(end)
            elif end == ours:
                bar = (bar + piece)[-2000:]
            else:
                output += piece
        peak = max(peak, _peak(process.pid))
        shown = _SHARE.findall(bar)
        if kill_at is not None and shown and int(shown[-1]) >= kill_at:
            process.send_signal(signal.SIGKILL)
            kill_at = None
    code = process.wait()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", bar.decode("utf-8", "replace"))
    lines = [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]
    return ImportRun(code, time.monotonic() - began, peak, output.decode()[:120], lines[-1] if lines else "")


def _peak(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", (Path("/proc") / str(pid) / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) // 1024 if found else 0


def row_counts(url: str) -> dict[str, int]:
    """Count the rows of the database."""
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), clock.now())
    try:
        with runtime.database.read() as session:
            return {
                model.__name__: session.execute(query(func.count()).select_from(model)).scalar_one()
                for model in (Ticket, TicketEvent, Reject)
            }
    finally:
        runtime.close()


def main() -> None:
    """Write the file, import it with a kill at 50 % (without one: ``--through``), and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench._million", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", help="of an empty database; default: SQLite in the folder")
    parser.add_argument("--through", action="store_true", help="no kill")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / f"{given.rows}.csv"
    bad = write_file(path, given.rows)
    url = given.url or f"sqlite:///{(given.folder / f'{given.rows}.db').resolve()}"
    _say(f"{given.rows} rows, {bad} of them bad, {path.stat().st_size // 2**20} MiB")
    if not given.through:
        half = run(path, url, kill_at=50)
        held = row_counts(url)
        _say(f"killed: code {half.code}, {half.seconds:.0f} s, peak {half.mib} MiB, held {held}; {half.bar}")
        _say(f"  {(held['Ticket'] + held['Reject']) / half.seconds:.0f} rows a second")
    before = row_counts(url)
    rest = run(path, url)
    held = row_counts(url)
    _say(f"ended: code {rest.code}, {rest.seconds:.0f} s, peak {rest.mib} MiB, held {held}; {rest.bar}")
    done = held["Ticket"] + held["Reject"] - before["Ticket"] - before["Reject"]
    _say(f"  {done / rest.seconds:.0f} rows a second; output {rest.output}")
    totals = json.loads(rest.output.partition(', "rejects"')[0] + "}")
    assert totals == {"created": given.rows - bad, "unchanged": 0, "rejected": bad}, totals
    assert (held["Ticket"], held["Reject"]) == (given.rows - bad, bad), held


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
