"""Request ids, the access event and unexpected errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.integration.killing.machines import free_port
from tests.support import Service
from tests.waiting import until

PHONE = "13912345678"


def served(service: Service, method: str, path: str, **options: Any) -> dict[str, Any]:
    """The access event of one request."""
    with capture_logs(processors=[]) as events:
        service.client.request(method, path, **options)
    (event,) = [each for each in events if each["event"] == "request served"]
    return dict(event)


@pytest.mark.parametrize("proposed", ["abc", "01J9ZK-4711.x_y:z", "a" * 64])
def test_a_request_keeps_a_well_formed_id(service: Service, proposed: str) -> None:
    assert service.client.get("/healthz", headers={"X-Request-ID": proposed}).headers["x-request-id"] == proposed


@pytest.mark.parametrize("proposed", ["", "a" * 65, "a b", 'a"b', "a/b", "a\tb"])
def test_a_malformed_request_id_is_replaced(service: Service, proposed: str) -> None:
    made = service.client.get("/healthz", headers={"X-Request-ID": proposed}).headers["x-request-id"]
    assert made != proposed
    assert re.fullmatch(r"[\w-]{16}", made)


def test_each_request_without_an_id_gets_its_own(service: Service) -> None:
    assert len({service.client.get("/healthz").headers["x-request-id"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/tickets", 401),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/tickets", 405),
        ("POST", "/api/v1/policies", 413),
    ],
)
def test_every_problem_names_its_request(service: Service, method: str, path: str, status: int) -> None:
    headers = {"X-Request-ID": "r-1", "Content-Length": "99999999"} if status == 413 else {"X-Request-ID": "r-1"}
    answer = service.client.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["x-request-id"], answer.json()["request_id"]) == (status, "r-1", "r-1")


def test_an_unexpected_error_is_answered_and_logged(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.api.health.generate_latest", broken)
    with capture_logs() as events:
        answer = service.client.get("/metrics", headers={"X-Request-ID": "r-2"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "r-2"
    assert "a bug" not in answer.text
    assert [each["event"] for each in events] == ["unexpected error", "request served"]
    assert events[1]["status"] == 500


def test_the_access_event_names_the_route_and_not_the_path(service: Service) -> None:
    ticket = service.push()["id"]
    key = {"Authorization": f"Bearer {service.key()}"}
    event = served(service, "GET", f"/api/v1/tickets/{ticket}?lang=en", headers=key)
    assert event["route"] == "/api/v1/tickets/{ticket_id}"
    assert (event["method"], event["status"], event["log_level"]) == ("GET", 200, "info")
    assert str(event["ticket"]) == str(ticket)
    assert 0 < event["ms"] < 60_000


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("HEAD", "/healthz", "/healthz"),
        ("GET", f"/tickets/{PHONE}x/y", "(none)"),
        ("GET", "/static/mark.svg", "/static"),
        ("DELETE", "/api/v1/tickets/7", "/api/v1/tickets/{ticket_id}"),
    ],
)
def test_every_request_has_one_access_event(service: Service, method: str, path: str, route: str) -> None:
    event = served(service, method, path)
    assert (event["method"], event["route"]) == (method, route)


def test_a_served_process_logs_json_with_the_actor(tmp_path: Path) -> None:
    port, errors = free_port(), tmp_path / "log"
    environment = {"DUBAN_DATA_DIR": str(tmp_path / "data"), "PATH": ""}
    make = [sys.executable, "-m", "app.cli", "key", "create", "--role", "auditor", "--json"]
    made = subprocess.run(make, env=environment, capture_output=True, text=True, check=True).stdout
    token = json.loads(made)["secret"]

    def answered() -> bool:
        headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "probe-1"}
        url = f"http://127.0.0.1:{port}/api/v1/tickets?q={PHONE}"
        try:
            return httpx.get(url, headers=headers, trust_env=False, timeout=30).is_success
        except httpx.TransportError:
            return False

    with errors.open("wb") as log:
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        try:
            until(answered, "the service does not answer", 180)
        finally:
            process.terminate()
            process.wait(30)
    text = errors.read_text("utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    assert all({"event", "level", "logger", "timestamp"} <= event.keys() for event in events)
    assert "Application startup complete." in {event["event"] for event in events}
    (event,) = [each for each in events if each.get("request_id") == "probe-1"]
    assert event["event"] == "request served"
    assert event["actor"].startswith("key:")
    assert event["route"] == "/api/v1/tickets"
    assert PHONE not in text


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/tickets/1/events", "GET, HEAD"),
        ("POST", "/tickets/1/deadlines", "GET, HEAD"),
        ("POST", "/tickets/abc/clocks", "GET, HEAD"),
        ("GET", "/tickets/batch", "POST"),
        ("DELETE", "/rejects/retry", "POST"),
        ("OPTIONS", "/policies/preview", "POST, PATCH"),
        ("DELETE", "/tickets", "GET, HEAD, POST"),
    ],
)
def test_an_unknown_method_of_a_known_path_is_405(service: Service, method: str, path: str, allow: str) -> None:
    answer = service.call(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (405, allow)


def test_a_value_of_no_route_is_no_wrong_method(service: Service) -> None:
    assert service.call("POST", "/tickets/1/nonsense").status_code in (404, 422)
    assert service.call("GET", "/rejects/abc").status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Referer": "https://evil.example/signin"}, 403),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://testserver"}, 401),
        ({"Referer": "http://testserver/signin"}, 401),
        ({"Sec-Fetch-Site": "same-origin"}, 401),
        ({}, 401),
    ],
)
def test_a_form_of_another_origin_is_refused(service: Service, headers: dict[str, str], status: int) -> None:
    form = {"name": "nobody", "password": "wrong wrong"}
    assert service.client.post("/signin", data=form, headers=headers).status_code == status
