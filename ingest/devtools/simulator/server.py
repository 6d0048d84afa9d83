"""Upstreams to try feeds on: a 12345 hotline, a 速来办 platform and an Open311 server, over HTTP, with faults on request.

``make_app`` serves the records of a ``SimulatedUpstream``; ``serving`` does so on this machine's loopback.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.connectors.http import hmac_of
from ingest.devtools.simulator.forms import BEIJING, hotline_form, open311_form, platform_form
from ingest.devtools.simulator.world import MATTERS, Item, SimulatedUpstream, corrupted

SECRET = "simulated"  # noqa: S105 - shared by the simulator and its clients; protects nothing
_DAY = timedelta(days=1)


class _UpstreamServer:
    """The three shapes over one world."""

    def __init__(self, world: SimulatedUpstream) -> None:
        self.world = world

    async def answer(self, request: Request, make: Callable[[Request], tuple[bytes, str]]) -> Response:
        """Return the response of ``make``, or a fault."""
        world = self.world
        world.requests += 1
        headers = {"Date": format_datetime(world.clock().astimezone(UTC), usegmt=True)}
        if world.chance(world.faults.error):
            return Response("simulated failure", 500, headers)
        if world.chance(world.faults.throttle):
            return Response("slow down", 429, {**headers, "Retry-After": str(world.faults.retry_after)})
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
        if item.id in self.world.hidden:
            raise KeyError(item.id)
        self.world.offered.add(item.id)
        return corrupted(form(item), item.garbage)

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
            found = self.world.between(since, until, lambda item: item.created)[: self.world.most]
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


def make_app(world: SimulatedUpstream) -> Starlette:
    """The three upstreams over ``world``: ``/hotline``, ``/sulaiban`` and ``/open311/v2``."""
    server = _UpstreamServer(world)
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
"""Base path of each bundled feed's upstream in the simulator."""
SECRET_VARIABLES = {"hotline12345": "DUBAN_FEED_HOTLINE12345_SECRET", "sulaiban": "DUBAN_FEED_SULAIBAN_TOKEN"}


@contextmanager
def serving(world: SimulatedUpstream, port: int = 0) -> Iterator[str]:
    """Serve the simulator on the loopback interface in a thread; yield its address."""
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
