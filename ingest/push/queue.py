"""Group commit: many pushes, one transaction, and no timer.

One group (``ingest.push.transaction``) is being committed at a time, or two where the database takes writers that do not wait for
each other (PostgreSQL) and there are processors for both; what arrives meanwhile goes into the next. A push is answered
after its commit, from the rows that were written. The queue is bounded: beyond it a push is refused with 503 and
``Retry-After``. When the database is unavailable, all that wait are answered 503 at once; nothing has to be restarted
once it is back.

A push that was answered 503, or not at all, may have been committed all the same: pushing it again is safe.

Lanes are threads that take from the queue by themselves: the event loop, busy with the next requests, would notice too
late that a group is done. When groups stay large, a child process commits them (``ingest.push.worker_process``) until it
has been idle for a while; if it dies, this process commits its group.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Self

from app import clock
from app.errors import Busy, DubanError
from app.logging import get_logger
from app.runtime import Runtime
from app.security.principal import Principal
from app.services.access import accounts
from app.services.access.key_cache import KeyCache
from app.store import db_errors, idempotency
from ingest.child_process import ProcessDied
from ingest.push.transaction import Answer, CommitConnection, Outcome, Push, commit_pushes
from ingest.push.worker_process import CommitWorker

log = get_logger("duban.intake")
CLEAN_EVERY = 600.0
"""Seconds between two looks for answers to idempotent requests that need not be kept any longer."""
SWITCH = 0.0005
"""Seconds after which a thread that computes lets another one go on (Python's own: 0.005). A lane waits for that long
after each answer of the database while the event loop is busy with the next requests."""
ENOUGH = 4
"""Processors from which on two groups are committed at a time. On two, with the database beside, one took a fifth more."""
CROWD = 32
"""Pushes up to which a group is not divided."""
LARGE, OFTEN = 8, 20
"""A group of so many pushes is large; after so many large ones the commit worker is started."""
IDLE = 300.0
"""Seconds without a push after which it is stopped."""

Waiting = tuple[Push, "asyncio.Future[Outcome]"]


class PushQueue:
    """The queue of one process and the threads that empty it; an async context manager. ``keys`` knows who calls."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._count = 2 if runtime.database.is_postgresql and (os.cpu_count() or 1) >= ENOUGH else 1
        self._lanes = [
            threading.Thread(target=self._work, args=(n,), name=f"intake-{n}", daemon=True) for n in range(self._count)
        ]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._cleaned = float("-inf")
        self._second = _CommitProcess(runtime, self._count)
        self.keys = KeyCache(self._authenticate)
        runtime.metrics.push_queue.set_function(self._queue.qsize)

    def _authenticate(self, token: str) -> Principal:
        try:
            with self._runtime.database.read() as session:
                return accounts.authenticate(session, token, clock.now())
        except Exception as error:
            if db_errors.is_away(error):
                raise db_errors.away() from error
            raise

    def source_of_key(self, who: Principal) -> str | None:
        """The code of the source that a key belongs to, without querying the database; None if unknown."""
        ref = self._runtime.reference.held
        source = None if ref is None else ref.sources.get(who.source_id or 0)
        return None if source is None else source.code

    async def __aenter__(self) -> Self:
        sys.setswitchinterval(SWITCH)
        self._loop = asyncio.get_running_loop()
        if self._runtime.settings.intake_process == "always":
            await asyncio.to_thread(self._second.start)
        for lane in self._lanes:
            lane.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for _ in self._lanes:
            self._queue.put(None)  # behind all that was accepted: that is committed and answered first
        for lane in self._lanes:
            await asyncio.to_thread(lane.join)
        await asyncio.to_thread(self._second.stop, for_good=True)

    @property
    def worker(self) -> CommitWorker | None:
        """The child process that commits groups, while there is one."""
        return self._second.process

    async def push(self, push: Push) -> Answer:
        """Store one ticket; returns after its commit. Raises Busy if the queue is full or the database unavailable, or
        the reason for which the ticket is refused. A caller that disconnects cancels nothing: the ticket may be stored."""
        if self._closing or self._queue.qsize() >= self._runtime.settings.intake_queue:
            raise Busy("接收队列已满，请稍后重试", "the intake queue is full, try again", retry_after=1)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.put((push, future))
        answer = await future
        if isinstance(answer, Exception):
            raise answer
        return answer

    # -- the lanes, each in its thread ---------------------------------------------------------------------------------

    def _work(self, lane: int) -> None:
        line = CommitConnection(self._runtime.database)
        while (group := self._next_group()) is not None:
            pushes = [push for push, _ in group]
            begun = monotonic()
            try:
                outcomes = self._second.commit(lane, pushes, line)
            except Exception as error:
                log.exception("group commit failed", size=len(group))
                outcomes = [error] * len(group)
            if group:  # before the answers: a caller that has its answer finds it counted
                self._count_group(outcomes, monotonic() - begun)
            self._tell(group, outcomes)
            if group and all(isinstance(outcome, Busy) for outcome in outcomes):
                self._shed()
            elif any(push.key is not None for push in pushes):
                self._forget_answers()
        line.drop()

    def _count_group(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        metrics = self._runtime.metrics
        metrics.group_size.observe(len(outcomes))
        metrics.commit_seconds.observe(seconds)
        for outcome, count in Counter(map(_outcome_name, outcomes)).items():
            metrics.pushes.labels(outcome).inc(count)

    def _next_group(self) -> list[Waiting] | None:
        """Return the waiting pushes, or the next to come; None at the end. Cancelled ones are left out."""
        group: list[Waiting] = []
        try:
            first = self._queue.get(timeout=IDLE)
            if first is None:
                return None
            group.append(first)
            for _ in range(min(self._share(self._queue.qsize() + 1), self._runtime.settings.intake_group) - 1):
                one = self._queue.get_nowait()
                if one is None:
                    self._queue.put(None)  # for the next look: what was accepted before it comes first
                    break
                group.append(one)
        except Empty:
            if not group:
                self._second.rest()
        return [one for one in group if not one[1].done()]

    def _share(self, waiting: int) -> int:
        """How many of so many go into the next group: not all of a crowd. Answered together, they come back together,
        and the event loop would stand still while they are committed, and the commit while they are read."""
        return min(waiting, max(CROWD // self._count, -(-waiting // (self._count + 1))))

    def _tell(self, group: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        assert self._loop is not None, "lanes are started by the loop"
        self._loop.call_soon_threadsafe(_answer, group, outcomes)

    def _shed(self) -> None:
        """Reject every waiting push at once when the database is unavailable, instead of one after another."""
        group: list[Waiting] = []
        for _ in range(self._queue.qsize()):
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
            if one is None:
                self._queue.put(None)
            else:
                group.append(one)
        self._tell(group, [db_errors.away()] * len(group))

    def _forget_answers(self) -> None:
        if monotonic() - self._cleaned < CLEAN_EVERY:
            return
        self._cleaned = monotonic()
        try:
            with self._runtime.database.write() as session:
                idempotency.forget(session, clock.now())
        except Exception:
            log.exception("idempotency clean-up failed")


def _outcome_name(outcome: Outcome) -> str:
    if isinstance(outcome, Answer):
        return "replayed" if outcome.replayed else outcome.status
    return outcome.code if isinstance(outcome, DubanError) else "failed"


def _answer(group: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if not future.done():
            future.set_result(outcome)


def worth_it() -> bool:
    """Whether the machine can run a second process beside this one."""
    return os.name == "posix" and (os.cpu_count() or 1) > 1


class _CommitProcess:
    """The commit worker, while there is one: it commits the groups, or else this process does."""

    def __init__(self, runtime: Runtime, lanes: int) -> None:
        self._runtime = runtime
        self._lanes = lanes
        self._lock = threading.Lock()
        self.process: CommitWorker | None = None
        self._large = 0
        self._closed = False
        self._latest = monotonic()

    def commit(self, lane: int, pushes: Sequence[Push], line: CommitConnection) -> list[Outcome]:
        """Commit a group. ``line`` is the lane's own connection in this process."""
        if not pushes:
            return []
        self._notice(len(pushes))
        process, now, ids = self.process, clock.now(), []
        if process is not None and process.ready:
            try:
                ids = self._runtime.ids.take(len(pushes))
                with self._runtime.database.turn():
                    return process.commit(lane, pushes, ids, now)
            except ProcessDied:
                log.warning("commit worker died; committing in-process", size=len(pushes))
                self.stop()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again below and handled there
                log.warning("commit worker failed; committing in-process", error=type(error).__name__)
        return commit_pushes(self._runtime, pushes, now, line, ids)

    def _notice(self, size: int) -> None:
        self._latest = monotonic()
        wanted = self._runtime.settings.intake_process
        if wanted == "never" or (wanted == "auto" and size < LARGE):
            return
        with self._lock:
            self._large += 1
            due = self._large == OFTEN and worth_it()
        if due:
            threading.Thread(target=self.start, name="intake-start", daemon=True).start()

    def start(self) -> None:
        """Start the worker and use it once it is ready; where it does not start, this process goes on committing."""
        try:
            process = CommitWorker(self._runtime.settings, self._lanes)
        except ProcessDied:
            log.exception("commit worker did not start; committing in-process")
            with self._lock:
                self._large = -100 * OFTEN  # not again and again
            return
        with self._lock:
            if not self._closed:
                self.process = process
                return
        process.stop()

    def rest(self) -> None:
        """Stop the worker if nothing has come for a while."""
        if self._runtime.settings.intake_process == "auto" and monotonic() - self._latest >= IDLE:
            self.stop()

    def stop(self, *, for_good: bool = False) -> None:
        """Stop the worker; it may be started again, unless this is the end."""
        with self._lock:
            process, self.process, self._large = self.process, None, 0
            self._closed = self._closed or for_good
        if process is not None:
            process.stop()
