"""Responses to requests with an ``Idempotency-Key``: look up, store, delete after a day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, text, tuple_
from sqlmodel import Session, col

from app.models import IdempotentAnswer

KEPT = timedelta(hours=24)
"""How long a key is valid."""
LOOKUP = 500
_LOCK = text("SELECT pg_advisory_xact_lock(:key)")


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with a key: its caller, the key, and the digest of its body."""

    caller: str
    key: str
    hash: str

    @property
    def name(self) -> tuple[str, str]:
        """The lookup key of the response: keys of different callers are distinct."""
        return self.caller, self.key


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The stored response."""

    request_hash: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """A response to store for ``request``."""

    request: KeyedRequest
    status: int
    body: str


def known(session: Session, requests: Iterable[KeyedRequest], now: datetime) -> dict[tuple[str, str], StoredAnswer]:
    """The answers to ``requests`` given within the last day, by (caller, key).

    On PostgreSQL other processes that serve one of these keys wait until this transaction ends (on SQLite they wait
    anyway), so that of two requests with one key the second always finds the answer of the first.
    """
    names = sorted({request.name for request in requests})
    if session.get_bind().dialect.name == "postgresql":
        for lock in sorted({_lock_of(name) for name in names}):  # in one order everywhere, and before any row is locked
            session.execute(_LOCK, {"key": lock})
    found: dict[tuple[str, str], StoredAnswer] = {}
    a: Any = IdempotentAnswer
    for start in range(0, len(names), LOOKUP):
        query = select(a.caller, a.key, a.request_hash, a.status, a.body).where(
            tuple_(a.caller, a.key).in_(names[start : start + LOOKUP]), a.created_at > now - KEPT
        )
        for caller, key, request_hash, status, body in session.execute(query):
            found[(caller, key)] = StoredAnswer(request_hash, status, body)
    return found


def _lock_of(name: tuple[str, str]) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(name).encode()).digest()[:8], signed=True)


def keep(session: Session, answers: Sequence[PendingAnswer], now: datetime) -> None:
    """Store responses to requests that ``known`` did not find; an expired one under the same key is replaced."""
    if not answers:
        return
    a: Any = IdempotentAnswer
    names = [answer.request.name for answer in answers]
    for start in range(0, len(names), LOOKUP):
        session.execute(delete(a).where(tuple_(a.caller, a.key).in_(names[start : start + LOOKUP])))
    session.execute(
        insert(a.__table__),
        [
            {
                "caller": answer.request.caller,
                "key": answer.request.key,
                "request_hash": answer.request.hash,
                "status": answer.status,
                "body": answer.body,
                "created_at": now,
            }
            for answer in answers
        ],
    )


def forget(session: Session, now: datetime) -> None:
    """Delete the responses older than a day."""
    session.execute(delete(IdempotentAnswer).where(col(IdempotentAnswer.created_at) <= now - KEPT))
