"""What a new database holds before anyone has set anything: the Chinese calendar, the default policies and ladder."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session

from app.domain.supervision.ladder import DEFAULT_LADDER
from app.domain.tickets.policies import DEFAULT_POLICIES
from app.models import CalendarVersion, LadderVersion, PolicyVersion
from app.services.core.reference import DEFAULT_CALENDAR, touch
from app.services.rules.china_calendar import china_spec


def ensure_defaults(session: Session, now: datetime) -> bool:
    """Write the defaults into a database that has no calendar yet; True if it did. Safe to call at every start."""
    if session.execute(select(CalendarVersion.id).limit(1)).first() is not None:  # type: ignore[call-overload]
        return False
    session.add(
        CalendarVersion(
            code=DEFAULT_CALENDAR,
            version=1,
            name="中国工作日历",
            spec=china_spec(),
            note="chinesecalendar",
            created_by="system:duban",
            created_at=now,
        )
    )
    for policy in DEFAULT_POLICIES:
        session.add(
            PolicyVersion(code=policy.code, version=1, spec=policy.to_spec(), created_by="system:duban", created_at=now)
        )
    session.add(
        LadderVersion(
            code=DEFAULT_LADDER.code,
            version=1,
            spec=DEFAULT_LADDER.to_spec(),
            created_by="system:duban",
            created_at=now,
        )
    )
    session.flush()
    touch(session)
    return True
