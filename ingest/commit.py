"""Group commit: many pushes, one transaction, and no timer.

One group (``ingest.group``) is being committed at a time; what arrives meanwhile goes into the next. A push is answered
after its commit, from the rows that were written. The queue is bounded: beyond it a push is refused with 503 and
``Retry-After``. When the database is away, all that wait are told so at once (503); nothing has to be started again once
it is back.

A push that was answered 503, or not at all, may have been committed all the same: pushing it again is safe.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from app import clock
from app.domain.errors import Busy
from app.runtime import Runtime
from app.security.principal import Principal
from app.services import accounts
from app.services.key_cache import KeyCache
from app.store import idempotency, trouble
from ingest.group import Answer, Line, Outcome, Push, away, take_in

log = logging.getLogger("duban.intake")
CLEAN_EVERY = 600.0
"""Seconds between two looks for answers to idempotent requests that need not be kept any longer."""
SWITCH = 0.0005
"""Seconds after which a thread that computes lets another one go on (Python's own: 0.005). The commit thread waits for
that long after each answer of the database while the event loop is busy with the next requests."""

Waiting = tuple[Push, "asyncio.Future[Outcome]"]


class Intake:
    """The queue of one process and the thread that empties it; an async context manager. ``keys`` knows who calls."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: deque[Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._cleaned = float("-inf")
        self._line = Line(runtime.database)
        self.keys = KeyCache(self._authenticate)

    def _authenticate(self, token: str) -> Principal:
        try:
            with self._runtime.database.read() as session:
                return accounts.authenticate(session, token, clock.now())
        except Exception as error:
            if trouble.is_away(error):
                raise away() from error
            raise

    def source_of_key(self, who: Principal) -> str | None:
        """The code of the source that a key belongs to, without asking the database; None where it cannot be told."""
        ref = self._runtime.reference.held
        source = None if ref is None or who.source_id is None else ref.sources.get(who.source_id)
        return None if source is None else source.code

    async def __aenter__(self) -> Self:
        sys.setswitchinterval(SWITCH)
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
        self._line.drop()

    async def push(self, push: Push) -> Answer:
        """Take one ticket in; returns after its commit. Raises Busy when the queue is full or the database away, or
        why the ticket is refused. A caller that goes away takes nothing back: the ticket may be stored."""
        if self._closing or len(self._waiting) >= self._runtime.settings.intake_queue:
            raise Busy("接收队列已满，请稍后重试", "the intake queue is full, try again", retry_after=1)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((push, future))
        self._arrived.set()
        answer = await future
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _run(self) -> None:
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._commit_next()
            if self._closing:
                break

    async def _commit_next(self) -> None:
        loop = asyncio.get_running_loop()
        size = min(len(self._waiting), self._runtime.settings.intake_group)
        group = [self._waiting.popleft() for _ in range(size)]
        group = [one for one in group if not one[1].done()]  # whoever gave up before its turn need not be served
        if not group:
            return
        pushes = [push for push, _ in group]
        try:
            outcomes = await loop.run_in_executor(self._thread, take_in, self._runtime, pushes, clock.now(), self._line)
        except Exception as error:
            log.exception("a group could not be committed", extra={"size": size})
            outcomes = [error] * len(group)
        _tell(group, outcomes)
        if all(isinstance(outcome, Busy) for outcome in outcomes):
            self._shed()
        elif loop.time() - self._cleaned > CLEAN_EVERY and any(push.key is not None for push in pushes):
            self._cleaned = loop.time()
            await loop.run_in_executor(self._thread, self._forget_answers)

    def _shed(self) -> None:
        """The database is away: whoever waits is told now, and need not wait for its own turn to find that out."""
        group = list(self._waiting)
        self._waiting.clear()
        _tell(group, [away()] * len(group))

    def _forget_answers(self) -> None:
        try:
            with self._runtime.database.write() as session:
                idempotency.forget(session, clock.now())
        except Exception:
            log.exception("old answers could not be forgotten")


def _tell(group: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if not future.done():
            future.set_result(outcome)
