"""Requests that break off, lie about their length or are no HTTP, sent byte by byte to a server that really runs: it answers
or hangs up, logs no error, keeps nothing of them, and takes the next ticket."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app import clock
from app.config import Settings
from app.main import create_app
from app.services.access import accounts
from app.services.core import catalogue
from tests.waiting import listening, until

THOROUGH = int(os.environ.get("THOROUGH", "1"))
PATIENCE = 20


@dataclass
class Site:
    """A server on a port of its own, a key that may push, and one that may do everything."""

    port: int
    pusher: str
    admin: str
    uploads: Path
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def said(self, request: bytes, *, hang_up: bool = True) -> bytes:
        """What comes back for these bytes, until the server hangs up; ``hang_up``: nothing more is sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as wire:
            found = b""
            try:
                wire.sendall(request)
                if hang_up:
                    wire.shutdown(socket.SHUT_WR)
                while part := wire.recv(65_536):
                    found += part
            except (ConnectionResetError, BrokenPipeError):
                pass
            return found

    def push(self) -> int:
        """Push a good ticket, another each time; the status."""
        address = f"http://127.0.0.1:{self.port}/api/v1/tickets"
        body = {"external_id": f"good {next(self.numbers)}", "title": "路灯不亮"}
        return httpx.post(
            address, json=body, headers={"Authorization": f"Bearer {self.pusher}"}, timeout=PATIENCE
        ).status_code


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """The service, as ``duban serve`` runs its web half."""
    chosen = Settings(database_url=SecretStr(database_url), data_dir=tmp_path / "data", role="web")
    app = create_app(chosen)
    with app.state.duban.database.write() as session:
        catalogue.ensure_source(session, "hotline")
        _, pusher = accounts.create_key(
            session, "p", "integrator", "hotline", None, actor="system:test", now=clock.now()
        )
        _, admin = accounts.create_key(session, "a", "admin", None, None, actor="system:test", now=clock.now())
    with listening(app, log_config=None, access_log=False, timeout_graceful_shutdown=2) as port:
        yield Site(port, pusher, admin, tmp_path / "data" / "uploads")


FORM = (
    b'--XX\r\nContent-Disposition: form-data; name="profile"\r\n\r\nduban\r\n--XX\r\nContent-Disposition: form-data; name="file";'
    b' filename="a.csv"\r\n\r\nexternal_id,title\r\n1,x\r\n--XX--\r\n'
)
DOORS = (
    ("POST", "/api/v1/tickets", "application/json", b'{"external_id": "never", "title": "x"}'),
    ("POST", "/api/v1/tickets/batch", "application/x-ndjson", b'{"external_id": "never", "title": "x"}\n' * 3),
    ("POST", "/api/v1/tickets/batch", "application/json", b'[{"external_id": "never", "title": "x"}]'),
    ("PATCH", "/api/v1/tickets/by-external/hotline/good", "application/json", b'{"title": "never"}'),
    ("POST", "/api/v1/units", "application/json", b'{"code": "NEVER", "name": "x"}'),
    ("POST", "/api/v1/policies/import", "application/toml", b"[[policy]]\ncode = 'never'\n"),
    ("POST", "/api/v1/profiles", "application/toml", b"name = 'never'\n"),
    ("POST", "/api/v1/profiles/preview", "multipart/form-data; boundary=XX", FORM),
    ("POST", "/imports", "multipart/form-data; boundary=XX", FORM),
    ("POST", "/signin", "application/x-www-form-urlencoded", b"name=li&password=never"),
)  # fmt: skip
LENGTHS = (
    "{more}",
    "{less}",
    "-1",
    "1e3",
    "0x10",
    "",
    "9" * 30,
    "{size}, {size}",
    "{size}\r\nContent-Length: 3",
    "+{size}",
)
CODINGS = ("chunked", "gzip, chunked", "gzip", "chunked, chunked", "identity", "x" * 5_000)


@given(st.data())
@settings(max_examples=60 * THOROUGH, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_malformed_or_aborted_request_is_answered_or_dropped(
    site: Site, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    method, path, kind, body = data.draw(st.sampled_from(DOORS))
    key = site.pusher if "/tickets" in path else site.admin
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    cut = data.draw(st.integers(0, len(body) - 1))
    match data.draw(st.integers(0, 3)):
        case 0:
            said = data.draw(st.sampled_from(LENGTHS))
            said = said.format(more=len(body) + 1_000, less=cut, size=len(body))
            request = f"{head}Content-Length: {said}\r\n\r\n".encode() + body
        case 1:
            request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:cut]
        case 2:
            size = data.draw(
                st.sampled_from(
                    [f"{len(body):x}", "fffffffff", "-1", "g", "", "f" * 40, f"{len(body):x};a=" + "b" * 9_000]
                )
            )
            coding = data.draw(st.sampled_from(CODINGS))
            request = f"{head}Transfer-Encoding: {coding}\r\n\r\n{size}\r\n".encode() + body[:cut]
        case _:
            whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            at = data.draw(st.integers(0, len(whole) - len(body) - 1))
            request = (
                whole[:at]
                + data.draw(st.sampled_from([b"", b"\0", b"\r\n\r\n", b"\xff", b" " * 70_000, b"\n"]))
                + whole[at + 1 :]
            )
    answer = site.said(request)
    status = answer[9:12]
    assert not status.startswith(b"5"), (request[:3_000], answer[:500])
    if status[:1] == b"4" and path.startswith("/api/") and b"Invalid HTTP request" not in answer:
        assert b"application/problem+json" in answer, (request[:3_000], answer[:500])
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == [], request[:3_000]
    assert site.push() == 201, request[:3_000]


def test_of_a_file_that_breaks_off_nothing_stays(site: Site) -> None:
    head = (
        f"POST /api/v1/profiles/preview HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.admin}\r\n"
        f"Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: {len(FORM) + 10**6}\r\n\r\n"
    )
    site.said(head.encode() + FORM[:-9] + b"y" * 300_000)
    until(lambda: not list(site.uploads.glob("*")), "the broken upload is kept")
    assert site.push() == 201


def test_head_is_answered_by_its_headers_alone_and_a_stream_ends(site: Site) -> None:
    for path in ("/openapi.json", "/api/v1/tickets", "/api/v1/alerts/stream", "/static/mark.svg", "/nothing"):
        request = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.admin}\r\nConnection: close\r\n\r\n"
        head, _, rest = site.said(request.encode(), hang_up=False).partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")), path
        assert rest == b"", path
