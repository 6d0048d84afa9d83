"""Upstreams to try feeds on: a 12345 hotline, a 速来办 platform and an Open311 server, over HTTP, with faults on request.

Everything is decided by the seed. ``World`` holds the records, grows by ``advance``, and knows all that it ever offered;
``make_app`` serves it. Faults are chances between 0 and 1; one request in so many goes wrong, never the same twice over.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.http import hmac_of

SECRET = "simulated"  # noqa: S105 - what the simulator shares with whoever pulls it, and guards nothing
BEIJING = ZoneInfo("Asia/Shanghai")
MATTERS = ("路灯不亮", "井盖破损", "施工噪音", "物业费争议", "垃圾堆放", "道路积水", "占道经营", "水管爆裂")
_KINDS = (("咨询", "ask"), ("求助", "help"), ("投诉", "complain"), ("举报", "report"), ("建议", "advise"))
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong: each a chance of one request or of one record. ``slow_seconds``: how long a slow
    answer takes; ``skew_seconds``: the upstream's clock less the true one."""

    error: float = 0.0
    throttle: float = 0.0
    truncate: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 3.0
    garbage: float = 0.0
    duplicate: float = 0.0
    shuffle: float = 0.0
    stale: float = 0.0
    update: float = 0.3
    skew_seconds: int = 0


ROUGH = Faults(error=0.08, throttle=0.05, truncate=0.05, garbage=0.04, duplicate=0.2, shuffle=0.5, stale=0.1,
               skew_seconds=240)  # fmt: skip
"""A bad day of an upstream."""


@dataclass
class Item:
    """One record and its earlier versions, in an upstream's own terms."""

    number: int
    id: str
    title: str
    kind: int
    created: datetime
    updated: datetime
    state: int = 0
    note: str = ""
    garbage: int = 0
    before: Item | None = None


@dataclass
class World:
    """The upstream's records and what it has offered. ``now`` gives the true time."""

    seed: int
    now: Callable[[], datetime]
    faults: Faults = Faults()
    prefix: str = "S"
    items: dict[str, Item] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    requests: int = 0
    healthy: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a game of chance that can be played again
        self._faulty = random.Random(self.seed + 1)  # noqa: S311

    def chance(self, of: float) -> bool:
        """Whether a fault of this chance happens now."""
        return not self.healthy and of > 0 and self._faulty.random() < of

    def clock(self) -> datetime:
        """The upstream's own time."""
        return self.now() + timedelta(seconds=self.faults.skew_seconds)

    def advance(self, count: int) -> None:
        """``count`` new records, and changes of some that are there."""
        with self.lock:
            for _ in range(count):
                number = len(self.items) + 1
                made = self.clock()
                item = Item(number, f"{self.prefix}{number:06d}", self._random.choice(MATTERS),
                            self._random.randrange(len(_KINDS)), made, made)  # fmt: skip
                if self._random.random() < self.faults.garbage:
                    item.garbage = 1 + number % 6
                self._put(item)
                if self._random.random() < self.faults.update:
                    self._change(self._random.choice(list(self.items)))

    def _put(self, item: Item) -> None:
        self.items[item.id] = item
        self.changes.append(item.id)

    def _change(self, item_id: str) -> None:
        old = self.items[item_id]
        if old.garbage or old.state == 2:
            return
        later = max(self.clock(), old.updated + timedelta(seconds=1))
        new = replace(old, updated=later, note=f"补充 {later:%H%M%S}", before=replace(old, before=None))
        if self._random.random() < 0.4:
            new.state += 1
        self._put(new)

    def between(self, since: datetime, until: datetime, of: Callable[[Item], datetime]) -> list[Item]:
        """The records whose moment lies in the span, its end included, in order."""
        with self.lock:
            found = [item for item in self.items.values() if since <= of(item) <= until]
        return sorted(found, key=lambda item: (of(item), item.id))

    def page(self, items: list[Item], form: Callable[[Item], Any]) -> list[Any]:
        """These records as sent: some twice, some in an older version too, some out of order."""
        found = [(item, form(item)) for item in items]
        for item in items:
            if item.before is not None and self.chance(self.faults.stale):
                found.append((item, form(item.before)))
            elif self.chance(self.faults.duplicate):
                found.append((item, form(item)))
        if self.chance(self.faults.shuffle):
            self._faulty.shuffle(found)
        with self.lock:
            self.offered.update(item.id for item in items)
        return [_spoilt(sent, item.garbage) for item, sent in found]


def _spoilt(sent: dict[str, Any], way: int) -> Any:
    """A record spoilt in one of six ways."""
    key = next(name for name in ("orderNo", "id", "service_request_id") if name in sent)
    title = next(name for name in ("title", "subject", "service_name") if name in sent)
    if way == 1:
        return {**sent, title: "x\0y"}
    if way == 2:
        return {name: value for name, value in sent.items() if name != title and name != "service_code"} | {
            title: None, "address": "甲" * 501
        }  # fmt: skip
    if way == 3:
        return f"garbage {sent[key]}"
    if way == 4:
        return {**sent, title: "y" * 10, "status": "?", "state": "?"}
    if way == 5:
        return [sent[key]]
    return {**sent, key: "9" * 65 + str(sent[key])} if way == 6 else sent


