"""Whether the service is alive, ready, and how it does; and the API's documentation, without a CDN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.db import MIGRATIONS
from app.models import Alert, Feed, SweepRun, Ticket
from app.runtime import Runtime
from app.store import feeds as feed_store

router = APIRouter(tags=["operation"])
SWEEP_TOO_OLD = timedelta(minutes=2)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> JSONResponse:
    """Ready: the database answers, its migrations are at the head, and a sweeper has looked lately."""
    runtime: Runtime = request.app.state.duban
    checks: dict[str, Any] = {}
    try:
        with runtime.database.read() as session:
            session.execute(text("SELECT 1"))
            head = ScriptDirectory(MIGRATIONS.as_posix()).get_current_head()
            at = MigrationContext.configure(session.connection()).get_current_revision()
            last = session.execute(select(func.max(SweepRun.at))).scalar()
        checks["database"] = "ok"
        checks["migrations"] = "ok" if at == head else f"at {at}, the head is {head}"
        age = None if last is None else clock.now() - last
        fresh = age is not None and age <= SWEEP_TOO_OLD
        checks["last_sweep"] = "ok" if fresh else "none yet" if age is None else f"{int(age.total_seconds())} s ago"
    except SQLAlchemyError:
        checks["database"] = "unreachable"
    ready = all(value == "ok" for value in checks.values())
    return JSONResponse({"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> str:
    """Gauges for Prometheus: tickets by status, open alerts by card, seconds since the last sweep; of each feed that is
    on, seconds since it was whole, how often it failed in a row, and how many of its records wait as rejects."""
    runtime: Runtime = request.app.state.duban
    ticket: Any = Ticket
    alert: Any = Alert
    with runtime.database.read() as session:
        by_status = session.execute(select(ticket.status, func.count()).group_by(ticket.status)).all()
        query = select(alert.card, func.count()).where(alert.state != "resolved").group_by(alert.card)
        by_card = session.execute(query).all()
        last = session.execute(select(func.max(SweepRun.at))).scalar()
        feeds = [feed for feed in feed_store.all_feeds(session) if feed.active]
        waiting = {feed.source_id: feed_store.open_rejects(session, feed.source_id) for feed in feeds}
    lines = ["# HELP duban_tickets Tickets by status.", "# TYPE duban_tickets gauge"]
    lines += [f'duban_tickets{{status="{status}"}} {n}' for status, n in by_status]
    lines += ["# HELP duban_alerts_live Alerts not resolved, by card.", "# TYPE duban_alerts_live gauge"]
    lines += [f'duban_alerts_live{{card="{card or "none"}"}} {n}' for card, n in by_card]
    if last is not None:
        age = (clock.now() - last).total_seconds()
        lines += ["# HELP duban_last_sweep_seconds Seconds since a sweeper last looked.",
                  "# TYPE duban_last_sweep_seconds gauge", f"duban_last_sweep_seconds {age:.1f}"]  # fmt: skip
    lines += _of_feeds(feeds, waiting, clock.now()) if feeds else []
    return "\n".join(lines) + "\n"


def _of_feeds(feeds: Sequence[Feed], waiting: Mapping[int, int], now: datetime) -> list[str]:
    lines = ["# HELP duban_feed_failures Pulls of a feed that failed in a row.", "# TYPE duban_feed_failures gauge"]
    lines += [f'duban_feed_failures{{feed="{feed.name}"}} {feed.failures}' for feed in feeds]
    lines += ["# HELP duban_feed_lag_seconds Seconds since all that its upstream had was here.",
              "# TYPE duban_feed_lag_seconds gauge"]  # fmt: skip
    lines.append("# HELP duban_feed_rejects Rejects of a feed that wait for somebody.")
    lines.append("# TYPE duban_feed_rejects gauge")
    lines += [f'duban_feed_rejects{{feed="{feed.name}"}} {waiting.get(feed.source_id, 0)}' for feed in feeds]
    for feed in feeds:
        since = feed.last_done_at or feed.added_at
        lines.append(f'duban_feed_lag_seconds{{feed="{feed.name}"}} {(now - since).total_seconds():.1f}')
    return lines
