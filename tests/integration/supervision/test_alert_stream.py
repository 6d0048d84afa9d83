"""The live stream over a real server and real sockets, and the REST paths of alerts and orders beside it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api import problems, stream
from app.api.v1 import alerts as alerts_api
from app.api.v1 import supervision_orders as orders_api
from app.services.access import accounts
from app.services.alerts import book as alerts
from tests.integration.office import DUE, START, SUPERVISOR, Office, working
from tests.waiting import listening

HOUR = timedelta(hours=1)


class Site:
    """The supervision part of the API on a port of its own."""

    def __init__(self, office: Office) -> None:
        self.office = office

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with stream.Broadcaster(office.runtime) as app.state.broadcaster:
                yield

        app = FastAPI(lifespan=lifespan)
        app.state.duban = office.runtime
        problems.install(app)
        for router in (stream.router, alerts_api.router, orders_api.router):
            app.include_router(router, prefix="/api/v1")
        self.app = app
        self._server = ExitStack()  # it has no limit on a graceful stop: an open stream would keep it for ever
        self.base = f"http://127.0.0.1:{self._server.enter_context(listening(app, log_level='error'))}/api/v1"

    def key(self, role: str, unit: str | None = None) -> dict[str, str]:
        with self.office.database.write() as session:
            source = "hotline" if role == "integrator" else None
            _, token = accounts.create_key(session, role, role, source, unit, actor="test", now=START)
        return {"Authorization": f"Bearer {token}", "Accept-Language": "en"}

    def call(self, method: str, path: str, role: str = "admin", unit: str | None = None, **more: Any) -> httpx.Response:
        return httpx.request(method, self.base + path, headers=self.key(role, unit), timeout=20, **more)

    def close(self) -> None:
        """Stop as a signal does: streams are told first."""
        self.app.state.broadcaster.stop()
        self._server.close()


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    with working(database_url) as office:
        site = Site(office)
        yield site
        site.close()


def listen(
    site: Site,
    n: int,
    headers: dict[str, str],
    *,
    ready: threading.Event | None = None,
    query: str = "",
    seconds: float = 15,
) -> list[tuple[int, dict[str, Any]]]:
    """The next ``n`` events with their ids; fewer where they do not come in time."""
    found: list[tuple[int, dict[str, Any]]] = []
    number = 0

    async def follow() -> None:
        nonlocal number
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", f"{site.base}/alerts/stream{query}", headers=headers) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            data = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "data":
                    data = value
                elif line == "":
                    if ready is not None:
                        ready.set()
                    if data:
                        found.append((number, json.loads(data)))
                        data = ""
                    if len(found) == n:
                        return

    async def bounded() -> None:
        try:
            await asyncio.wait_for(follow(), seconds)
        except TimeoutError:
            return

    asyncio.run(bounded())
    return found


class Viewer:
    """Somebody who listens in the background until so many events have come."""

    def __init__(self, site: Site, n: int, headers: dict[str, str], **more: Any) -> None:
        ready = threading.Event()
        self.found: list[tuple[int, dict[str, Any]]] = []
        self.thread = threading.Thread(target=lambda: self.found.extend(listen(site, n, headers, ready=ready, **more)))
        self.thread.start()
        assert ready.wait(15)

    def seen(self) -> list[tuple[int, dict[str, Any]]]:
        self.thread.join(30)
        return self.found


def test_alert_events_are_streamed_in_order_with_gapless_ids(site: Site) -> None:
    viewer = Viewer(site, 3, site.key("leader"))
    ticket = site.office.ticket()
    site.office.sweep(DUE)
    (alert,) = site.office.alerts(ticket)
    with site.office.runtime.writing(DUE + HOUR) as uow:
        alerts.acknowledge(uow, SUPERVISOR, alert.id)  # type: ignore[arg-type]
    site.office.act(ticket, "complete", DUE + 2 * HOUR, result="已修复")
    seen = viewer.seen()
    assert [(number, event["kind"]) for number, event in seen] == [(1, "raised"), (2, "acked"), (3, "resolved")]
    listed = site.call("GET", "/alerts").json()["items"][0]
    assert {k: v for k, v in seen[-1][1].items() if k != "kind"} == listed
    assert (listed["ticket_id"], listed["unit"], listed["rung_name"]) == (ticket, "GA", "办理超期")


def test_the_stream_begins_now_or_after_the_given_id(site: Site) -> None:
    site.office.tickets(2)
    site.office.sweep(DUE)  # six entries: accept, contact, complete of two tickets
    headers = site.key("supervisor")
    viewer = Viewer(site, 1, headers)
    site.office.ticket()
    site.office.sweep(DUE)
    assert [number for number, _ in viewer.seen()] == [7]
    assert [number for number, _ in listen(site, 6, {**headers, "Last-Event-ID": "0"})] == [1, 2, 3, 4, 5, 6]
    assert [number for number, _ in listen(site, 2, {**headers, "Last-Event-ID": "4"})] == [5, 6]
    assert [number for number, _ in listen(site, 1, headers, query="?last_event_id=5")] == [6]


@pytest.mark.server
def test_a_reconnecting_viewer_misses_and_repeats_nothing(site: Site) -> None:
    headers = site.key("admin")
    total = 40
    stop = threading.Event()

    def work() -> None:
        for n in range(total // 2):  # each ticket is one alert raised and one resolved
            ticket = site.office.ticket(start=START)
            site.office.sweep(DUE)
            site.office.act(ticket, "complete", DUE + timedelta(minutes=n + 1), result="已修复")
        stop.set()

    worker = threading.Thread(target=work)
    worker.start()
    seen: list[int] = []
    give_up = time.monotonic() + 60
    while len(seen) < total and time.monotonic() < give_up:
        place = {"Last-Event-ID": str(seen[-1] if seen else 0)}
        seen += [number for number, _ in listen(site, min(7, total - len(seen)), {**headers, **place}, seconds=5)]
    worker.join()
    assert stop.is_set()
    assert seen == list(range(1, total + 1))


def test_a_unit_sees_its_own_subtree_alone(site: Site) -> None:
    other = site.office.ticket(unit="CG")
    mine = site.office.ticket(unit="GA-1")
    site.office.sweep(DUE)
    later = site.office.ticket(unit="GA")
    site.office.sweep(DUE)
    seen = listen(site, 2, {**site.key("unit", "GA"), "Last-Event-ID": "0"})
    assert [event["ticket_id"] for _, event in seen] == [mine, later]
    everything = listen(site, 3, {**site.key("auditor"), "Last-Event-ID": "0"})
    assert {event["ticket_id"] for _, event in everything} == {mine, other, later}


@pytest.mark.server
def test_twenty_viewers_all_have_the_alert(site: Site) -> None:
    headers = site.key("leader")
    arrived: list[str] = []
    ready = threading.Barrier(21)

    async def one(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", f"{site.base}/alerts/stream", headers=headers) as answer:
            begun = False
            async for line in answer.aiter_lines():
                if line == "" and not begun:
                    begun = True
                    await asyncio.to_thread(ready.wait, 20)
                if line.startswith("data: "):
                    arrived.append(line)
                    return

    async def everybody() -> None:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(pool)
            await asyncio.gather(*(one(client) for _ in range(20)))

    site.office.ticket()
    with ThreadPoolExecutor(24) as pool:
        thread = threading.Thread(target=lambda: asyncio.run(everybody()))
        thread.start()
        ready.wait(20)
        site.office.sweep(DUE)
        thread.join(30)
    assert len(arrived) == 20
    assert len(set(arrived)) == 1


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "９", "9" * 30])
def test_an_invalid_stream_id_is_refused_before_streaming(site: Site, place: str) -> None:
    answer = site.call("GET", "/alerts/stream", params={"last_event_id": place})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_an_id_from_the_future_begins_at_the_head(site: Site) -> None:
    headers = site.key("admin")
    viewer = Viewer(site, 1, headers, query="?last_event_id=999")
    site.office.ticket()
    site.office.sweep(DUE)
    assert [number for number, _ in viewer.seen()] == [1]


def test_nobody_unknown_and_no_integrator_listens(site: Site) -> None:
    assert httpx.get(f"{site.base}/alerts/stream").status_code == 401
    assert site.call("GET", "/alerts/stream", "integrator").status_code == 403
    assert site.call("GET", "/alerts", "integrator").status_code == 403


def test_a_stream_ends_when_its_key_is_revoked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.2)
    ended, kept = site.key("leader"), site.key("leader")
    with site.office.database.read() as session:
        who = accounts.authenticate(session, ended["Authorization"].removeprefix("Bearer "), START)
    revoked, other = Viewer(site, 1, ended, seconds=20), Viewer(site, 1, kept, seconds=20)
    with site.office.database.write() as session:
        accounts.revoke_key(session, int(who.actor.removeprefix("key:")), START)
    revoked.thread.join(8)
    assert not revoked.thread.is_alive(), "the stream of a revoked key goes on"
    assert other.thread.is_alive()
    site.office.ticket()
    site.office.sweep(DUE)
    assert (len(revoked.seen()), len(other.seen())) == (0, 1)


def test_open_streams_do_not_hold_up_the_end(site: Site) -> None:
    viewers = [Viewer(site, 99, site.key("leader")) for _ in range(3)]
    site.close()
    assert [viewer.seen() for viewer in viewers] == [[], [], []]


def test_alerts_and_orders_over_rest(site: Site) -> None:
    tickets = [site.office.ticket() for _ in range(3)]
    site.office.sweep(DUE)
    page = site.call("GET", "/alerts?limit=2&state=open&card=red").json()
    rest = site.call("GET", f"/alerts?limit=2&cursor={page['next']}").json()
    assert [a["ticket_id"] for a in page["items"] + rest["items"]] == tickets[::-1]
    assert rest["next"] is None
    number = page["items"][0]["id"]
    assert site.call("POST", f"/alerts/{number}/ack", "dispatcher").json()["state"] == "acked"
    assert site.call("POST", f"/alerts/{number}/ack", "supervisor").status_code == 409
    assert site.call("POST", f"/alerts/{number}/ack", "leader").status_code == 403
    assert site.call("POST", "/alerts/999999/ack").status_code == 404

    orders = site.call("GET", "/supervision-orders?live=true&trigger=overdue&unit=GA").json()["items"]
    assert [o["number"] for o in orders] == ["〔2026〕第 0003 号", "〔2026〕第 0002 号", "〔2026〕第 0001 号"]
    path = f"/supervision-orders/{orders[0]['id']}"
    assert site.call("GET", path, "unit", "CG").status_code == 404
    assert site.call("POST", f"{path}/reply", "unit", "GA", json={"reply": "  "}).status_code == 422
    assert site.call("POST", f"{path}/reply", "unit", "GA", json={"reply": "已处理"}).json()["state"] == "replied"
    refused = site.call("POST", f"{path}/refuse-reply", "supervisor", json={"ruling": "请说明时限"}).json()
    assert (refused["state"], refused["term"]) == ("issued", 2)
    site.call("POST", f"{path}/reply", "unit", "GA", json={"reply": "三日内完成"})
    assert site.call("POST", f"{path}/accept-reply", "supervisor").json()["state"] == "closed"
    again = site.call("POST", f"/tickets/{tickets[2]}/supervision-orders", "leader", json={"demand": "速办"})
    assert again.status_code == 201
    assert (again.json()["serial"], again.json()["trigger"]) == (4, "leader")
    assert site.call("GET", path).json()["live"] is False
