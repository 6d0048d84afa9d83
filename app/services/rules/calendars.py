"""Stored calendars: versions with author, time and note; publishing a year; the warning that next year is unpublished.

A version is immutable: an edit writes the next one, and an edit without a change writes none. ``save`` is one
transaction; the affected deadlines are then recomputed by ``app.services.recompute.run``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlmodel import Session

from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid, NotFound
from app.models import CalendarVersion
from app.schemas.calendar_document import YearDocument, read_calendar
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core.reference import DEFAULT_CALENDAR, Reference, read_reference, touch
from app.services.core.views import moment
from app.services.recompute.run import RecomputeResult
from app.services.rules import reach as reaches
from app.store import reference as store
from app.validation import CODE, problem, validated

NOTICE_MONTH: Final = 12
"""The month from which an unpublished next year causes a warning."""
MOST_LISTED: Final = 10_000
"""The maximum number of moved deadlines listed in a response; the count covers all."""


@dataclass(frozen=True, slots=True)
class UnpublishedYear:
    """A calendar whose ``year`` is not published, though it is near (or has begun)."""

    code: str
    name: str
    year: int


@dataclass(frozen=True, slots=True)
class SavedCalendar:
    """The version in force after a save, and whether it is new."""

    row: CalendarVersion
    changed: bool


def unpublished_warning(ref: Reference, now: datetime) -> list[UnpublishedYear]:
    """The calendars in use whose days off of next year are not known, from 1 December on (on the calendar's own clock);
    and of this year, at any time."""
    used = {DEFAULT_CALENDAR, *(unit.calendar_code for unit in ref.units.values() if unit.active)}
    used |= {policy.calendar for _, policy in ref.policies}
    found = []
    for code, (_, calendar) in sorted(ref.calendars.items()):
        year = _missing_year(calendar, now)
        if code in used and year is not None:
            found.append(UnpublishedYear(code, code, year))
    return found


def _missing_year(calendar: WorkCalendar, now: datetime) -> int | None:
    today = calendar.local(now).date()
    if not calendar.is_published(today.year):
        return today.year
    if today.month >= NOTICE_MONTH and not calendar.is_published(today.year + 1):
        return today.year + 1
    return None


def version_row(session: Session, code: str, version: int | None = None) -> CalendarVersion:
    """One version of a calendar (None: the one in force). Raises NotFound."""
    rows = [r for r in store.every_version(session, CalendarVersion, code) if version is None or r.version == version]
    if not rows:
        which = "" if version is None else f" ({version})"
        raise NotFound(f"没有日历 {code!r}{which}", f"no calendar {code!r}{which}")
    return max(rows, key=lambda row: row.version)


def versions(session: Session, code: str) -> list[CalendarVersion]:
    """Every version of a calendar, newest first."""
    return sorted(store.every_version(session, CalendarVersion, code), key=lambda row: -row.version)


def view(row: CalendarVersion, now: datetime, zone: tzinfo) -> dict[str, Any]:
    """A calendar for a response: the contract's object with its code, version, author, time, note, and the warning."""
    calendar = read_calendar(row.spec, code=row.code, version=row.version)
    next_year = calendar.local(now).year + 1
    missing = _missing_year(calendar, now)
    return {
        **head(row, zone),
        **calendar.to_spec(),
        "fingerprint": calendar.fingerprint,
        "next_year_published": calendar.is_published(next_year),
        "warning": None
        if missing is None
        else {
            "year": missing,
            "zh": f"{missing} 年放假安排尚未公布：涉及该年的时限均为暂定",
            "en": f"the days off of {missing} are not published: deadlines that reach into it are provisional",
        },
    }


def head(row: CalendarVersion, zone: tzinfo) -> dict[str, Any]:
    """A version as listed."""
    return {
        "code": row.code,
        "version": row.version,
        "name": row.name,
        "note": row.note,
        "who": row.created_by,
        "when": moment(row.created_at, zone),
    }


def save(
    session: Session,
    who: Principal,
    code: str,
    change: Callable[[WorkCalendar | None], WorkCalendar],
    *,
    now: datetime,
    name: str | None = None,
    note: str = "",
) -> SavedCalendar:
    """Write the next version of ``code``: the result of ``change`` for the version in force (None: there is none yet).

    Nothing is written without a change. Edits are serialized: ``change`` sees the result of the previous one. Raises
    Forbidden, Invalid, and the errors of ``change``.
    """
    require(who, "deadlines.edit")
    if not re.fullmatch(CODE, code):
        raise Invalid([problem("code_format", ["code"])])
    touch(session)  # also the lock: the counter's row is held until the end of the transaction
    rows = store.every_version(session, CalendarVersion, code)
    before = max(rows, key=lambda row: row.version, default=None)
    held = None
    if before is not None:
        held = read_calendar(before.spec, code=code, version=before.version)
    calendar = change(held)
    if not any(calendar.to_spec()["week"].values()):  # dated days alone come to an end, and every limit with them
        raise Invalid.at(
            "/week",
            "每周至少要有一天有工作时间，否则时限不会到期，工单也收不进来",
            "at least one day of the week needs working hours: else no limit would end, and no ticket could be accepted",
        )
    same = held is not None and held.fingerprint == calendar.fingerprint
    if before is not None and same and name in (None, before.name):
        return SavedCalendar(before, changed=False)
    problems = reaches.of_calendar(session, read_reference(session), calendar, now)
    if problems:
        raise Invalid(problems)
    row = CalendarVersion(
        code=code,
        version=1 if before is None else before.version + 1,
        name=name or (before.name if before else code),
        spec=calendar.to_spec(),
        note=note,
        created_by=who.actor,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return SavedCalendar(row, changed=True)


def existing(calendar: WorkCalendar | None, code: str) -> WorkCalendar:
    """The calendar to edit; raises NotFound if there is none."""
    if calendar is None:
        raise NotFound(f"没有日历 {code!r}", f"no calendar {code!r}")
    return calendar


def with_year(calendar: WorkCalendar, year: int, days: Mapping[str, Any], names: Mapping[str, Any]) -> WorkCalendar:
    """The calendar with ``days`` of ``year`` in place of those it had, and the year published.

    ``days``: the contract's map; None: as the week has it. Raises Invalid with pointers under ``/days`` and ``/names``.
    """
    given = validated(YearDocument.model_validate, {"days": days, "names": names})
    given.check_year(year)
    laid = {**{day: None for day in calendar.days if day.year == year}, **given.days}
    named = {**{day: "" for day in calendar.day_names if day.year == year}, **given.names}
    return calendar.with_days(laid, names=named, publish=[year])


def moves_view(tally: RecomputeResult, zone: tzinfo) -> dict[str, Any]:
    """The deadlines moved by an edit, for a response: each with its old and new time."""

    def one(item: Any) -> dict[str, Any]:
        return {
            "ticket_id": item.ticket_id,
            "ticket": item.number,
            "target": item.target,
            "old": moment(item.old, zone),
            "new": moment(item.new, zone),
            "provisional": item.provisional,
        }

    return {
        "moved": [one(item) for item in tally.moved[:MOST_LISTED]],
        "moved_count": len(tally.moved),
        "confirmed": [one(item) for item in tally.confirmed[:MOST_LISTED]],
        "confirmed_count": len(tally.confirmed),
        "looked_at": tally.examined,
    }


def listed(session: Session, zone: tzinfo, ref: Reference, now: datetime) -> list[dict[str, Any]]:
    """The calendars in force, each with the years it has published."""
    latest: Iterable[CalendarVersion] = store.latest_versions(session, CalendarVersion)
    return [
        {
            **head(row, zone),
            "time_zone": row.spec.get("time_zone"),
            "published": row.spec.get("published"),
            "units": sorted(unit.code for unit in ref.units.values() if unit.calendar_code == row.code),
        }
        for row in sorted(latest, key=lambda row: row.code)
    ]
