"""A service in the test's own process, and the shortest ways to tell a ticket's life to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any

import httpx2 as httpx
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app import clock
from app.config import Settings
from app.main import create_app
from app.models import Unit
from app.runtime import Runtime
from app.security.sessions import SESSION_COOKIE
from app.services.access import accounts
from app.services.core import catalogue
from app.services.supervision.sweep import SweepResult, sweep
from tests.conformity import Contract

BEIJING = "+08:00"


def at(text: str) -> str:
    """A time of Beijing: ``at("2026-02-13 16:30")``."""
    return text.replace(" ", "T") + (":00" if text.count(":") == 1 else "") + BEIJING


def moment(text: str) -> datetime:
    """The same as a moment."""
    return datetime.fromisoformat(at(text))


@cache
def _contract() -> list[Contract]:
    return []


def contract_of(app: Any) -> Contract:
    """What ``/openapi.json`` declares; the same for every app, so worked out once."""
    kept = _contract()
    if not kept:
        kept.append(Contract(app.openapi()))
    return kept[0]


@dataclass
class Service:
    """The API on one database, with keys of every role made when first asked for."""

    client: TestClient
    runtime: Runtime
    _keys: dict[tuple[str, str | None, str | None], str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def key(self, role: str = "admin", *, source: str | None = None, unit: str | None = None) -> str:
        """The bearer token of a key of ``role``; the same one each time."""
        if role == "integrator" and source is None:
            source = "hotline"
        name = (role, source, unit)
        if name not in self._keys:
            with self.runtime.database.write() as session:
                if source is not None:
                    catalogue.ensure_source(session, source)
                _, self._keys[name] = accounts.create_key(
                    session,
                    role,
                    role,
                    source,
                    unit,
                    actor="system:test",
                    now=clock.now(),
                )
        return self._keys[name]

    def call(
        self, method: str, path: str, *, role: str = "admin", key: str | None = None, **options: Any
    ) -> httpx.Response:
        """One request with the key of ``role`` (or ``key``); messages in English. What is answered must be as declared."""
        headers = {
            "Authorization": f"Bearer {key or self.key(role)}",
            "Accept-Language": "en",
            **options.pop("headers", {}),
        }
        answer = self.client.request(method, f"/api/v1{path}", headers=headers, **options)
        media = answer.headers.get("content-type", "")
        content = answer.json() if "json" in media and answer.content else None
        wrong = contract_of(self.client.app).breaches(method, f"/api/v1{path}", answer.status_code, media, content)
        assert wrong == [], wrong
        return answer

    def person(self, role: str = "dispatcher") -> tuple[dict[str, str], str]:
        """A person of ``role`` who has signed in: the headers of their browser, and the secret of their forms."""
        with self.runtime.database.write() as session:
            user, _ = accounts.create_user(
                session, f"{role}-{next(self._numbers)}", role, "a long enough one", now=clock.now()
            )
            signed = accounts.begin_session(session, user, clock.now(), hours=1)
        return {"Cookie": f"{SESSION_COOKIE}={signed.token}; duban_lang=en", "Accept": "text/html"}, signed.csrf

    def unit(self, code: str, parent: str | None = None) -> None:
        """Make a unit."""
        with self.runtime.database.write() as session:
            catalogue.create_node(session, Unit, {"code": code, "name": f"单位{code}", "parent": parent})

    def push(self, **fields: Any) -> dict[str, Any]:
        """Push a ticket and return it as answered."""
        body = {"external_id": f"T{next(self._numbers)}", "title": "路灯不亮", **fields}
        answer = self.call("POST", "/tickets", role="integrator", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def act(self, ticket: int, action: str, *, role: str = "admin", expect: int = 200, key: str | None = None,
            headers: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:  # fmt: skip
        """Take an action; ``expect`` is the status that must be answered."""
        answer = self.call(
            "POST", f"/tickets/{ticket}/{action}", role=role, key=key, json=params, headers=headers or {}
        )
        assert answer.status_code == expect, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def call_back(self, ticket: int, *, role: str = "admin", expect: int = 201, **answers: Any) -> dict[str, Any]:
        """Record a callback."""
        answer = self.call("POST", f"/tickets/{ticket}/callbacks", role=role, json=answers)
        assert answer.status_code == expect, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def get(self, path: str, *, role: str = "admin", expect: int = 200, **params: Any) -> Any:
        """Read something."""
        answer = self.call("GET", path, role=role, params=params)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def sweep(self, when: str) -> SweepResult:
        """One sweep at a time of Beijing."""
        return sweep(self.runtime.database, self.runtime.reference, moment(when))


def due(ticket: dict[str, Any], target: str = "complete") -> str:
    """When a deadline of a ticket is due, as local text; fails where there is none."""
    rows = [row for row in ticket["deadlines"] if row["target"] == target]
    assert len(rows) == 1, ticket["deadlines"]
    return datetime.fromisoformat(rows[0]["due_at"]).strftime("%Y-%m-%d %H:%M")


@contextmanager
def running(database_url: str, **settings: Any) -> Iterator[Service]:
    """The service on ``database_url``, without its background work unless asked for."""
    chosen = Settings(database_url=SecretStr(database_url), **{"role": "web", **settings})
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield Service(client, client.app.state.duban)  # type: ignore[attr-defined]