def _local(moment: datetime) -> str:
    return moment.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def hotline_form(item: Item) -> dict[str, Any]:
    """A record as a 12345 hotline tells it."""
    state = ("待派单", "办理中", "已办结")[item.state]
    found = {
        "orderNo": item.id, "title": item.title, "content": f"{item.title}。{item.note}",
        "orderType": _KINDS[item.kind][0], "createTime": _local(item.created), "updateTime": _local(item.updated),
        "status": state, "caller": {"name": "测试人", "phone": f"1390000{item.number % 10000:04d}"},
        "address": f"幸福路{item.number % 200 + 1}号",
    }  # fmt: skip
    return found | ({"finishTime": _local(item.updated), "result": "已处理"} if item.state == 2 else {})


def platform_form(item: Item) -> dict[str, Any]:
    """A record as a 速来办 platform tells it."""
    found = {
        "id": item.id, "subject": item.title, "detail": f"{item.title}。{item.note}", "type": _KINDS[item.kind][1],
        "reported": item.created.isoformat(), "modified": item.updated.isoformat(),
        "state": ("new", "handling", "done")[item.state], "reporter": {"name": "测试人", "mobile": "13900000000"},
        "location": {"text": f"幸福路{item.number % 200 + 1}号", "lat": 22.6, "lng": 114.3},
    }  # fmt: skip
    return found | ({"finished": item.updated.isoformat(), "reply": "已处理"} if item.state == 2 else {})


def open311_form(item: Item) -> dict[str, Any]:
    """A record as a GeoReport server tells it."""
    return {
        "service_request_id": item.id, "status": "closed" if item.state == 2 else "open",
        "status_notes": "done" if item.state == 2 else None, "service_name": item.title,
        "service_code": f"SV{MATTERS.index(item.title)}", "description": f"{item.title}。{item.note}",
        "requested_datetime": item.created.isoformat(), "updated_datetime": item.updated.isoformat(),
        "address": f"幸福路{item.number % 200 + 1}号", "lat": "22.6", "long": "114.3",
    }  # fmt: skip


class _Server:
    """The three shapes over one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def answer(self, request: Request, make: Callable[[Request], tuple[bytes, str]]) -> Response:
        """What ``make`` answers, or what goes wrong instead."""
        world = self.world
        world.requests += 1
        headers = {"Date": format_datetime(world.clock().astimezone(UTC), usegmt=True)}
        if world.chance(world.faults.error):
            return Response("simulated failure", 500, headers)
        if world.chance(world.faults.throttle):
            return Response("slow down", 429, {**headers, "Retry-After": "1"})
        if world.chance(world.faults.slow):
            await asyncio.sleep(world.faults.slow_seconds)
        try:
            body, media = make(request)
        except PermissionError:
            return Response("signature", 401, headers)
        except KeyError:
            return Response("not found", 404, headers)
        if world.chance(world.faults.truncate):
            body = body[: len(body) // 2]
        return Response(body, 200, headers, media)

    async def orders(self, request: Request) -> Response:
        """The hotline's pages by change time."""
        return await self.answer(request, self._orders)

    def _orders(self, request: Request) -> tuple[bytes, str]:
        _check_hmac(request)
        q = request.query_params
        since, until = (_beijing(q[name]) for name in ("startTime", "endTime"))
        found = self.world.between(since, until, lambda item: item.updated)
        page, size = int(q["pageNo"]), int(q["pageSize"])
        sent = self.world.page(found[(page - 1) * size : page * size], hotline_form)
        return _json({"code": 0, "data": {"records": sent, "total": len(found)}})

    async def order_ids(self, request: Request) -> Response:
        """The hotline's ids of a day."""
        return await self.answer(request, self._order_ids)

    def _order_ids(self, request: Request) -> tuple[bytes, str]:
        _check_hmac(request)
        ids = [item.id for item in self._of_day(request.query_params["date"])]
        return _json({"code": 0, "data": {"ids": ids, "total": len(ids)}})

    def _of_day(self, day: str) -> list[Item]:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=BEIJING)
        return self.world.between(begin, begin + _DAY - timedelta(microseconds=1), lambda item: item.created)

    async def order(self, request: Request) -> Response:
        """One record of the hotline."""

        def make(asked: Request) -> tuple[bytes, str]:
            _check_hmac(asked)
            return _json({"code": 0, "data": self._one(asked, hotline_form)})

        return await self.answer(request, make)

    def _one(self, request: Request, form: Callable[[Item], dict[str, Any]]) -> Any:
        item = self.world.items[request.path_params["id"].rsplit(".", 1)[0]]
        self.world.offered.add(item.id)
        return _spoilt(form(item), item.garbage)

    async def events(self, request: Request) -> Response:
        """The platform's stream behind a cursor."""
        return await self.answer(request, self._events)

    def _events(self, request: Request) -> tuple[bytes, str]:
        _check_token(request)
        at, size = int(request.query_params.get("cursor") or 0), int(request.query_params.get("limit") or 100)
        with self.world.lock:
            ids = list(dict.fromkeys(self.world.changes[at : at + size]))
            following = min(at + size, len(self.world.changes))
            found = [self.world.items[each] for each in ids]
        return _json({"list": self.world.page(found, platform_form), "next": str(following)})

    async def days(self, request: Request) -> Response:
        """The platform's ids of a day."""

        def make(asked: Request) -> tuple[bytes, str]:
            _check_token(asked)
            found = [{"id": item.id} for item in self._of_day(asked.query_params["day"])]
            return _json({"items": found, "count": len(found)})

        return await self.answer(request, make)

    async def event(self, request: Request) -> Response:
        """One record of the platform."""

        def make(asked: Request) -> tuple[bytes, str]:
            _check_token(asked)
            return _json(self._one(asked, platform_form))

        return await self.answer(request, make)

    async def requests(self, request: Request) -> Response:
        """GeoReport requests by the time they were made."""

        def make(asked: Request) -> tuple[bytes, str]:
            q = asked.query_params
            since, until = (datetime.fromisoformat(q[name]) for name in ("start_date", "end_date"))
            found = self.world.between(since, until, lambda item: item.created)[:1000]
            return _georeport(asked, "service_requests", "request", self.world.page(found, open311_form))

        return await self.answer(request, make)

    async def one_request(self, request: Request) -> Response:
        """One GeoReport request."""
        return await self.answer(
            request, lambda r: _georeport(r, "service_requests", "request", [self._one(r, open311_form)])
        )

    async def services(self, request: Request) -> Response:
        """The GeoReport services."""
        rows = [{"service_code": f"SV{n}", "service_name": name, "group": "市政", "metadata": "false"}
                for n, name in enumerate(MATTERS)]  # fmt: skip
        return await self.answer(request, lambda r: _georeport(r, "services", "service", rows))


