"""``duban demo`` and ``duban sweep``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app import clock, demo
from app.commands.common import JsonFlag, opened, parse_time, print_json
from app.errors import Conflict
from app.runtime import Runtime
from app.services.supervision.sweep import sweep
from ingest.devtools.sample import create_sample_feeds


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("demo")(fill_demo)
    app.command("sweep")(run_sweep)


def fill_demo(as_json: JsonFlag = False) -> None:
    """Fill an empty database with sample tickets and units; refuse a database that is not empty."""
    with opened() as runtime:
        if not demo.is_empty(runtime):
            raise Conflict(
                "数据库非空，示例数据只能写入空库", "the database is not empty; sample data needs an empty one"
            )
        counts = fill_shown(runtime)
    if as_json:
        print_json(counts)
        return
    for name, count in counts.items():
        typer.echo(f"{name}\t{count}")


def fill_shown(runtime: Runtime) -> dict[str, int]:
    """Create the sample data with a progress bar on a terminal (on stderr, since stdout carries the result); return counts."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        now = clock.now()
        demo.fill(runtime, now, progress=lambda done, total: bar.update(task, completed=done, total=total))
        create_sample_feeds(runtime, now, demo.SEED)
        return demo.counted(runtime)


def run_sweep(
    at: Annotated[str | None, typer.Option("--at", help="the as-of moment; default: now")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run one sweep: raise due alerts. For cron and for tests."""
    now = parse_time(at) or clock.now()
    with opened() as runtime:
        result = sweep(runtime.database, runtime.reference, now, batch=runtime.settings.sweep_batch)
    figures = result.to_json()
    if as_json:
        print_json(figures)
        return
    typer.echo("  ".join(f"{name}={value}" for name, value in figures.items()))
