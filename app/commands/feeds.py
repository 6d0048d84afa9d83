"""``duban feed``: pulled sources added, listed, pulled, compared with their upstream, switched, and simulated."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app import clock
from app.commands.common import JsonFlag, opened, print_json, say
from app.commands.feed_trial import simulate
from app.commands.feed_words import counts
from app.config import get_settings
from app.errors import Invalid
from app.security.principal import SYSTEM
from app.services.intake import feeds
from ingest.connectors.registry import SpecOverrides
from ingest.feeds import registry as feed_book
from ingest.feeds.pull import pull
from ingest.feeds.reconcile import reconcile
from ingest.feeds.run import PullResult

ACTOR = "system:cli"
_EVERY = 2.0
"""Seconds between two plain lines of progress."""
Name = Annotated[str, typer.Argument(help="name of the feed")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="pulled sources / 接入源", no_args_is_help=True)
    for name, command in (
        ("add", add), ("list", list_feeds), ("show", show), ("pull", pull_feed), ("reconcile", reconcile_feed),
        ("off", switch_off), ("on", switch_on), ("rewind", rewind), ("simulate", simulate),
    ):  # fmt: skip
        group.command(name)(command)
    app.add_typer(group, name="feed")


def add(
    template: Annotated[str, typer.Argument(help="hotline12345, sulaiban, open311, folder, or a .toml file")],
    url: Annotated[str | None, typer.Option("--url", help="address of the upstream; replaces base_url")] = None,
    name: Annotated[str | None, typer.Option("--name", help="another name than the template's")] = None,
    source: Annotated[str | None, typer.Option("--source", help="another source than the template's, by code")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="the folder to watch")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="a new definition for a feed that is there")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Add a feed from a template that is bundled, or in `feeds` in the data directory, or from a TOML file. `duban serve`
    then pulls it by itself. The secret is not in the file: it says which environment variable or file has it."""
    changes = SpecOverrides(name, source, url, str(folder.resolve()) if folder else None)
    with opened() as runtime:
        spec = feed_book.load(runtime, template, changes)
        with runtime.database.write() as session:
            feed_book.keep(session, spec, actor=ACTOR, now=clock.now(), replace=replace)
        view = _shown(runtime, spec.name)
    if as_json:
        print_json(view)
        return
    say(f"已添加接入源 {spec.name}（来源 {spec.source.code}）", f"feed {spec.name} added (source {spec.source.code})")
    if spec.signature.secret is not None:
        say(f"密钥取自 {spec.signature.secret}", f"its secret is taken from {spec.signature.secret}")


def list_feeds(as_json: JsonFlag = False) -> None:
    """Every feed with its state, its lag, its counts and its last error."""
    settings = get_settings()
    with opened() as runtime, runtime.database.read() as session:
        found = feeds.listed(session, SYSTEM, clock.now(), settings.zone, settings.lang)
    if as_json:
        print_json(found)
        return
    if not found:
        say("还没有接入源；用 duban feed add 添加", "there are no feeds yet; duban feed add adds one")
    for view in found:
        typer.echo(f"{view['name']}\t{view['state']}\t{_short(view['last_done_at'])}\t{counts(view, settings.lang)}")
        if view["error"]:
            typer.echo(f"\t{view['error']}")


def show(name: Name, as_json: JsonFlag = False) -> None:
    """One feed, with the log of its last pulls and reconciliations."""
    settings = get_settings()
    with opened() as runtime:
        view = _shown(runtime, name)
    if as_json:
        print_json(view)
        return
    for key, value in view.items():
        if key not in ("pulls", "reconciliations", "definition"):
            typer.echo(
                f"{key}\t{_short(value) if key.endswith(('_at', '_until')) else '-' if value is None else value}"
            )
    for row in view["pulls"]:
        line = f"{_short(row['started_at'])}\t{row['kind']}\t{row['state']}\t{counts(row, settings.lang)}"
        typer.echo("\t".join([line, *filter(None, (row["error"], row["note"]))]))


