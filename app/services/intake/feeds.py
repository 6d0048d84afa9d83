"""Administer feeds: add, switch, rewind, and show them with their last pulls, lag, counts and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.errors import Conflict, Invalid, NotFound
from app.models import Feed, FeedPull, Source, SweepRun
from app.security.principal import Principal
from app.services.core.reference import touch
from app.services.core.views import moment
from app.store import feeds as store
from app.store import reference as reference_store
from app.store.scope import visible

PULLS_SHOWN, RECONCILIATIONS_SHOWN = 20, 14
WORKER_SILENT = timedelta(minutes=2)
"""A worker without a sweep for this long is not running."""
LATE_AFTER, LATE_AT_LEAST = 3, timedelta(minutes=2)
"""A feed without a complete pull for this many intervals, and at least this long, is late."""
SILENT_AFTER = timedelta(hours=1)
"""A late feed without a complete pull for this long is reported on the alert board."""
NOTED = 3
"""The number of spans listed in a note."""
LISTING_KINDS: set[str] = set()
"""Kinds of feed whose every upstream lists the ids of a day; ``ingest.connectors.registry`` adds them."""
EVERY_SECONDS = 300
"""The default interval between two pulls of a feed."""


def add(
    session: Session, name: str, kind: str, spec: Mapping[str, Any], source: Mapping[str, str], *, actor: str,
    now: datetime, replace: bool = False,
) -> Feed:  # fmt: skip
    """Store a feed, creating its source if missing. ``replace``: replace the definition of an existing feed and keep its
    cursor. Raises Conflict if the name is taken."""
    row = reference_store.by_code(session, Source, source["code"])
    if row is None:
        row = Source(code=source["code"], name=source["zh"], name_en=source["en"])
        session.add(row)
        session.flush()
        touch(session)
    assert row.id is not None, "it has been flushed"
    feed = store.by_name(session, name)
    if feed is not None and not replace:
        raise Conflict(
            f"已有名为 {name} 的接入源；更换配置请加 --replace",
            f"a feed {name!r} already exists; use --replace to replace its definition",
        )
    if feed is None:
        feed = Feed(name=name, source_id=row.id, kind=kind, spec={}, position={}, added_at=now, added_by=actor)
    elif feed.source_id != row.id:
        raise Conflict("接入源的来源不能更换", "the source of a feed cannot be changed")
    feed.kind, feed.spec, feed.active = kind, dict(spec), True
    feed.failures, feed.open_until = 0, None
    session.add(feed)
    session.flush()
    return feed


def need(session: Session, name: str) -> Feed:
    """The feed with the name ``name``; raises NotFound."""
    feed = store.by_name(session, name)
    if feed is None:
        raise _unknown(name)
    return feed


def _unknown(name: str) -> NotFound:
    return NotFound(f"没有名为 {name} 的接入源", f"there is no feed {name!r}")


def due(session: Session, now: datetime) -> list[str]:
    """The names of the feeds to pull now, longest waiting first."""
    waiting = [feed for feed in store.all_feeds(session) if is_due(feed, now)]
    return [feed.name for feed in sorted(waiting, key=lambda feed: (feed.last_started_at is not None,
                                                                    feed.last_started_at, feed.name))]  # fmt: skip


def is_due(feed: Feed, now: datetime) -> bool:
    """Whether the feed is on, and either a pull is requested, or its interval has passed and its breaker is closed."""
    if not feed.active:
        return False
    if feed.pull_asked_by is not None:
        return True
    if feed.open_until is not None and feed.open_until > now:
        return False
    return feed.last_started_at is None or feed.last_started_at + _interval(feed) <= now


def _interval(feed: Feed) -> timedelta:
    return timedelta(seconds=int(feed.spec.get("limits", {}).get("every_seconds", EVERY_SECONDS)))


def _whole_at(feed: Feed) -> datetime:
    """The moment of the last complete pull; before the first one, when the feed was added."""
    return feed.last_done_at or feed.added_at


def is_late(feed: Feed, now: datetime) -> bool:
    """Whether an active feed has had no complete pull for too long (``LATE_AFTER``, ``LATE_AT_LEAST``)."""
    return feed.active and now - _whole_at(feed) > max(LATE_AT_LEAST, LATE_AFTER * _interval(feed))


@dataclass(frozen=True, slots=True)
class SilentFeed:
    """A feed without complete pulls: its name and title, and since when."""

    name: str
    title: str
    since: datetime


def silent(session: Session, who: Principal, now: datetime, lang: str) -> list[SilentFeed]:
    """The feeds visible to ``who`` that have been late for ``SILENT_AFTER``, longest first."""
    found = [
        SilentFeed(feed.name, _title(feed, lang), _whole_at(feed))
        for feed in _seen(session, who)
        if is_late(feed, now) and now - _whole_at(feed) >= SILENT_AFTER
    ]
    return sorted(found, key=lambda one: (one.since, one.name))


def _title(feed: Feed, lang: str) -> str:
    return str(feed.spec.get("title", {}).get("en" if lang == "en" else "zh", feed.name))


def requested_reconciliations(session: Session) -> list[tuple[str, str]]:
    """The feeds with a requested reconciliation, each with the day."""
    return [(feed.name, feed.reconcile_asked) for feed in store.all_feeds(session)
            if feed.active and feed.reconcile_asked is not None]  # fmt: skip


def request_pull(session: Session, name: str, actor: str) -> Feed:
    """Request an immediate pull of the feed by a worker, even while its breaker is open. Raises NotFound, and Conflict if
    the feed is off."""
    feed = _on(session, name)
    feed.pull_asked_by = actor
    session.add(feed)
    return feed


def request_reconcile(session: Session, name: str, day: date, actor: str) -> Feed:
    """Request that a worker compares a day of the feed with its upstream. Raises as ``request_pull``, and Invalid for a
    feed without a reconciliation list."""
    feed = _on(session, name)
    if not can_reconcile(feed):
        raise Invalid.at("/name", "该接入源没有配置对账清单", "this feed has no list to compare with ([reconcile])")
    feed.reconcile_asked, feed.reconcile_asked_by = day.isoformat(), actor
    session.add(feed)
    return feed


def can_reconcile(feed: Feed) -> bool:
    """Whether the upstream lists its ids of a day: by its protocol, or if [reconcile] is configured."""
    return feed.kind in LISTING_KINDS or feed.spec.get("reconcile") is not None


def switch(session: Session, name: str, *, active: bool, now: datetime) -> Feed:
    """Switch a feed on, which closes its breaker, or off, which ends a running pull. Raises NotFound."""
    feed = need(session, name)
    if active and not feed.active:
        feed.failures, feed.open_until = 0, None
    if not active:
        feed.lease_holder = feed.lease_until = None  # the pulling worker detects this before its next request or commit
        feed.pull_asked_by = feed.reconcile_asked = feed.reconcile_asked_by = None
        assert feed.id is not None, "it is stored"
        for row in store.running_pulls(session, feed.id):
            row.state, row.finished_at = "stopped", now
            row.error = {"code": "switched_off", "zh": "接入源被停用", "en": "the feed was switched off"}
            session.add(row)
    feed.active = active
    session.add(feed)
    return feed


def has_live_worker(session: Session, now: datetime) -> bool:
    """Whether a worker is running: one that pulls feeds also sweeps, several times a minute."""
    last: datetime | None = session.execute(select(func.max(col(SweepRun.at)))).scalar()
    return last is not None and now - last <= WORKER_SILENT


def rewind(session: Session, name: str) -> Feed:
    """Clear the cursor, so that the next pull starts from the beginning; stored records are unchanged. Raises NotFound,
    and Conflict during a pull."""
    feed = need(session, name)
    if feed.lease_holder is not None:
        raise Conflict(f"接入源 {name} 正在拉取，请稍后再试", f"the feed {name} is being pulled; try again later")
    feed.position = {}
    session.add(feed)
    return feed


def _on(session: Session, name: str) -> Feed:
    feed = need(session, name)
    if not feed.active:
        raise Conflict(f"接入源 {name} 已停用", f"the feed {name} is switched off")
    return feed


def state_of(feed: Feed, now: datetime) -> str:
    """``off``, ``pulling``, ``waiting`` (the breaker is open), ``failing``, ``new`` or ``ok``."""
    if not feed.active:
        return "off"
    if feed.lease_until is not None and feed.lease_until > now:
        return "pulling"
    if feed.open_until is not None and feed.open_until > now:
        return "waiting"
    if feed.failures:
        return "failing"
    return "ok" if feed.last_done_at else "new"


def feed_view(session: Session, feed: Feed, now: datetime, zone: tzinfo, lang: str) -> dict[str, Any]:
    """A feed for a response. ``lag_seconds``: since the last complete pull; none before the first."""
    source = session.get(Source, feed.source_id)
    lag = None if feed.last_done_at is None else max(0, int((now - feed.last_done_at).total_seconds()))
    return {
        "id": feed.id,
        "name": feed.name,
        "title": _title(feed, lang),
        "kind": feed.kind,
        "source": source.code if source else None,
        "state": state_of(feed, now),
        "active": feed.active,
        "base_url": feed.spec.get("base_url") or feed.spec.get(feed.kind, {}).get("path"),
        "every_seconds": feed.spec.get("limits", {}).get("every_seconds"),
        "last_started_at": moment(feed.last_started_at, zone),
        "last_done_at": moment(feed.last_done_at, zone),
        "lag_seconds": lag,
        "late": is_late(feed, now),
        "newest_at": moment(feed.newest_at, zone),
        "skew_seconds": feed.skew_seconds,
        "failures": feed.failures,
        "open_until": moment(feed.open_until, zone),
        "error": error_text(feed.last_error, lang),
        "created": feed.created,
        "corrected": feed.corrected,
        "unchanged": feed.unchanged,
        "rejected": feed.rejected,
        "open_rejects": store.open_rejects(session, feed.source_id),
        "can_reconcile": can_reconcile(feed),
        "pull_asked": feed.pull_asked_by is not None,
        "reconcile_asked": feed.reconcile_asked,
        "position": feed.position,
        "added_at": moment(feed.added_at, zone),
        "added_by": feed.added_by,
    }


def pull_view(row: FeedPull, zone: tzinfo, lang: str) -> dict[str, Any]:
    """One pull for a response."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "started_at": moment(row.started_at, zone),
        "finished_at": moment(row.finished_at, zone),
        "pages": row.pages,
        "retries": row.retries,
        "created": row.created,
        "corrected": row.corrected,
        "unchanged": row.unchanged,
        "rejected": row.rejected,
        "error": error_text(row.error, lang),
        "detail": row.detail,
        "note": note_text(row.detail, zone, lang),
        "actor": row.actor,
    }


