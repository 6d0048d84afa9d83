"""The service as a real server on a free port, for a browser, with short ways to fill it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
from pydantic import SecretStr
from sqlmodel import Session

from app import clock
from app.config import Settings
from app.main import create_app
from app.models import Category, Unit
from app.runtime import Runtime
from app.services.access import accounts
from app.services.core import catalogue
from app.services.supervision.sweep import sweep
from tests.waiting import listening

PATIENCE = 30
"""Seconds that a test waits for an answer or for a page, on a machine that may be busy."""
PASSWORD = "a long enough one"
PEOPLE = (
    ("admin", "admin", None, "系统管理员"),
    ("li", "dispatcher", None, "李派单"),
    ("chen", "supervisor", None, "陈督办"),
    ("zhao", "caller", None, "赵回访"),
    ("wang", "unit", "GA-01", "王承办"),
    ("sun", "leader", None, "孙局长"),
    ("qian", "auditor", None, "钱审计"),
)
UNITS = (
    ("GA", "县公安局", "County Police", None),
    ("GA-01", "城东派出所", "East Station", "GA"),
    ("GA-02", "城西派出所", "West Station", "GA"),
    ("CG", "综合行政执法局", "Urban Management", None),
)
CATEGORIES = (("ENV", "生态环境", "Environment", None), ("ENV-01", "噪声扰民", "Noise", "ENV"))


@dataclass
class Site:
    """A running server: its address, its runtime, and keys to fill it through the API."""

    address: str
    runtime: Runtime
    key: str
    pusher: str
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def call(self, method: str, path: str, *, key: str | None = None, **options: Any) -> dict[str, Any]:
        """One request to the API as an administrator; fails unless it is answered well."""
        answer = httpx.request(
            method, f"{self.address}/api/v1{path}", headers={"Authorization": f"Bearer {key or self.key}"},
            timeout=PATIENCE, **options,
        )  # fmt: skip
        assert answer.is_success, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def push(
        self, title: str, *, days_ago: float = 0, unit: str | None = None, accept: bool = False, **more: Any
    ) -> int:
        """Push a ticket received so many days ago, dispatch it to ``unit`` and have it accepted; its id."""
        at = (clock.now() - timedelta(days=days_ago, minutes=5)).replace(microsecond=0)
        body = {"external_id": f"B{next(self._numbers)}", "title": title, "received_at": at.isoformat(), **more}
        ticket: int = self.call("POST", "/tickets", key=self.pusher, json=body)["id"]
        for n, (action, given) in enumerate((("dispatch", {"unit": unit}), ("accept", {})), 1):
            if (action == "dispatch" and unit) or (action == "accept" and accept):
                self.act(ticket, action, at=(at + timedelta(minutes=n)).isoformat(), **given)
        return ticket

    def act(self, ticket: int, action: str, **params: Any) -> dict[str, Any]:
        """Take an action as an administrator."""
        return self.call("POST", f"/tickets/{ticket}/{action}", json=params)

    def sweep(self, now: datetime | None = None) -> None:
        """One sweep."""
        sweep(self.runtime.database, self.runtime.reference, now or clock.now())


def _fill(session: Session, now: datetime) -> tuple[str, str]:
    for table, rows in ((Unit, UNITS), (Category, CATEGORIES)):
        for code, name, english, parent in rows:
            catalogue.create_node(session, table, {"code": code, "name": name, "name_en": english, "parent": parent})  # type: ignore[type-var]
    for name, role, unit, shown in PEOPLE:
        accounts.create_user(session, name, role, PASSWORD, unit, shown, now=now)
    _, key = accounts.create_key(session, "tests", "admin", now=now)
    _, pusher = accounts.create_key(session, "12345热线", "integrator", "12345", now=now)
    return key, pusher


@contextmanager
def serving(database_url: str, *, port: int = 0, filled: bool = False, **settings: Any) -> Iterator[Site]:
    """The service on an empty migrated database, listening until the block ends on ``port`` (0: one of its own).

    ``filled``: the database holds the units and people of an earlier run already; there are no keys then."""
    app = create_app(Settings(database_url=SecretStr(database_url), **{"role": "web", **settings}))
    runtime: Runtime = app.state.duban
    key = pusher = ""
    if not filled:
        with runtime.database.write() as session:
            key, pusher = _fill(session, clock.now())
    with listening(app, port=port, log_level="warning", timeout_graceful_shutdown=1) as taken:
        yield Site(f"http://127.0.0.1:{taken}", runtime, key, pusher)
