"""A large file by ``duban import``, as an office would: its progress bar on a terminal, rows a second, peak memory; killed
with -9 at half and started again. The file is made from the words of the demonstration.

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
    """The file, and how many of its rows are no tickets."""
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
class Ran:
    """One run of the command: how it ended, how long it took, its peak memory, what it said, and the bar it showed."""

    code: int
    seconds: float
    mib: int
    said: str
    bar: str


def run(path: Path, url: str, kill_at: int | None = None) -> Ran:
    """``duban import`` on a terminal; ended by -9 once it shows ``kill_at`` percent."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "import", str(path), "--profile", "duban", "--json"],
        env={**os.environ, "DUBAN_DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE, stderr=theirs, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdout is not None, "it was asked for"
    said, bar, peak, open_ends = b"", b"", 0, {ours, process.stdout.fileno()}
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
                said += piece
        peak = max(peak, _peak(process.pid))
        shown = _SHARE.findall(bar)
        if kill_at is not None and shown and int(shown[-1]) >= kill_at:
            process.send_signal(signal.SIGKILL)
            kill_at = None
    code = process.wait()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", bar.decode("utf-8", "replace"))
    lines = [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]
    return Ran(code, time.monotonic() - began, peak, said.decode()[:120], lines[-1] if lines else "")


def _peak(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", (Path("/proc") / str(pid) / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) // 1024 if found else 0


def there(url: str) -> dict[str, int]:
    """What the database holds."""
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
    """Make the file, take it in with a kill at half (or through, with ``--through``), and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench._million", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", help="of an empty database; SQLite in the folder unless said")
    parser.add_argument("--through", action="store_true", help="no kill")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / f"{given.rows}.csv"
    bad = write_file(path, given.rows)
    url = given.url or f"sqlite:///{(given.folder / f'{given.rows}.db').resolve()}"
    _say(f"{given.rows} rows, {bad} of them bad, {path.stat().st_size // 2**20} MiB")
    if not given.through:
        half = run(path, url, kill_at=50)
        held = there(url)
        _say(f"killed: code {half.code}, {half.seconds:.0f} s, peak {half.mib} MiB, held {held}; {half.bar}")
        _say(f"  {(held['Ticket'] + held['Reject']) / half.seconds:.0f} rows a second")
    before = there(url)
    rest = run(path, url)
    held = there(url)
    _say(f"ended: code {rest.code}, {rest.seconds:.0f} s, peak {rest.mib} MiB, held {held}; {rest.bar}")
    done = held["Ticket"] + held["Reject"] - before["Ticket"] - before["Reject"]
    _say(f"  {done / rest.seconds:.0f} rows a second; it says {rest.said}")
    totals = json.loads(rest.said.partition(', "rejects"')[0] + "}")
    assert totals == {"created": given.rows - bad, "unchanged": 0, "rejected": bad}, totals
    assert (held["Ticket"], held["Reject"]) == (given.rows - bad, bad), held


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