def error_text(error: Mapping[str, Any] | None, lang: str) -> str | None:
    """A stored error in ``lang``."""
    return None if error is None else str(error["en" if lang == "en" else "zh"])


def note_text(detail: Mapping[str, Any] | None, zone: tzinfo, lang: str) -> str | None:
    """The note of a pull in ``lang``: the spans in which the upstream changed during every read."""
    spans = (detail or {}).get("unsettled", [])
    if not spans:
        return None
    texts = [
        " – ".join(f"{datetime.fromisoformat(end).astimezone(zone):%Y-%m-%d %H:%M}" for end in span) for span in spans
    ]
    more = "" if len(texts) <= NOTED else f" (+{len(texts) - NOTED})"
    if lang == "en":
        return (
            "the upstream changed during every read, so records updated in "
            f"{', '.join(texts[:NOTED])}{more} may be missing: reconcile those days, or restart (duban feed rewind)"
        )
    return (
        f"上游在读取时一再变动，更新时间在 {'、'.join(texts[:NOTED])}{more} 的记录可能有漏："
        "请对这些天对账，或用 duban feed rewind 从头再拉"
    )


def _seen(session: Session, who: Principal, name: str | None = None) -> list[Feed]:
    query = visible(select(Feed), who, Feed).order_by(col(Feed.name))
    return list(session.execute(query if name is None else query.where(col(Feed.name) == name)).scalars())


