"""``duban feed simulate``: simulated upstreams with occasional faults, and how feeds handle them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM, signal
from threading import Event
from typing import Annotated

import typer

from app import clock
from app.commands.common import JsonFlag, opened, print_json, say
from app.commands.feed_words import counts
from app.config import get_settings
from app.errors import Conflict
from ingest.connectors.http import RequestPace
from ingest.devtools.simulator import trial
from ingest.devtools.simulator.trial import Trial
from ingest.feeds.run import PullResult


def simulate(
    kind: Annotated[str, typer.Option(help="all, or one of: " + ", ".join(trial.KINDS))] = "all",
    seconds: Annotated[int, typer.Option(min=0, help="duration in seconds; 0: until Ctrl-C")] = 0,
    every: Annotated[int, typer.Option(min=1, max=3600, help="seconds between two pulls of a feed")] = 5,
    records: Annotated[int, typer.Option(min=0, max=10_000, help="new records of each upstream before a pull")] = 6,
    smooth: Annotated[bool, typer.Option("--smooth", help="without faults")] = False,
    seed: Annotated[int, typer.Option(help="the same seed gives the same records and faults")] = 7,
    port: Annotated[int, typer.Option(min=0, max=65_000, help="first port of the upstreams; 0: any")] = 0,
    anyway: Annotated[bool, typer.Option("--anyway", help="allow a database with other tickets")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run simulated upstreams (a 12345 hotline, a 速来办 platform, an Open311 server) with faults: errors, repeated, reordered,
    truncated and corrupt records; pull them; and report at the end what became of every record they offered.

    `duban serve` on the same database shows the feeds meanwhile. Exit code 1 if any record was lost.
    """
    if kind != "all" and kind not in trial.KINDS:
        raise typer.BadParameter(f"{kind!r}: all, {', '.join(trial.KINDS)}", param_hint="--kind")
    kinds = trial.KINDS if kind == "all" else (kind,)
    faults = trial.QUIET if smooth else trial.LIVELY
    with opened() as runtime, _stop_event() as stopped:
        if not anyway:
            trial.check_place(runtime)
        with trial.upstreams(runtime, kinds, seed=seed, port=port, faults=faults, every_seconds=every) as running:
            if not as_json:
                for name, address in running.addresses.items():
                    say(f"{name} 的上游：{address}", f"the upstream of {name}: {address}")
            _run(running, stopped, seconds, every, records, quiet=as_json)
            found = running.accounts()
    if as_json:
        print_json({"upstreams": [each.view() for each in found]})
    for each in found if not as_json else ():
        say(
            f"{each.feed}：上游共提供 {each.offered} 件，工单 {each.tickets} 件，待处理拒收 {each.rejects} 条，"
            f"丢失 {len(each.lost)} 件",
            f"{each.feed}: {each.offered} offered by the upstream, {each.tickets} tickets, {each.rejects} open rejects, "
            f"{len(each.lost)} lost",
        )
    lost = [one for each in found for one in each.lost]
    if lost:
        raise Conflict(f"有记录丢失：{'、'.join(lost[:20])}", f"records were lost: {', '.join(lost[:20])}")


def _run(running: Trial, stopped: Event, seconds: int, every: int, records: int, *, quiet: bool) -> None:
    pace = RequestPace(clock.now)
    ends = time.monotonic() + seconds if seconds else None
    while not stopped.is_set() and (ends is None or time.monotonic() < ends):
        for name, done in running.round(records, pace):
            _print_pull(name, done, quiet=quiet)
        stopped.wait(every if ends is None else max(0.0, min(every, ends - time.monotonic())))
    for name, done in running.finish(pace):
        _print_pull(name, done, quiet=quiet)


def _print_pull(name: str, done: PullResult | None, *, quiet: bool) -> None:
    if quiet or done is None:
        return
    settings = get_settings()
    outcome = done.error.text(settings.lang) if done.error else counts(done.view(settings.lang), settings.lang)
    again = f"，重试 {done.retries} 次" if settings.lang == "zh" else f", {done.retries} retries"
    at = clock.now().astimezone(settings.zone)
    typer.echo(f"{at:%H:%M:%S}  {name:<16} {outcome}{again if done.retries else ''}")


@contextmanager
def _stop_event() -> Iterator[Event]:
    """An event set by SIGINT or SIGTERM, so that the final report is still printed."""
    stopped = Event()
    before = {each: signal(each, lambda *_: stopped.set()) for each in (SIGINT, SIGTERM)}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal(each, handler)