def _json(value: Any) -> tuple[bytes, str]:
    return orjson.dumps(value), "application/json"


def _georeport(request: Request, root: str, tag: str, rows: list[Any]) -> tuple[bytes, str]:
    if request.url.path.endswith(".json"):
        return _json(rows)
    parts = [f'<?xml version="1.0" encoding="utf-8"?><{root}>']
    for row in rows:
        inner = "".join(f"<{k}>{_xml(v)}</{k}>" for k, v in row.items()) if isinstance(row, Mapping) else _xml(row)
        parts.append(f"<{tag}>{inner}</{tag}>")
    return "".join([*parts, f"</{root}>"]).encode(), "text/xml"


def _xml(value: Any) -> str:
    return escape("" if value is None else str(value)).replace("\0", "\ufffd")


def _beijing(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)


def _check_hmac(request: Request) -> None:
    headers = request.headers
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    good = hmac_of(SECRET, "GET", target, headers.get("X-Timestamp", ""), headers.get("X-Nonce", ""), b"")
    if headers.get("X-Signature") != good:
        raise PermissionError


def _check_token(request: Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {SECRET}":
        raise PermissionError


def make_app(world: World) -> Starlette:
    """The three upstreams over ``world``: ``/hotline``, ``/sulaiban`` and ``/open311/v2``."""
    server = _Server(world)
    return Starlette(
        routes=[
            Route("/hotline/v1/orders", server.orders),
            Route("/hotline/v1/orders/ids", server.order_ids),
            Route("/hotline/v1/orders/{id}", server.order),
            Route("/sulaiban/open/events", server.events),
            Route("/sulaiban/open/days", server.days),
            Route("/sulaiban/open/events/{id}", server.event),
            Route("/open311/v2/requests.{kind}", server.requests),
            Route("/open311/v2/services.{kind}", server.services),
            Route("/open311/v2/requests/{id}", server.one_request),
        ]
    )


BASES = {"hotline12345": "/hotline", "sulaiban": "/sulaiban", "open311": "/open311/v2"}
"""Where each bundled feed's upstream stands below the simulator's address."""
SECRET_VARIABLES = {"hotline12345": "DUBAN_FEED_HOTLINE12345_SECRET", "sulaiban": "DUBAN_FEED_SULAIBAN_TOKEN"}


@contextmanager
def serving(world: World, port: int = 0) -> Iterator[str]:
    """The simulator on this machine's loopback, in a thread; its address."""
    config = uvicorn.Config(
        make_app(world), host="127.0.0.1", port=port, log_level="critical", date_header=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True, name="duban-simulator")
    thread.start()
    waiting = threading.Event()
    while not server.started:
        if not thread.is_alive():
            raise OSError(f"the simulator could not listen on port {port}")
        waiting.wait(0.02)
    address = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