def pull_feed(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="also while its breaker is open")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Pull a feed to its upstream's end, now and here. Interrupted, it goes on where it was the next time.

    Records that cannot be taken are kept with their reasons, and do not make the command fail; an upstream does.
    """
    settings = get_settings()
    lang = settings.lang
    with opened() as runtime, _progress(as_json) as report:
        done = pull(runtime, name, actor=ACTOR, force=force, on_page=report)
    if as_json:
        print_json(done.view(lang))
    else:
        typer.echo(_line(done, lang))
        note = feeds.note_text({"unsettled": done.unsettled}, settings.zone, lang)
        if note is not None:
            typer.echo(note)
    if done.error is not None:
        raise done.error


def reconcile_feed(
    name: Name,
    day: Annotated[str | None, typer.Option("--day", help="such as 2026-03-15; default: yesterday")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Hold a day against the upstream's own list of ids: what is missing here is pulled, what is extra is shown."""
    settings = get_settings()
    with opened() as runtime:
        chosen = parse_day(day) if day else clock.now().astimezone(settings.zone).date() - timedelta(days=1)
        done = reconcile(runtime, name, chosen, actor=ACTOR)
    if as_json:
        print_json(done.view(settings.lang))
        return
    say(
        f"{done.day}：上游 {done.upstream} 件，本地 {done.here} 件；缺 {len(done.missing)} 件（已补拉 "
        f"{len(done.missing) - len(done.still_missing)} 件），多 {len(done.extra)} 件",
        f"{done.day}: {done.upstream} upstream, {done.here} here; {len(done.missing)} missing "
        f"({len(done.missing) - len(done.still_missing)} of them pulled now), {len(done.extra)} extra",
    )
    for word_zh, word_en, ids in (("仍缺", "still missing", done.still_missing), ("多出", "extra", done.extra)):
        for each in ids:
            say(f"{word_zh}\t{each}", f"{word_en}\t{each}")


def switch_off(name: Name, as_json: JsonFlag = False) -> None:
    """Switch a feed off: it is pulled no more, and a pull under way ends."""
    _switch(name, active=False, as_json=as_json)


def switch_on(name: Name, as_json: JsonFlag = False) -> None:
    """Switch a feed on again; its breaker is closed."""
    _switch(name, active=True, as_json=as_json)


def rewind(name: Name, as_json: JsonFlag = False) -> None:
    """Forget the cursor: the next pull begins as the first did. What is known already stays as it is."""
    with opened() as runtime:
        with runtime.database.write() as session:
            feeds.rewind(session, name)
        _answer(_shown(runtime, name), as_json)


def _switch(name: str, *, active: bool, as_json: bool) -> None:
    with opened() as runtime:
        with runtime.database.write() as session:
            feeds.switch(session, name, active=active, now=clock.now())
        _answer(_shown(runtime, name), as_json)


def _answer(view: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        typer.echo(f"{view['name']}\t{view['state']}")


def _shown(runtime: Any, name: str) -> dict[str, Any]:
    settings = get_settings()
    with runtime.database.read() as session:
        return feeds.shown(session, SYSTEM, name, clock.now(), settings.zone, settings.lang)


def _short(moment: str | None) -> str:
    """A moment of a view, to the second."""
    return moment[:19].replace("T", " ") if moment else "-"


def parse_day(text: str) -> date:
    """A day given on the command line. Raises Invalid."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid.at(
            "--day", f"无法识别的日期 {text!r}，应形如 2026-03-15", f"{text!r} is no day; write 2026-03-15"
        ) from error


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[PullResult], None]]:
    """A line that moves on a terminal, and plain lines elsewhere; on stderr, since stdout is the answer."""
    lang = get_settings().lang
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("") as status:
            yield lambda done: status.update(_line(done, lang))
        return
    last = time.monotonic()

    def show_line(done: PullResult) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            print(_line(done, lang), file=sys.stderr, flush=True)

    yield show_line


def _line(done: PullResult, lang: str) -> str:
    pages = f"{done.pages} pages" if lang == "en" else f"{done.pages} 页"
    return f"{pages}  {counts(done.view(lang), lang)}"
