"""Versions of supervision ladders. ``app.domain.supervision.ladder`` decides by them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from sqlmodel import Session

from app.errors import Conflict, Invalid, NotFound
from app.models import LadderVersion
from app.schemas.ladder import read_ladder
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core.reference import read_reference, touch
from app.services.core.views import moment
from app.services.rules import reach as reaches
from app.store import reference as store


def view(row: LadderVersion, zone: tzinfo) -> dict[str, Any]:
    """A ladder as read."""
    return {
        **row.spec,
        "code": row.code,
        "version": row.version,
        "who": row.created_by,
        "when": moment(row.created_at, zone),
    }


def listed(session: Session, zone: tzinfo) -> list[dict[str, Any]]:
    """The latest version of each ladder; the first one is in force."""
    return [view(row, zone) for row in store.latest_versions(session, LadderVersion)]


def write(session: Session, who: Principal, spec: Mapping[str, Any], *, now: datetime, new: bool) -> LadderVersion:
    """Write a ladder, or the next version of one; what says the same is left alone. Raises Invalid, Conflict, NotFound."""
    require(who, "deadlines.edit")
    touch(session)  # also the lock: edits wait for each other
    code = spec.get("code")
    rows = store.every_version(session, LadderVersion, code) if isinstance(code, str) else []
    latest = max(rows, key=lambda row: row.version, default=None)
    if new and latest is not None:
        raise Conflict(f"编码 {code!r} 已被使用", f"the code {code!r} is taken", fields=["code"])
    if not new and latest is None:
        raise NotFound(f"没有督办阶梯 {code!r}", f"no ladder has the code {code!r}")
    held = {} if latest is None else latest.spec
    version = 1 if latest is None else latest.version + 1
    ladder = read_ladder({**held, **spec, "version": version})
    if latest is not None and {**ladder.to_spec(), "version": 0} == {**latest.spec, "version": 0}:
        return latest
    problems = reaches.of_ladder(read_reference(session), ladder)
    if problems:
        raise Invalid(problems)
    row = LadderVersion(code=ladder.code, version=version, spec=ladder.to_spec(), created_by=who.actor, created_at=now)
    session.add(row)
    session.flush()
    return row
