"""One group of pushes, one transaction: what each of them is answered.

When a row breaks a group, the group is halved until that row alone is refused. A connection that was lost, or a deadlock
that was broken, is met by a second try with the same ids, which finds out what the first one stored after all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any, cast

import orjson
from sqlalchemy import Connection
from sqlmodel import Session

from app.db import Database
from app.errors import DubanError, FieldProblem, Invalid
from app.logging import get_logger
from app.models import Ticket
from app.runtime import Runtime
from app.services.core.reference import Reference, SourceInfo
from app.services.core.views import ticket_view
from app.services.intake import create as intake
from app.store import db_errors, idempotency
from app.store import tickets as store
from app.text import Text
from ingest.rows import compare
from ingest.rows.ticket_in import TicketIn, fingerprint

log = get_logger("duban.intake")


@dataclass(frozen=True, slots=True)
class Push:
    """One ticket pushed for ``source_code`` by ``actor``; ``key`` is the caller's ``Idempotency-Key``, ``raw``
    the JSON that ``incoming`` was read from, where it was."""

    incoming: TicketIn
    source_code: str
    actor: str
    key: str | None = None
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a push: ``created``, ``unchanged`` or ``differs`` (then ``fields`` says in what), and the ticket.

    ``body`` is the ticket as its source reads it, as JSON; empty where the content differs. ``replayed``: this is the
    answer once given to the same ``Idempotency-Key``."""

    status: str
    ticket_id: int
    version: int = 0
    body: bytes = b""
    fields: tuple[str, ...] = ()
    replayed: bool = False


class UnknownSource(Invalid):
    """The caller's key is of no source, or of one that is switched off."""


class KeyReused(Invalid):
    """The ``Idempotency-Key`` was used before, for another body (draft-ietf-httpapi-idempotency-key-header, 2.7)."""

    code = "idempotency-key-reused"
    title = Text("Idempotency-Key 已用于其他请求", "The Idempotency-Key was used for another request")


Outcome = Answer | Exception
"""An answer, or why there is none: a DubanError for the caller, anything else for the log."""


