"""HEAD is answered as GET is, without the body, wherever GET is: by one place, and no route knows of it."""

from __future__ import annotations

import pytest

from tests.support import Service


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/signin",
        "/static/mark.svg",
        "/nothing",
        "/tickets",
    ],
)
def test_an_open_address_answers_head_with_the_headers_of_get(service: Service, path: str) -> None:
    got, head = (service.client.request(method, path, follow_redirects=False) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-length"] == got.headers["content-length"] or path == "/metrics"
    assert head.headers.get("content-type") == got.headers.get("content-type")


def test_lists_pages_and_downloads_answer_head(service: Service) -> None:
    ticket = service.push(unit="GA", received_at="2026-03-02T09:00:00+08:00")["id"]
    report = service.call("POST", "/reports", json={"kind": "daily", "period": "2026-03-02"}).json()["id"]
    for path in ("/tickets", f"/tickets/{ticket}", "/units", f"/reports/{report}/download?format=xlsx"):
        got, head = (service.call(method, path) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", got.headers["content-type"])
        assert int(head.headers["content-length"]) == len(got.content), path
    headers, _ = service.person()
    assert service.client.head("/tickets", headers=headers).status_code == 200


def test_head_of_a_stream_ends(service: Service) -> None:
    head = service.call("HEAD", "/alerts/stream")
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")


def test_head_needs_authentication_and_a_get_route(service: Service) -> None:
    refused = service.call("HEAD", "/deadlines/preview")
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "POST", b"")
    assert service.client.head("/api/v1/tickets").status_code == 401


def test_the_document_says_nothing_of_it(service: Service) -> None:
    assert not [
        path for path, methods in service.client.get("/openapi.json").json()["paths"].items() if "head" in methods
    ]
