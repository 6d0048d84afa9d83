"""Proposals and previews as JSON, for the API and the command line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from app.domain.tickets.fields import IMPORTED, NODES
from ingest.profile_wizard.draft import Identity, coded, content_of
from ingest.profile_wizard.preview import ImportPreview
from ingest.profile_wizard.proposal import LIKELY, SURE, MappingProposal
from ingest.profile_wizard.sampling import Sample, as_json
from ingest.rows.ticket_in import HistoricalTicket

FIRST = 5
"""Number of raw rows shown."""
LONGEST_CELL = 300
LONGEST_SHOWN = 500
_SHOWN = tuple(field for field in IMPORTED if field.privacy != "masked" and field.length <= LONGEST_SHOWN)


def slug(name: str) -> str:
    """Return a profile name made of the Latin letters and digits of a file's name; empty where it has none."""
    stem = re.sub(r"(\.(csv|tsv|txt|xlsx|xls|ods|json|ndjson|jsonl|gz|zip))+$", "", name, flags=re.IGNORECASE)
    plain = "".join(c for c in unicodedata.normalize("NFKD", stem).lower() if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")


def identity(name: str, title: str | None = None, source: str | None = None) -> Identity:
    """Return a profile's identity; title and source default to its name."""
    shown = title or name
    return Identity(name, shown, shown, source or name, shown, shown)


def level(confidence: float) -> str:
    """Return ``sure``, ``likely`` or ``unsure``."""
    return "sure" if confidence >= SURE else "likely" if confidence >= LIKELY else "unsure"


def sample_view(sample: Sample) -> dict[str, Any]:
    """Return the detected format of the file and its first rows."""
    return {
        "format": sample.format,
        "encoding": sample.encoding,
        "delimiter": sample.delimiter,
        "sheet": sample.sheet,
        "sheets": list(sample.sheets),
        "columns": list(sample.columns),
        "rows_looked_at": len(sample.rows) + len(sample.broken),
        "whole": sample.whole,
        "first_rows": [[_short(as_json(cell)) for cell in row.cells] for row in sample.rows[:FIRST]],
    }


def _short(cell: Any) -> Any:
    return cell[: LONGEST_CELL - 1] + "…" if isinstance(cell, str) and len(cell) > LONGEST_CELL else cell


def proposal_view(proposal: MappingProposal, called: Identity, lang: str) -> dict[str, Any]:
    """Return the proposed profile, each guess with its reasons, and the words without a code."""
    return {
        "profile": content_of(proposal.draft, called),
        "guesses": [
            {
                "target": guess.target,
                "columns": list(guess.columns),
                "confidence": guess.confidence,
                "level": level(guess.confidence),
                "reasons": [reason.to(lang) for reason in guess.reasons],
            }
            for guess in proposal.guesses.values()
        ],
        "unknown_words": unknown_words(proposal),
        "notes": [note.to(lang) for note in proposal.notes],
    }


def unknown_words(proposal: MappingProposal) -> Mapping[str, list[str]]:
    """Map each coded field to the words of its column that have no code yet."""
    found = {
        name: [word for word in proposal.words.get(name, ()) if word not in proposal.draft.words.get(name, {})]
        for name, _ in coded(proposal.draft)
    }
    return {name: words for name, words in found.items() if words}


def ticket_view(ticket: HistoricalTicket, zone: tzinfo) -> dict[str, Any]:
    """Return a ticket of a preview, without long texts and without the reporter."""
    found: dict[str, Any] = {}
    for field in _SHOWN:
        value = getattr(ticket, field.name)
        if value is not None:
            found[field.name] = value.astimezone(zone).isoformat() if field.kind == "moment" else value
    for field in NODES:
        path = getattr(ticket, f"{field.name}_path")
        if path:
            found[field.name] = " / ".join(node.name for node in path)
    return found


def preview_view(preview: ImportPreview, lang: str, zone: tzinfo) -> dict[str, Any]:
    """Return the counts, the first tickets, and the rejects by reason."""
    return {
        "rows": preview.rows,
        "whole": preview.whole,
        "tickets": preview.tickets,
        "repeated": preview.repeated,
        "rejected": preview.rejects,
        "first_tickets": [{"row": row, **ticket_view(ticket, zone)} for row, ticket in preview.shown],
        "rejects": [
            {
                "reason": reason.code,
                "count": reason.count,
                "examples": [
                    {"row": row, "errors": [{"pointer": e.pointer, "detail": e.text(lang)} for e in errors]}
                    for row, errors in reason.examples
                ],
            }
            for reason in preview.by_reason
        ],
        "broken": preview.broken.text(lang) if preview.broken else None,
    }
