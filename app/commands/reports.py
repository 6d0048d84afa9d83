"""``duban report``: compute a report, store it, and write it to files or print it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from app import clock
from app.commands.common import JsonFlag, opened, parse_time, print_json, say
from app.config import get_settings
from app.errors import Invalid
from app.security.principal import SYSTEM
from reports import service
from reports.render import FORMATS, file_name

LATER = ("docx", "pdf")
"""Formats that the contract names and that are not made yet."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("report")(make_report)


def wanted_formats(text: str) -> list[str]:
    """Parse a comma-separated list of formats, without duplicates. Raises Invalid at ``--format`` listing the known ones."""
    found = list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    known = ", ".join(FORMATS)
    for name in found:
        if name in LATER:
            raise Invalid.at(
                "--format", f"暂不支持 {name}；可用：{known}", f"{name} is not made yet; use one of {known}"
            )
        if name not in FORMATS:
            raise Invalid.at("--format", f"没有“{name}”格式；可用：{known}", f"no format {name!r}; use one of {known}")
    if not found:
        raise Invalid.at("--format", f"未给出格式；可用：{known}", f"no format given; use one of {known}")
    return found


def make_report(
    kind: Annotated[str, typer.Argument(help="daily, weekly, monthly, clear-out, range")],
    period: Annotated[str, typer.Argument(help="2024-03-15, 2024-W11, 2024-03, 2024-03-01..2024-03-15")],
    format_: Annotated[
        str | None, typer.Option("--format", help="xlsx, csv, json; several with commas  [default: xlsx]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="folder for the files KIND-PERIOD[-UNIT].FORMAT")] = Path(),
    unit: Annotated[str | None, typer.Option("--unit", help="code of a unit, with its subtree")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="as-of moment; default: now")] = None,
    lang: Annotated[Literal["zh", "en"] | None, typer.Option("--lang", help="language of the files")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compute a report (or freeze a clear-out list), store it as an edition, and write it to files."""
    formats = wanted_formats(format_) if format_ is not None else [] if as_json else ["xlsx"]
    moment = parse_time(as_of, "--as-of")
    now = clock.now()
    with opened() as runtime:
        made = service.produce(runtime, SYSTEM, kind, period, now=now, unit=unit, as_of=moment)
        written = []
        if formats:
            out.mkdir(parents=True, exist_ok=True)
            with runtime.reading() as (session, ref):
                report = service.get(session, ref, SYSTEM, made.id)
                for name in formats:
                    path = out / file_name(made.document, name)
                    service.download(
                        session, SYSTEM, report, name, path, lang=lang or get_settings().lang, now=now, zone=runtime.settings.zone
                    )  # fmt: skip
                    written.append(path)
    if as_json:
        print_json(made.document)
        return
    edition, short = made.document["edition"], made.document["hash"][:16]
    if made.document["running"]:
        say(
            f"期间尚未结束，报表未封存（截至 {made.document['as_of']}）",
            f"running, as of {made.document['as_of']}: not sealed",
        )
    elif made.created:
        say(f"第 {edition} 版已封存，校验码 {short}…", f"edition {edition} sealed, hash {short}…")
    else:
        say(f"与第 {edition} 版一致，校验码 {short}…", f"the same as edition {edition}, hash {short}…")
    for path in written:
        typer.echo(str(path))
