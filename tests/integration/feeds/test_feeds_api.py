"""Feeds by REST: added, looked at, changed, asked for; by whom; and what is wrong said at its place."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from app import clock
from app.models import FeedPull
from app.security.principal import SYSTEM
from app.services.intake import feeds
from app.workers.feeds import Puller
from ingest.connectors.registry import template_text
from ingest.devtools.simulator.server import BASES, SECRET, SECRET_VARIABLES, serving
from ingest.devtools.simulator.world import Faults, SimulatedUpstream
from tests.support import Service

HOTLINE = {"template": "hotline12345", "base_url": "https://12345.example.org/api"}


def add(service: Service, body: dict[str, Any] = HOTLINE, expect: int = 201, role: str = "admin") -> dict[str, Any]:
    answer = service.call("POST", "/feeds", json=body, role=role)
    assert answer.status_code == expect, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_a_feed_is_added_pulled_reconciled_and_restarted(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in SECRET_VARIABLES.values():
        monkeypatch.setenv(variable, SECRET)
    world, worker = SimulatedUpstream(1, clock.now, Faults(update=0)), Puller(service.runtime)
    with serving(world) as address:
        world.advance(7)
        made = add(service, {"template": "sulaiban", "base_url": address + BASES["sulaiban"], "name": "east"})
        assert (made["name"], made["state"], made["position"], made["lag_seconds"]) == ("east", "new", {}, None)
        answer = service.call("POST", "/feeds/east/pull", role="dispatcher")
        assert (answer.status_code, answer.json()["pull_asked"]) == (202, True)
        for name, day in worker.waiting(clock.now()):
            worker.one(name, day)
        view = service.get("/feeds/east", role="leader")
        assert (view["state"], view["created"], view["pull_asked"], view["position"]) == (
            "ok",
            7,
            False,
            {"token": "7"},
        )
        assert view["pulls"][0]["created"] == 7
        assert view["lag_seconds"] >= 0
        answer = service.call("POST", "/feeds/east/reconcile", role="dispatcher", json={"day": "2026-03-14"})
        assert (answer.status_code, answer.json()["reconcile_asked"]) == (202, "2026-03-14")
        assert service.call("POST", "/feeds/east/reconcile").status_code == 202
        for name, day in worker.waiting(clock.now()):
            worker.one(name, day)
    assert service.get("/feeds/east")["reconciliations"][0]["detail"]["upstream"] == 0
    assert service.call("PATCH", "/feeds/east", json={"active": False}).json()["state"] == "off"
    assert service.call("POST", "/feeds/east/pull").status_code == 409
    assert worker.waiting(clock.now()) == []
    again = service.call("PATCH", "/feeds/east", json={"active": True, "rewind": True}).json()
    assert (again["state"], again["position"]) == ("ok", {})
    page = service.get("/feeds/east/pulls", limit=1)
    assert (page["items"][0]["kind"], service.get("/feeds/east/pulls", limit=1, cursor=page["next"])["items"][0]["kind"]) == (
        "reconcile", "pull"
    )  # fmt: skip


def test_a_feed_is_defined_in_toml_or_json_and_keeps_its_cursor(service: Service) -> None:
    text = template_text("sulaiban").replace('name = "sulaiban"', 'name = "west"')
    made = add(service, {"toml": text, "source": "west", "base_url": "https://west.example.org"})
    assert (made["source"], made["definition"]["base_url"]) == ("west", "https://west.example.org")
    other = {**made["definition"], "name": "north"}
    assert add(service, {"definition": other, "source": "north"})["source"] == "north"
    changed = service.call("PATCH", "/feeds/west", json={"base_url": "https://new.example.org"}).json()
    assert (changed["base_url"], changed["active"]) == ("https://new.example.org", True)
    assert service.call("PATCH", "/feeds/west", json={"definition": other}).json()["errors"] == [
        {"pointer": "/name", "detail": "must be west"}
    ]
    assert [item["name"] for item in service.get("/feeds")["items"]] == ["north", "west"]


def test_who_may_see_run_and_change_feeds(service: Service) -> None:
    add(service)
    asked = {
        "GET /feeds": ("admin", "dispatcher", "supervisor", "leader", "auditor"),
        "GET /feeds/hotline12345": ("admin", "dispatcher", "supervisor", "leader", "auditor"),
        "GET /feeds/hotline12345/pulls": ("admin", "dispatcher", "supervisor", "leader", "auditor"),
        "POST /feeds/hotline12345/pull": ("admin", "dispatcher"),
        "POST /feeds/hotline12345/reconcile": ("admin", "dispatcher"),
        "PATCH /feeds/hotline12345": ("admin",),
        "POST /feeds": ("admin",),
        "GET /feed-templates": ("admin",),
    }
    bodies = {"PATCH /feeds/hotline12345": {"active": True}, "POST /feeds": HOTLINE}
    for role in ("admin", "dispatcher", "supervisor", "leader", "auditor", "caller", "unit", "integrator"):
        for what, roles in asked.items():
            method, path = what.split(" ")
            key = service.key(role, unit="GA" if role == "unit" else None)
            status = service.call(method, path, key=key, json=bodies.get(what)).status_code
            assert (status == 403) == (role not in roles), (role, what, status)
    assert "definition" not in service.get("/feeds/hotline12345", role="auditor")


def test_a_feed_definition_reaches_no_secret_and_no_local_file(service: Service) -> None:
    text = template_text("sulaiban")
    for secret, pointer in (
        ("file:/etc/hostname", "/signature/secret"), ("env:DUBAN_DATABASE_URL", "/signature/secret"),
        ("plain", "/signature/secret"),
    ):  # fmt: skip
        body = {"toml": text.replace("env:DUBAN_FEED_SULAIBAN_TOKEN", secret)}
        assert add(service, body, 422)["errors"][0]["pointer"] == pointer, secret
    assert add(service, {"template": "folder"}, 422)["errors"][0]["pointer"] == "/kind"
    assert add(service, {"template": "../../etc/passwd.toml"}, 404)["status"] == 404
    assert service.get("/feeds")["items"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"base_url": "http://12345.example.org/api"}, ""),
        ({"base_url": "https://li:pw@12345.example.org"}, ""),
        ({"base_url": "ftp://12345.example.org"}, ""),
        ({"name": "Not A Name"}, "/name"),
        ({"template": "nope"}, None),
        ({"toml": "x = ["}, None),
    ],
)
def test_what_is_wrong_with_a_feed_is_said_at_its_place(
    service: Service, change: dict[str, Any], pointer: str | None
) -> None:
    body = {**HOTLINE, **change}
    if "toml" in change:
        del body["template"]
    answer = service.call("POST", "/feeds", json=body)
    assert answer.status_code == (404 if change.get("template") == "nope" else 422)
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_feed_name_is_unique_and_an_unknown_feed_is_404(service: Service) -> None:
    add(service)
    assert add(service, HOTLINE, 409)["status"] == 409
    for method, path in (("GET", ""), ("PATCH", ""), ("GET", "/pulls"), ("POST", "/pull"), ("POST", "/reconcile")):
        body = {"active": True} if method == "PATCH" else None
        assert service.call(method, f"/feeds/nope{path}", json=body).status_code == 404, path
    assert service.call("POST", "/feeds", json={}).status_code == 422


def test_every_address_of_feeds_is_described(service: Service) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    described = {f"{method.upper()} {path}" for path, each in paths.items() if "/feed" in path for method in each}
    assert described == {
        "GET /api/v1/feeds", "POST /api/v1/feeds", "GET /api/v1/feeds/{name}", "PATCH /api/v1/feeds/{name}",
        "GET /api/v1/feeds/{name}/pulls", "POST /api/v1/feeds/{name}/pull", "POST /api/v1/feeds/{name}/reconcile",
        "GET /api/v1/feed-templates",
    }  # fmt: skip


def test_the_gauges_tell_how_each_feed_does(service: Service) -> None:
    add(service)
    add(service, {**HOTLINE, "name": "off"})
    service.call("PATCH", "/feeds/off", json={"active": False})
    with service.runtime.database.write() as session:
        feed = feeds.need(session, "hotline12345")
        feed.failures, feed.last_done_at = 2, clock.now() - timedelta(hours=1)
    lines = service.client.get("/metrics").text.splitlines()
    assert 'duban_feed_failures{feed="hotline12345"} 2.0' in lines
    assert 'duban_feed_rejects{feed="hotline12345"} 0.0' in lines
    lag = next(line for line in lines if line.startswith('duban_feed_lag_seconds{feed="hotline12345"}'))
    assert float(lag.split()[1]) == pytest.approx(3600, abs=60)
    assert not any('feed="off"' in line for line in lines)


def test_an_unsettled_span_is_shown_in_the_log_and_on_the_page(service: Service) -> None:
    add(service)
    spans = [[f"2026-03-{day:02}T02:00:00+00:00", f"2026-03-{day + 1:02}T02:00:00+00:00"] for day in range(1, 6)]
    with service.runtime.database.write() as session:
        feed = feeds.need(session, "hotline12345")
        assert feed.id is not None
        session.add(
            FeedPull(feed_id=feed.id, state="done", started_at=clock.now(), detail={"unsettled": spans}, actor="x")
        )
    (row,) = service.get("/feeds/hotline12345/pulls")["items"]
    assert "2026-03-01 10:00 – 2026-03-02 10:00, 2026-03-02 10:00 – 2026-03-03 10:00" in row["note"]
    assert "(+2)" in row["note"]
    headers, _ = service.person("leader")
    assert row["note"] in unescape(service.client.get("/feeds/hotline12345", headers=headers).text)


def test_a_feed_is_late_after_three_intervals_and_shown_after_1h(service: Service) -> None:
    every = add(service)["every_seconds"]
    added = now = clock.now()

    def judged(seconds: float) -> tuple[bool, list[str]]:
        with service.runtime.database.read() as session:
            later, feed = now + timedelta(seconds=seconds), feeds.need(session, "hotline12345")
            return feeds.is_late(feed, later), [one.name for one in feeds.silent(session, SYSTEM, later, "en")]

    assert 120 < 3 * every < 3600
    assert [judged(3 * every - 5), judged(3 * every + 5)] == [(False, []), (True, [])], "since it was added"
    assert [judged(3595), judged(3605)] == [(True, []), (True, ["hotline12345"])]
    with service.runtime.database.write() as session:
        feed = feeds.need(session, "hotline12345")
        feed.last_done_at = now = added + timedelta(hours=1)
        feed.spec = {**feed.spec, "limits": {**feed.spec["limits"], "every_seconds": 7200}}
        session.add(feed)
    assert [judged(6 * 3600), judged(6 * 3600 + 1)] == [(False, []), (True, ["hotline12345"])], "since it was whole"
    assert service.get("/feeds")["items"][0]["late"] is False
    service.call("PATCH", "/feeds/hotline12345", json={"active": False})
    assert judged(86_400) == (False, [])
