"""Formatting of moments, durations and actors for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

from app.console.base.i18n import Texts


def span(length: timedelta, t: Texts) -> str:
    """Format a duration by its two largest parts: 3天4小时, 5小时20分, 12分钟; a day is 24 hours."""
    minutes = int(abs(length).total_seconds() // 60)
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    if days >= 10 or (days and not hours):
        return t("time.days", d=days)
    if days:
        return t("time.days_hours", d=days, h=hours)
    if hours and minutes:
        return t("time.hours_minutes", h=hours, m=minutes)
    if hours:
        return t("time.hours", h=hours)
    return t("time.minutes", m=max(minutes, 1))


def length(seconds: int, t: Texts) -> str:
    """Format a working or natural duration in hours and minutes: 37小时5分; 0分钟 for none."""
    hours, minutes = divmod(max(seconds, 0) // 60, 60)
    if not hours:
        return t("time.minutes", m=minutes)
    return t("time.hours_minutes", h=f"{hours:,}", m=minutes) if minutes else t("time.hours", h=f"{hours:,}")


def ago(moment: datetime, now: datetime, t: Texts) -> str:
    """Format the time since ``moment``: 5小时20分前."""
    if now - moment < timedelta(minutes=1):
        return t("time.just_now")
    return t("time.ago", span=span(now - moment, t))


def until(due: datetime, now: datetime, t: Texts) -> str:
    """Format the state of a running deadline: 还剩3天4小时, or 已超期2小时. At the exact moment it is not overdue."""
    return t("time.overdue_by", span=span(now - due, t)) if now > due else t("time.left", span=span(due - now, t))


def when(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """Format a moment in ``zone``, without the current year: 11-02 09:00."""
    local = moment.astimezone(zone)
    return f"{local:%m-%d %H:%M}" if local.year == now.astimezone(zone).year else f"{local:%Y-%m-%d %H:%M}"


def stamp(moment: datetime, zone: tzinfo) -> str:
    """Format a moment in ``zone`` with its year: 2026-11-02 09:00."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def actor_name(actor: str | None, names: Mapping[str, str], t: Texts) -> str:
    """Return the display name of ``actor``: the person's, the key's, or the service itself."""
    if actor is None:
        return "–"
    if actor in names:
        return names[actor]
    kind, _, rest = actor.partition(":")
    return t("actor.system") if kind == "system" else rest or actor
