"""The chain of hashes over one ticket's events: a changed, removed or inserted event breaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from app.models.types import to_micros

GENESIS = ""
"""The previous hash of a ticket's first event."""


def link(
    prev_hash: str,
    ticket_id: int,
    seq: int,
    event_type: str,
    at: datetime,
    recorded_at: datetime,
    actor: str,
    data: Mapping[str, Any],
) -> str:
    """The hash of one event: SHA-256, in hex, over the hash before it and every field of its own.

    Times enter as microseconds since 1970 UTC, so that both databases give the same; ``data`` with its keys sorted.
    """
    body = orjson.dumps(
        [prev_hash, ticket_id, seq, event_type, to_micros(at), to_micros(recorded_at), actor, data],
        option=orjson.OPT_SORT_KEYS,
    )
    return hashlib.sha256(body).hexdigest()
