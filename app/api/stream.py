"""The live stream of alerts (Server-Sent Events): one poller per process, any number of viewers.

An event's id is the number of an entry in the alert feed, which has no gaps and grows in commit order. So a viewer that
has seen n has seen everything up to n, and resumes after it (``Last-Event-ID``) without a gap. Viewers read from a short
buffer of the latest entries; one that is further behind is served from the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.exc import SQLAlchemyError

from app.api.deps import Who, principal
from app.errors import BadRequest, Forbidden, Unauthorized
from app.logging import get_logger
from app.runtime import Runtime
from app.security.permissions import require
from app.security.principal import Principal
from app.services.alerts.book import alert_event
from app.store import supervision as store
from app.store.scope import Kept, keep

T = TypeVar("T")
logger = get_logger("duban.stream")
router = APIRouter(tags=["supervision"])
POLL_SECONDS = 0.25
PAGE = 500
REMEMBERED = 5000
RETRY_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 3.0
"""Between signs of life, and between checks that the caller may still read the stream."""
LONGEST_SECONDS = 15 * 60
"""A stream ends after so long; the browser comes back by itself, and is asked again who it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the feed as it is sent, and the data that decides who may see its alert."""

    id: int
    alert: Kept
    json: str


class Broadcaster:
    """Reads the feed once for all viewers of a process; polls only while there are viewers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._recent: deque[Entry] = deque(maxlen=REMEMBERED)
        self._head = 0
        self._news = asyncio.Event()
        self._watched = asyncio.Event()
        self._viewers = 0
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._poll(), name="duban-alert-feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._asked:
            await asyncio.wait(self._asked)  # the database is closed next; no read may be running then

    async def _ask(self, what: Callable[..., T], *given: Any) -> T:
        """Run a database call in a thread, which runs to its end even if the caller is cancelled."""
        asked = asyncio.ensure_future(run_in_threadpool(what, *given))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        return await asyncio.shield(asked)

    def stop(self) -> None:
        """End every stream; may be called from any thread or a signal handler, before the server waits for them."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._closing = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(
        self, who: Principal, after: int | None, still_valid: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield the entries after ``after`` (None: from now on) that ``who`` may see, until the stream ends."""
        self._viewers += 1
        self._watched.set()
        try:
            head = await self._ask(self._read_head)
            # this database never issued an id beyond the head: begin at the head
            last = head if after is None else min(after, head)
            yield ServerSentEvent(comment="duban alerts", id=str(last), retry=RETRY_MILLISECONDS)
            checked = time.monotonic()
            end = checked + LONGEST_SECONDS
            while not self._closing and time.monotonic() < end:
                if time.monotonic() - checked >= HEARTBEAT_SECONDS:
                    if not await self._ask(still_valid):
                        return
                    checked = time.monotonic()
                news = self._news  # read before the check, so that an entry arriving meanwhile is not missed
                entries = await self._behind(last)
                for entry in entries:
                    last = entry.id
                    if entry.alert.seen_by(who):
                        yield ServerSentEvent(id=str(entry.id), raw_data=entry.json)
                if entries and last < self._head:
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await news.wait()
                except TimeoutError:
                    yield ServerSentEvent(comment="still here")
        finally:
            self._viewers -= 1
            if self._viewers == 0:
                self._watched.clear()

    async def _behind(self, last: int) -> list[Entry]:
        """Return the next entries after ``last``, from the buffer if it reaches that far back."""
        if self._recent and last >= self._recent[0].id - 1:
            first = self._recent[0].id
            return [self._recent[n] for n in range(last + 1 - first, min(len(self._recent), last + 1 - first + PAGE))]
        return await self._ask(self._read, last)

    def _read_head(self) -> int:
        with self._runtime.database.read() as session:
            return store.feed_head(session)

    def _read(self, after: int) -> list[Entry]:
        zone = self._runtime.settings.zone
        with self._runtime.reading() as (session, ref):
            found = []
            for feed, alert, ticket in store.feed_after(session, after, PAGE):
                body = alert_event(feed.kind, alert, ticket, ref, zone).model_dump_json()
                found.append(Entry(feed.id, keep(alert, ticket, ref), body))
            return found

    async def _poll(self) -> None:
        while True:
            if not self._watched.is_set():
                await self._watched.wait()
                self._recent.clear()  # entries that arrived without viewers are not in the buffer
                self._head = 0
            try:
                await self._look()
            except Exception:  # the database may be unavailable; viewers keep their position and catch up later
                logger.exception("alert feed read failed; retrying")
                await asyncio.sleep(1)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        if self._head == 0 and not self._recent:
            self._head = await self._ask(self._read_head)
            self._wake()
        while fresh := await self._ask(self._read, self._head):
            self._recent.extend(fresh)
            self._head = fresh[-1].id
            self._wake()
            if len(fresh) < PAGE:
                break


def place(
    header: Annotated[str | None, Header(alias="Last-Event-ID", description="id of the last event seen")] = None,
    last_event_id: Annotated[str | None, Query(description="the same, where a header cannot be sent")] = None,
) -> int | None:
    """Return the viewer's position; None: begin now. Raises BadRequest for an id not of this stream."""
    text = header if header is not None else last_event_id
    if text is None or text == "":
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise BadRequest("Last-Event-ID 应为本流给出的编号", "Last-Event-ID must be an id that this stream has given")
    return int(text)


def viewer(who: Who) -> Principal:
    """Return the caller if they may see alerts at all; checked before the stream begins."""
    require(who, "alerts.see")
    return who


EVENT: Final = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/AlertEventOut"},
        },
    },
}


@router.get(
    "/alerts/stream",
    response_class=EventSourceResponse,
    response_model=None,
    responses={
        200: {
            "description": "Server-Sent Events, for as long as the caller stays.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": EVENT}},
        }
    },
)
async def stream_alerts(
    request: Request,
    who: Annotated[Principal, Depends(viewer)],
    after: Annotated[int | None, Depends(place)],
) -> AsyncIterator[Any]:
    """Alerts as they are raised, acknowledged and resolved (`kind`), each as in `GET /alerts`.

    Event ids are numbers without gaps; `Last-Event-ID` resumes after one. Without it the stream begins now.
    """
    broadcaster: Broadcaster = request.app.state.broadcaster

    def still_valid() -> bool:
        try:
            return principal(request) == who
        except (Unauthorized, Forbidden):
            return False
        except SQLAlchemyError:  # the database may be away: the stream waits for it
            return True

    async for event in broadcaster.follow(who, after, still_valid):
        yield event
