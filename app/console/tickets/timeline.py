"""The events of a ticket in words: what happened, by whom, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from app.console.base.i18n import Texts
from app.console.base.wording import actor_name, stamp
from app.models import TicketEvent
from app.services.core.events import unstamp
from app.services.core.reference import Reference

QUIET_DELAY = timedelta(minutes=10)
"""An event written down later than this after it happened says so."""

TEXT_FIELDS = ("reason", "note", "demand", "ruling", "result", "remark")
NUMBER_FIELDS = ("days", "term", "speed", "attitude", "result_score")
CODED_FIELDS = {
    "outcome": "outcome",
    "satisfaction": "satisfaction",
    "trigger": "trigger",
    "target": "target",
    "card": "card",
    "because": "because",
}
"""Field of an event's data → group of words that its values are codes of."""
TONES = {
    "alert_raised": "alert", "supervision_order_issued": "order", "supervision_order_advanced": "order",
    "supervision_order_refused": "order", "stage_raised": "order", "completed": "good", "closed": "good",
    "reopened": "alert", "voided": "muted",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TimelineFact:
    """One label and its value."""

    label: str
    text: str
    long: bool = False


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One event as shown on the page."""

    seq: int
    type: str
    title: str
    at: datetime
    recorded_at: datetime | None
    actor: str
    tone: str
    lines: tuple[TimelineFact, ...]


def in_words(
    events: Iterable[TicketEvent], ref: Reference, names: Mapping[str, str], t: Texts, zone: tzinfo
) -> list[TimelineEntry]:
    """Return the events as entries, newest first."""
    found = [
        TimelineEntry(
            seq=event.seq,
            type=event.type,
            title=t.word("event", event.type),
            at=event.at,
            recorded_at=event.recorded_at if event.recorded_at - event.at > QUIET_DELAY else None,
            actor=actor_name(event.actor, names, t),
            tone=TONES.get(event.type, "plain"),
            lines=tuple(_lines(event.data, ref, t, zone)),
        )
        for event in events
    ]
    return found[::-1]


def _unit(ref: Reference, code: str, t: Texts) -> str:
    node = ref.unit_by_code(code)
    return node.called(t.lang) if node else code


def _lines(data: Mapping[str, Any], ref: Reference, t: Texts, zone: tzinfo) -> Iterable[TimelineFact]:
    yield from _names(data, ref, t)
    for name, group in CODED_FIELDS.items():
        if isinstance(data.get(name), str):
            yield TimelineFact(t.word("field", name), t.word(group, data[name]))
    if isinstance(data.get("resolved"), bool):
        yield TimelineFact(t("field.resolved"), t.word("yes_no", str(data["resolved"]).lower()))
    for name in NUMBER_FIELDS:
        if data.get(name):
            yield TimelineFact(t.word("field", name), str(data[name]))
    for name in TEXT_FIELDS:
        if data.get(name):
            yield TimelineFact(t.word("field", name), str(data[name]), long=True)
    for name in ("until", "due_at"):
        if data.get(name):
            yield TimelineFact(t.word("field", name), _local(data[name], zone))
    for target, move in (data.get("deadlines") or {}).items():
        yield TimelineFact(t("field.deadline_of", target=t.word("target", target)), _move(move, t, zone))


def _names(data: Mapping[str, Any], ref: Reference, t: Texts) -> Iterable[TimelineFact]:
    """Resolve codes of the reference data and numbers to names."""
    for name in ("unit", "previous_unit"):
        if data.get(name):
            yield TimelineFact(t.word("field", name), _unit(ref, str(data[name]), t))
    if data.get("number"):
        yield TimelineFact(t("field.order"), str(data["number"]))
    if data.get("from") and data.get("to"):
        yield TimelineFact(t("field.stage"), f"{t.word('stage', data['from'])} → {t.word('stage', data['to'])}")
    if data.get("rung"):
        rung = ref.ladder.rung(str(data["rung"]))
        yield TimelineFact(t("field.rung"), rung.name(t.lang) if rung else str(data["rung"]))
    if isinstance(data.get("fields"), list):
        yield TimelineFact(t("field.fields"), ", ".join(t.word("field", str(name)) for name in data["fields"]))
    for name, change in (data.get("changes") or {}).items():
        yield TimelineFact(
            t.word("field", name), f"{_shown(change.get('from'))} → {_shown(change.get('to'))}", long=True
        )


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)


def _move(move: Mapping[str, Any], t: Texts, zone: tzinfo) -> str:
    before, after = move.get("from"), move.get("to")
    text = _local(after, zone) if after else t("field.deadline_ended")
    if before and before != after:
        text = f"{_local(before, zone)} → {text}"
    return f"{text} {t('ticket.provisional')}" if move.get("provisional") else text


def _local(text: Any, zone: tzinfo) -> str:
    moment = unstamp(str(text))
    return stamp(moment, zone) if moment else str(text)
