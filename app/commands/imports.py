"""``duban import``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app import clock
from app.commands.common import JsonFlag, opened, say
from app.config import get_settings
from app.runtime import Runtime
from app.services.intake.rejects import errors_view
from ingest.files import importer
from ingest.profile_wizard.saved import profile_folders
from ingest.rows.profile import load_profile

SHOWN = 20
"""Rejects that are printed for a person; all of them are kept, and all are in ``--json``."""
_EVERY = 2.0
"""Seconds between two plain lines of progress."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("import")(import_file)


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX, NDJSON or JSON, plain, gz or zip")],
    profile: Annotated[str, typer.Option("--profile", help="name of a mapping profile, or a TOML file")],
    source: Annotated[str | None, typer.Option("--source", help="code of the source; default: the profile's")] = None,
    live: Annotated[bool, typer.Option("--live", help="supervise tickets that are still open")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Import a file. An interrupted import is resumed when started again; importing a file twice changes nothing.

    Rows that fail validation are stored as rejects and do not fail the command.
    """
    lang = get_settings().lang
    with opened() as runtime:
        chosen = load_profile(profile, profile_folders(runtime))
        with _progress(as_json) as report:
            done = importer.import_file(
                runtime, file, chosen, clock.now(), source_code=source, live=live, on_progress=report
            )
        if as_json:
            _print_json(runtime, done, lang)
        else:
            _print(runtime, done, lang)


Report = Callable[[importer.Progress], None]


@contextmanager
def _progress(quiet: bool) -> Iterator[Report]:
    """Show a progress bar on a terminal, else plain lines; on stderr, since stdout carries the result."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(quiet)
        return
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[counts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, counts="")

        def show(done: importer.Progress) -> None:
            bar.update(task, total=done.total, completed=done.consumed, counts=_line(done))

        yield show


def _plain_lines(quiet: bool) -> Report:
    last = time.monotonic()

    def show(done: importer.Progress) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            share = 100 * done.consumed // max(1, done.total)
            print(f"{share} %  {_line(done)}", file=sys.stderr, flush=True)

    return show


def _line(done: importer.Progress) -> str:
    tally = done.tally
    if get_settings().lang == "en":
        return f"row {done.row}: {tally.created} created, {tally.unchanged} unchanged, {tally.rejected} rejected"
    return f"第 {done.row} 行：新建 {tally.created}，未变 {tally.unchanged}，拒收 {tally.rejected}"


def _print(runtime: Runtime, done: importer.ImportResult, lang: str) -> None:
    if done.resumed_after:
        say(f"从第 {done.resumed_after} 行之后继续", f"went on behind row {done.resumed_after}")
    tally = done.tally
    say(
        f"新建 {tally.created}，未变 {tally.unchanged}，拒收 {tally.rejected}",
        f"created {tally.created}, unchanged {tally.unchanged}, rejected {tally.rejected}",
    )
    for number, (row, errors) in enumerate(importer.rejects_of(runtime, done.run_id)):
        if number == SHOWN:
            say(
                f"…… 其余 {tally.rejected - SHOWN} 行见拒收列表", f"… {tally.rejected - SHOWN} more are kept as rejects"
            )
            break
        text = "；".join(f"{e['pointer']} {e['detail']}".strip() for e in errors_view(errors, lang))
        say(f"第 {row} 行：{text}", f"row {row}: {text}")


def _print_json(runtime: Runtime, done: importer.ImportResult, lang: str) -> None:
    """Print one document, its rejects streamed one by one, so that memory use is constant."""
    tally = done.tally
    write = sys.stdout.write
    write(f'{{"created": {tally.created}, "unchanged": {tally.unchanged}, "rejected": {tally.rejected}, "rejects": [')
    for number, (row, errors) in enumerate(importer.rejects_of(runtime, done.run_id)):
        reject = orjson.dumps({"row": row, "errors": errors_view(errors, lang)}).decode()
        write(f"{',' if number else ''}\n  {reject}")
    write("]}\n")