def _seen_one(session: Session, who: Principal, name: str) -> Feed:
    for feed in _seen(session, who, name):
        return feed
    raise _unknown(name)


def listed(session: Session, who: Principal, now: datetime, zone: tzinfo, lang: str) -> list[dict[str, Any]]:
    """Every feed that ``who`` may see, ordered by name."""
    return [feed_view(session, feed, now, zone, lang) for feed in _seen(session, who)]


def shown(session: Session, who: Principal, name: str, now: datetime, zone: tzinfo, lang: str) -> dict[str, Any]:
    """One feed with its definition, its latest pulls, and its latest reconciliations; raises NotFound."""
    feed = _seen_one(session, who, name)
    assert feed.id is not None, "it is stored"
    return {
        **feed_view(session, feed, now, zone, lang),
        "definition": feed.spec,
        "pulls": [pull_view(row, zone, lang) for row in store.last_pulls(session, feed.id, PULLS_SHOWN)],
        "reconciliations": [
            pull_view(row, zone, lang)
            for row in store.last_pulls(session, feed.id, RECONCILIATIONS_SHOWN, kind="reconcile")
        ],
    }


def pulls_page(
    session: Session, who: Principal, name: str, zone: tzinfo, lang: str, *, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """A page of the pull log of a feed, newest first, and the start of the next page. Raises NotFound."""
    feed = _seen_one(session, who, name)
    assert feed.id is not None, "it is stored"
    rows = store.last_pulls(session, feed.id, limit + 1, before=before)
    more = rows[limit - 1].id if len(rows) > limit else None
    return [pull_view(row, zone, lang) for row in rows[:limit]], more


@dataclass(frozen=True, slots=True)
class DayIntake:
    """The rows accepted and rejected by the pulls of a local day."""

    day: date
    created: int = 0
    corrected: int = 0
    rejected: int = 0


def intake_by_day(session: Session, feed_id: int, now: datetime, zone: tzinfo, *, days: int) -> list[DayIntake]:
    """The rows of a feed on each of the last ``days`` days in ``zone``, today last."""
    today = now.astimezone(zone).date()
    found = {day: DayIntake(day) for day in (today - timedelta(days=back) for back in range(days - 1, -1, -1))}
    since = datetime.combine(min(found), time.min, zone)
    for quarter, *counts in store.intake_by_quarter(session, feed_id, since):
        day = quarter.astimezone(zone).date()
        before = found.get(day, DayIntake(day))
        created, corrected, rejected = counts
        found[day] = DayIntake(day, before.created + created, before.corrected + corrected, before.rejected + rejected)
    return list(found.values())
