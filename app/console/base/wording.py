"""Moments and lengths of time as people say them, and who a name in the log belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

from app.console.base.i18n import Texts


def span(length: timedelta, t: Texts) -> str:
    """A length of time in its two largest parts: 3天4小时, 5小时20分, 12分钟; days are of 24 hours."""
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
    """A length of working or natural time in hours and minutes, as clocks count: 37小时5分; 0分钟 is none."""
    hours, minutes = divmod(max(seconds, 0) // 60, 60)
    if not hours:
        return t("time.minutes", m=minutes)
    return t("time.hours_minutes", h=f"{hours:,}", m=minutes) if minutes else t("time.hours", h=f"{hours:,}")


def ago(moment: datetime, now: datetime, t: Texts) -> str:
    """How long ago: 5小时20分前."""
    if now - moment < timedelta(minutes=1):
        return t("time.just_now")
    return t("time.ago", span=span(now - moment, t))


def until(due: datetime, now: datetime, t: Texts) -> str:
    """How a deadline that runs stands: 还剩3天4小时, or 已超期2小时. At its very moment it is not overdue."""
    return t("time.overdue_by", span=span(now - due, t)) if now > due else t("time.left", span=span(due - now, t))


def when(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """A moment in ``zone``, without the year where it is this year: 11-02 09:00."""
    local = moment.astimezone(zone)
    return f"{local:%m-%d %H:%M}" if local.year == now.astimezone(zone).year else f"{local:%Y-%m-%d %H:%M}"


def stamp(moment: datetime, zone: tzinfo) -> str:
    """A moment in ``zone``, whole: 2026-11-02 09:00."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def actor_name(actor: str | None, names: Mapping[str, str], t: Texts) -> str:
    """Who ``actor`` of the log is: the person's display name, the key's name, or the service itself."""
    if actor is None:
        return "–"
    if actor in names:
        return names[actor]
    kind, _, rest = actor.partition(":")
    return t("actor.system") if kind == "system" else rest or actor
