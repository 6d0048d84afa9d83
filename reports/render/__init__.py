"""Render documents to files, one module per format; the only input is the contract's JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import Invalid
from reports.render import csv, json, xlsx, xlsx_clear_out
from reports.render.xlsx import TicketList as TicketList

FORMATS: dict[str, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""Every format that can be asked for, with its media type."""


def render(
    document: dict[str, Any], format_: str, path: Path, *, lang: str = "zh", behind: TicketList | None = None
) -> None:
    """Write a report or clear-out ``document`` to ``path``; ``behind`` adds the list of tickets to a workbook.

    Raises Invalid at ``/format`` for an unknown format. Takes seconds for large lists: run it off the event loop.
    """
    if format_ not in FORMATS:
        known = ", ".join(FORMATS)
        raise Invalid.at("/format", f"没有“{format_}”格式；可用：{known}", f"no format {format_!r}; use one of {known}")
    if format_ == "json":
        json.render(document, path)
    elif format_ == "csv":
        csv.render(document, path, lang)
    elif document["kind"] == "clear-out":
        xlsx_clear_out.render(document, path, lang)
    else:
        xlsx.render(document, path, lang, behind)


def file_name(document: dict[str, Any], format_: str) -> str:
    """Return ``KIND-PERIOD.FORMAT``, with ``-UNIT`` for a report about one unit (contract, Command line)."""
    unit = (document.get("scope") or {}).get("unit")
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in unit) if unit else ""
    return f"{document['kind']}-{document['period']}{f'-{safe}' if safe else ''}.{format_}"
