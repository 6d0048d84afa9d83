"""``duban deadlines verify`` and ``duban policy replay``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app import clock
from app.commands.common import JsonFlag, opened, parse_time, print_json
from app.config import get_settings
from app.services.core.reference import DEFAULT_CALENDAR
from app.services.deadlines.differences import Difference
from app.services.deadlines.verify import VerifyProgress, verify
from app.services.recompute.policy_replay import RuleProposal, proposal_in, replay

ACTOR = "system:verify"
_EVERY = 2.0
"""Seconds between two plain lines of progress."""
_SHOWN = 1000
"""Differences that are printed for a person; ``--json`` prints all."""

deadlines = typer.Typer(help="verify deadlines against the event log", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(deadlines, name="deadlines")


@deadlines.command("verify")
def verify_deadlines(
    mend: Annotated[bool, typer.Option("--mend", help="repair them, with an event for each")] = False,
    live: Annotated[bool, typer.Option("--live", help="skip closed and void tickets")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Recompute every deadline from the event log, and list those that differ from what is stored.

    Exit code 1 if any differ and were not repaired, else 0.
    """
    checked = VerifyProgress()
    listed: list[dict[str, Any]] = []
    shown = 0
    with opened() as runtime, _progress(as_json) as report:

        def on_progress(done: VerifyProgress) -> None:
            nonlocal checked
            checked = done
            report(done)

        for difference in verify(
            runtime.database, runtime.reference, now=clock.now(), repair_by=ACTOR if mend else None, live_only=live,
            on_progress=on_progress,
        ):  # fmt: skip
            if as_json:
                listed.append(difference.to_json())
            elif shown < _SHOWN:
                typer.echo(_line(difference))
            shown += 1
    if as_json:
        print_json({"tickets": checked.tickets, "deadlines": checked.deadlines, "differing": shown,
                    "mended": checked.repaired, "differences": listed})  # fmt: skip
    else:
        _conclude(checked, shown, mend)
    if shown and not mend:
        raise typer.Exit(1)


def replay_file(
    file: Annotated[Path, typer.Argument(help="policies as TOML, or JSON with policy, policies or calendar")],
    since: Annotated[str, typer.Option("--from", help="tickets received from this date or time on")],
    until: Annotated[str, typer.Option("--to", help="tickets received before this date or time")],
    unit: Annotated[str | None, typer.Option("--unit", help="only tickets of this unit's subtree")] = None,
    calendar: Annotated[str, typer.Option("--calendar", help="code of the calendar to be replaced")] = DEFAULT_CALENDAR,
    as_json: JsonFlag = False,
) -> None:
    """Replay past tickets under proposed policies or a proposed calendar: overdue by unit, before and after.

    Nothing is written.
    """
    given = proposal_in(file.read_text("utf-8-sig"))
    begin, end = (_needed(parse_time(text, name)) for text, name in ((since, "--from"), (until, "--to")))
    with opened() as runtime, runtime.reading() as (session, ref):
        proposal = RuleProposal.read(given["policies"], given["calendar"], calendar, ref)
        unit_id = ref.need_unit(unit, "--unit").id if unit is not None else None
        answer = replay(session, ref, proposal, begin, end, now=clock.now(), unit_id=unit_id).to_json(ref)
    if as_json:
        print_json(answer)
        return
    english = get_settings().lang == "en"
    header = ("unit", "tickets", "overdue before", "overdue after") if english else ("单位", "工单", "原超期", "拟超期")
    typer.echo("\t".join(header))
    for row in [*answer["by_unit"], {"code": "", "name": "total" if english else "合计", **answer["total"]}]:
        name = (row.get("name_en") or row["name"] if english else row["name"]) or row["code"] or "-"
        typer.echo(f"{name}\t{row['tickets']}\t{row['overdue_before']}\t{row['overdue_after']}")


def _needed(moment: datetime | None) -> datetime:
    assert moment is not None, "option required"
    return moment


def _line(difference: Difference) -> str:
    zone = get_settings().zone

    def moment(value: Any) -> str:
        if isinstance(value, datetime):
            return value.astimezone(zone).isoformat()
        return "-" if value is None else json.dumps(value, ensure_ascii=False)

    english = get_settings().lang == "en"
    stored, right = ("stored", "recomputed") if english else ("现存", "重算")
    return (
        f"{difference.number}\t{difference.target}\t{difference.what}\t"
        f"{stored} {moment(difference.stored)}\t{right} {moment(difference.recomputed)}"
    )


def _conclude(checked: VerifyProgress, differing: int, mend: bool) -> None:
    english = get_settings().lang == "en"
    if differing > _SHOWN:
        typer.echo(
            f"… {differing - _SHOWN} more; --json lists all"
            if english
            else f"……另有 {differing - _SHOWN} 项，--json 可全部列出"
        )
    if english:
        rest = f"; {checked.repaired} repaired" if mend else "; --mend repairs them" if differing else ""
        typer.echo(f"{checked.tickets} tickets, {checked.deadlines} deadlines: {differing} differ{rest}")
        return
    rest = f"，已修复 {checked.repaired} 项" if mend else "，可用 --mend 修复" if differing else ""
    typer.echo(f"工单 {checked.tickets} 件、时限 {checked.deadlines} 项：不一致 {differing} 项{rest}")


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[VerifyProgress], None]]:
    """Show a progress bar on a terminal, else plain lines; on stderr, since stdout carries the result."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(quiet)
        return
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, total=done.total, completed=done.tickets)


def _plain_lines(quiet: bool) -> Callable[[VerifyProgress], None]:
    last = time.monotonic()

    def show(done: VerifyProgress) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            print(f"{done.tickets} / {done.total}", file=sys.stderr, flush=True)

    return show
