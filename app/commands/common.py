"""Shared by commands: the runtime, and output as text or as one JSON document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer

from app import clock
from app.config import get_settings
from app.errors import Invalid
from app.runtime import Runtime

JsonFlag = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, nothing else there")]


@contextmanager
def opened() -> Iterator[Runtime]:
    """Open the runtime on the configured database, migrated; close it at the end."""
    runtime = Runtime.open(get_settings(), clock.now())
    try:
        yield runtime
    finally:
        runtime.close()


def print_json(value: Any) -> None:
    """Print ``value`` as one JSON document."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


def say(zh: str, en: str) -> None:
    """Print a line in the configured language."""
    typer.echo(en if get_settings().lang == "en" else zh)


def parse_time(text: str | None, option: str = "--at") -> datetime | None:
    """Parse a moment given on the command line: ISO 8601; without an offset, in the configured zone.

    Raises Invalid naming the option.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid.at(
            option,
            f"无法识别的时间 {text!r}，应为 2024-03-15T09:00:00+08:00 之类",
            f"{text!r} is not a time; use e.g. 2024-03-15T09:00:00+08:00",
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=get_settings().zone)
