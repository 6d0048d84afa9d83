"""Cache the principal of an API key for two seconds, so that a push needs no query for it.

The cost: a revoked key is accepted for up to ``STALE`` seconds more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Busy, DubanError
from app.security import tokens
from app.security.principal import Principal

FRESH = 1.0
"""Seconds for which an entry is fresh; after them it is refreshed in the background."""
STALE = 2.0
"""Seconds after which an entry is not used any more: a revoked key is rejected by then."""
MOST = 4096
"""The maximum number of cached keys; a full cache is cleared."""


@dataclass(slots=True)
class _Held:
    who: Principal
    since: float


class KeyCache:
    """The recently used keys of one process. For use from one event loop.

    ``look_up`` reads the database and may block: it is called in a thread. Failures are not cached, so a key works as soon
    as it is created; when it raises Busy, a cached entry is used until it is stale.
    """

    def __init__(self, look_up: Callable[[str], Principal]) -> None:
        self._look_up = look_up
        self._held: dict[str, _Held] = {}
        self._asking: dict[str, asyncio.Task[Principal]] = {}

    async def get(self, token: str) -> Principal:
        """Who the bearer of ``token`` is; raises what ``look_up`` raises."""
        if not token.startswith(tokens.KEY_PREFIX):
            return await asyncio.to_thread(self._look_up, token)  # a session: it must end the moment it is ended
        name = tokens.digest(token)
        held = self._held.get(name)
        if held is not None:
            age = asyncio.get_running_loop().time() - held.since
            if age <= FRESH:
                return held.who
            if age <= STALE:
                if name not in self._asking:
                    self._ask(name, token)
                return held.who
        task = self._asking.get(name) or self._ask(name, token)
        return await asyncio.shield(task)  # one caller that goes away must not take the answer from the others

    def _ask(self, name: str, token: str) -> asyncio.Task[Principal]:
        task = asyncio.create_task(self._refresh(name, token))
        self._asking[name] = task
        task.add_done_callback(lambda done: self._answered(name, done))
        return task

    async def _refresh(self, name: str, token: str) -> Principal:
        since = asyncio.get_running_loop().time()  # of the question: the answer is no younger than that
        who = await asyncio.to_thread(self._look_up, token)
        if len(self._held) >= MOST:
            self._held.clear()
        self._held[name] = _Held(who, since)
        return who

    def _answered(self, name: str, task: asyncio.Task[Principal]) -> None:
        self._asking.pop(name, None)
        refused = None if task.cancelled() else task.exception()
        if isinstance(refused, DubanError) and not isinstance(refused, Busy):
            self._held.pop(name, None)  # at once, and not only when the old answer has gone stale
