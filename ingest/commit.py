"""Group commit: many pushes, one transaction, and no timer.

One group is being committed at a time; what arrives meanwhile goes into the next. A push is answered after its commit.
The queue is bounded: beyond it a push is refused with 503 and ``Retry-After``. When one ticket breaks a group, the group
is taken again ticket by ticket, so that it alone is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import DBAPIError

from app import clock
from app.domain.errors import Busy, DubanError, Invalid
from app.models import Deadline, Ticket
from app.runtime import Runtime
from app.services import intake
from app.services.reference import SourceInfo
from app.services.views import ticket_view
from app.store import tickets as store
from ingest.schema import TicketIn, fingerprint

log = logging.getLogger("duban.intake")


@dataclass(frozen=True, slots=True)
class Push:
    """One ticket to be taken in from ``source_code``, by ``actor``."""

    incoming: TicketIn
    source_code: str
    actor: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a push: ``created`` or ``unchanged`` or ``differs``, and the ticket's id."""

    status: str
    ticket_id: int


class UnknownSource(Invalid):
    """The caller's key is of no source, or of one that is switched off."""


def take_in(runtime: Runtime, pushes: Sequence[Push], now: datetime) -> list[Answer | DubanError]:
    """Take a group of pushes in, in one transaction; of each the answer, or why it is refused.

    Blocks; to be called from a worker thread. A group that the database refuses is taken again one by one.
    """
    ids = runtime.ids.take(len(pushes))
    found: list[Answer | DubanError | None] = [None] * len(pushes)
    try:
        with runtime.writing() as (session, ref):
            prepared: list[tuple[int, intake.Prepared]] = []
            for index, push in enumerate(pushes):
                try:
                    source = _source(ref.source_by_code(push.source_code), push.source_code)
                    row = intake.prepare(
                        ref,
                        push.incoming,
                        source,
                        ticket_id=ids[index],
                        fingerprint=fingerprint(push.incoming),
                        actor=push.actor,
                        now=now,
                        zone=runtime.settings.zone,
                    )
                except DubanError as error:
                    found[index] = error
                else:
                    prepared.append((index, row))
            outcomes = intake.write(session, [row for _, row in prepared])
        for (index, _), outcome in zip(prepared, outcomes, strict=True):
            found[index] = Answer(outcome.status, outcome.ticket_id)
    except DBAPIError as error:
        if len(pushes) == 1:
            log.warning("a ticket the database refuses", extra={"error": type(error.orig).__name__})
            return [
                Invalid.at("", "数据库无法保存此工单的内容", "the database cannot store the content of this ticket")
                if not error.connection_invalidated
                else Busy("数据库暂不可用，请稍后重试", "the database is away, try again", retry_after=2)
            ]
        return [take_in(runtime, [push], now)[0] for push in pushes]
    return [answer for answer in found if answer is not None]


def _source(source: SourceInfo | None, code: str) -> SourceInfo:
    if source is None or not source.active:
        raise UnknownSource.at(
            "/source", f"来源 {code!r} 不存在或已停用", f"the source {code!r} is unknown or switched off"
        )
    return source


class Intake:
    """The queue of one process and the thread that empties it; an async context manager."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: deque[tuple[Push, asyncio.Future[Answer | DubanError]]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task  # what was accepted into the queue is committed and answered first
        self._thread.shutdown(wait=True)

    async def push(self, push: Push) -> Answer:
        """Take one ticket in; returns after its commit. Raises Busy when the queue is full, or why it is refused."""
        if self._closing or len(self._waiting) >= self._runtime.settings.intake_queue:
            raise Busy("接收队列已满，请稍后重试", "the intake queue is full, try again", retry_after=1)
        future: asyncio.Future[Answer | DubanError] = asyncio.get_running_loop().create_future()
        self._waiting.append((push, future))
        self._arrived.set()
        answer = await future
        if isinstance(answer, DubanError):
            raise answer
        return answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                size = min(len(self._waiting), self._runtime.settings.intake_group)
                group = [self._waiting.popleft() for _ in range(size)]
                pushes = [push for push, _ in group]
                try:
                    answers = await loop.run_in_executor(self._thread, take_in, self._runtime, pushes, clock.now())
                except Exception:
                    log.exception("a group could not be committed", extra={"size": size})
                    sorry = Busy("数据库暂不可用，请稍后重试", "the database is away, try again", retry_after=2)
                    answers = [sorry] * size
                for (_, future), answer in zip(group, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)


def read_ticket(runtime: Runtime, ticket_id: int, now: datetime) -> dict[str, Any]:
    """The ticket as its integrator reads it back."""
    with runtime.reading() as (session, ref):
        ticket = session.get(Ticket, ticket_id)
        assert ticket is not None, "a ticket once stored is never deleted"
        rows: list[Deadline] = store.deadlines_of(session, [ticket_id])[ticket_id]
        return ticket_view(ticket, rows, ref, now, runtime.settings.zone)