class CommitConnection:
    """The connection that one thread commits on, kept from group to group: to fetch it from the pool each time, and to
    have it tried there, would cost as many round trips as a group itself. It is dropped after any error."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """The connection held, or a fresh one."""
        if self._connection is None:
            self._connection = self._database.writer.connect()
        return self._connection

    def drop(self) -> None:
        """Let go of it; harmless where none is held."""
        held, self._connection = self._connection, None
        if held is not None:
            held.close()


def commit_pushes(
    runtime: Runtime,
    pushes: Sequence[Push],
    now: datetime,
    line: CommitConnection | None = None,
    ids: Sequence[int] = (),
) -> list[Outcome]:
    """Take a group of pushes in, in one transaction; of each the answer, or why it is refused.

    Blocks; to be called from a worker thread, whose ``line`` is kept. ``ids``: those for the new tickets, where an
    attempt was made with them already, which may have stored some. Never raises for what is wrong with a row or with the
    database.
    """
    if line is not None:
        return _settle(runtime, line, pushes, list(ids), now)
    line = CommitConnection(runtime.database)
    try:
        return _settle(runtime, line, pushes, list(ids), now)
    finally:
        line.drop()


def _settle(
    runtime: Runtime, line: CommitConnection, pushes: Sequence[Push], ids: list[int], now: datetime
) -> list[Outcome]:
    """``commit_pushes`` itself; ``ids`` are those of an attempt before, so that a ticket which that attempt stored after all
    is known as created."""
    for attempt in (1, 2):
        try:
            if not ids:
                ids = runtime.ids.take(len(pushes))
            return _Group(runtime, pushes, ids, now).commit(line)
        except Exception as error:  # noqa: BLE001 - classified below; _refusal logs bugs
            line.drop()
            if attempt == 1 and db_errors.may_pass(error):
                log.warning("group commit failed; retrying", error=type(error).__name__, size=len(pushes))
                continue
            if db_errors.is_away(error):
                log.warning("database unreachable", error=type(error).__name__, size=len(pushes))
                return [db_errors.away()] * len(pushes)
            if len(pushes) == 1:
                return [_refusal(error)]
            break
    half = len(pushes) // 2
    return [
        *_settle(runtime, line, pushes[:half], ids[:half], now),
        *_settle(runtime, line, pushes[half:], ids[half:], now),
    ]


def _refusal(error: Exception) -> Exception:
    """Return the error of the one ticket that breaks a transaction."""
    if isinstance(error, DubanError):
        return error
    log.error("ticket cannot be stored", exc_info=error)
    if db_errors.is_of_a_row(error):
        return Invalid.at("", "数据库无法保存此工单的内容", "the database cannot store the content of this ticket")
    return error


class _Group:
    """One transaction over several pushes, in the order in which they are given."""

    def __init__(self, runtime: Runtime, pushes: Sequence[Push], ids: Sequence[int], now: datetime) -> None:
        self.runtime = runtime
        self.pushes = pushes
        self.ids = ids
        self.now = now
        self.zone: tzinfo = runtime.settings.zone
        self.prints = [fingerprint(push.incoming) for push in pushes]
        self.found: list[Outcome | None] = [None] * len(pushes)

    def commit(self, line: CommitConnection) -> list[Outcome]:
        """Do it. Raises what the database raises; then nothing was stored, as far as is known."""
        keyed = {n: _request_of(push, self.prints[n]) for n, push in enumerate(self.pushes) if push.key is not None}
        with self.runtime.writing(self.now, line.connection()) as uow:
            fresh = self._replay(uow.session, keyed) if keyed else {}
            waiting = [n for n in range(len(self.pushes)) if self.found[n] is None and n not in fresh]
            self._write(uow.session, uow.ref, waiting)
            if keyed:
                self._keep_answers(uow.session, keyed, fresh)
        assert all(outcome is not None for outcome in self.found)
        return cast("list[Outcome]", self.found)

    def _write(self, session: Session, ref: Reference, waiting: Sequence[int]) -> None:
        prepared: list[tuple[int, intake.PreparedTicket]] = []
        for n in waiting:
            push = self.pushes[n]
            try:
                row = intake.prepare(
                    ref,
                    push.incoming,
                    _source(ref.source_by_code(push.source_code), push.source_code),
                    ticket_id=self.ids[n],
                    fingerprint=self.prints[n],
                    actor=push.actor,
                    now=self.now,
                    zone=self.zone,
                )
            except Exception as error:  # noqa: BLE001 - one ticket alone is refused, and the bug logged
                self.found[n] = _refusal(error)
            else:
                prepared.append((n, row))
        if not prepared:
            return
        there: list[tuple[int, intake.InsertResult]] = []
        outcomes = intake.write(session, [row for _, row in prepared], mostly_new=True)
        for (n, row), outcome in zip(prepared, outcomes, strict=True):
            if outcome.status == "created":
                self.found[n] = self._created(ref, row)
            else:
                there.append((n, outcome))
        if there:
            self._answer_stored(session, ref, there)

    def _created(self, ref: Reference, row: intake.PreparedTicket) -> Answer:
        """The answer from the rows as they were written: what a reader gets, without asking the database for it."""
        ticket = cast("Any", SimpleNamespace(**row.ticket))
        deadlines = cast("Any", [SimpleNamespace(**deadline) for deadline in row.deadlines])
        view = ticket_view(ticket, deadlines, ref, self.now, self.zone)
        return Answer("created", ticket.id, ticket.version, orjson.dumps(view))

    def _answer_stored(
        self, session: Session, ref: Reference, there: Sequence[tuple[int, intake.InsertResult]]
    ) -> None:
        """Answers for tickets that were there already."""
        deadlines = store.deadlines_of(session, [outcome.ticket_id for _, outcome in there])
        for n, outcome in there:
            ticket: Ticket | None = session.get(Ticket, outcome.ticket_id)
            assert ticket is not None, "a ticket once stored is never deleted"
            if (
                outcome.status == "differs"
                and compare.overridden_source_fingerprint(session, ticket.id) != self.prints[n]
            ):
                fields = compare.differing(session, ref, ticket, self.pushes[n].incoming)
                self.found[n] = Answer("differs", ticket.id, ticket.version, fields=tuple(fields))
                continue
            # An attempt whose answer was lost on the way had stored it: it is this push that made it.
            status = "created" if ticket.id == self.ids[n] else "unchanged"
            view = ticket_view(ticket, deadlines[ticket.id], ref, self.now, self.zone)
            self.found[n] = Answer(status, ticket.id, ticket.version, orjson.dumps(view))

    def _replay(self, session: Session, keyed: dict[int, idempotency.KeyedRequest]) -> dict[int, int]:
        """Answer the requests whose key is known; of those whose key comes twice in this group, which one is first."""
        known = idempotency.known(session, keyed.values(), self.now)
        first: dict[tuple[str, str], int] = {}
        later: dict[int, int] = {}
        for n, request in keyed.items():
            before = known.get(request.name)
            if before is not None:
                self.found[n] = _replayed(before) if before.request_hash == request.hash else _reused()
            elif request.name in first:
                later[n] = first[request.name]
            else:
                first[request.name] = n
        return later

    def _keep_answers(
        self, session: Session, keyed: dict[int, idempotency.KeyedRequest], later: dict[int, int]
    ) -> None:
        kept = []
        for n, request in keyed.items():
            outcome = self.found[n]
            if isinstance(outcome, Answer) and outcome.body and not outcome.replayed and n not in later:
                status = 201 if outcome.status == "created" else 200
                kept.append(idempotency.PendingAnswer(request, status, outcome.body.decode()))
        idempotency.keep(session, kept, self.now)
        for n, first in later.items():
            outcome = self.found[first]
            if keyed[n].hash != keyed[first].hash:
                self.found[n] = _reused()
            else:
                self.found[n] = (
                    replace(outcome, replayed=bool(outcome.body)) if isinstance(outcome, Answer) else outcome
                )


def _request_of(push: Push, content: str) -> idempotency.KeyedRequest:
    """A keyed request: its body is the same where the ticket that it says is the same."""
    digest = hashlib.sha256(f"{push.source_code}\0{content}".encode()).hexdigest()
    return idempotency.KeyedRequest(push.actor, push.key or "", digest)


def _replayed(before: idempotency.StoredAnswer) -> Answer:
    view = orjson.loads(before.body)
    status = "created" if before.status == 201 else "unchanged"
    return Answer(status, view["id"], view["version"], before.body.encode(), replayed=True)


def _reused() -> KeyReused:
    return KeyReused(
        [
            FieldProblem(
                "",
                "此 Idempotency-Key 已用于内容不同的请求；新请求请换用新的键",
                "this Idempotency-Key was used with another body; a new request needs a key of its own",
                "idempotency_key_reused",
            )
        ]
    )


def _source(source: SourceInfo | None, code: str) -> SourceInfo:
    if source is None or not source.active:
        raise UnknownSource.at(
            "/source", f"来源 {code!r} 不存在或已停用", f"the source {code!r} is unknown or inactive"
        )
    return source
