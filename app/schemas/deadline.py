"""Deadlines as read, with their receipts, and requests to compute one."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.codes import DeadlineBasis, DeadlineState, LimitEnd, LimitUnit, Target
from app.schemas.common import Answer, JsonBody, TwoLanguages, example
from app.schemas.limit import AnyLimit
from app.schemas.moment import Moment, ShownMoment

MOST_SUSPENSIONS: Final = 1000
DEADLINE: Final[dict[str, Any]] = {
    "target": "accept", "round": 1, "started_at": "2026-11-26T03:36:21+08:00", "due_at": "2026-11-26T04:06:21+08:00",
    "met_at": "2026-11-26T03:45:49+08:00", "provisional": False, "state": "met", "basis": "policy", "extended_days": 0,
}  # fmt: skip
LIMIT: Final[dict[str, Any]] = {"unit": "working_days", "amount": 5, "ends": "close", "count_first_day": False}
CALENDAR_OBJECT: Final[dict[str, Any]] = {
    "time_zone": "Asia/Shanghai",
    "week": {day: [["09:00", "12:00"], ["13:30", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "days": {"2026-02-17": [], "2026-02-14": [["09:00", "17:30"]]},
    "published": [2025, 2026],
}
_LINE: Final[dict[str, Any]] = {
    "date": "2026-02-13", "weekday": 5, "verdict": "started", "kind": "workday", "reason": "", "count": None,
    "counted_seconds": 0, "suspended_seconds": 0, "returned_seconds": 0, "at": "2026-02-13T16:30:00+08:00",
    "zh": "16:30 起算，当日不计", "en": "starts at 16:30, the day itself is not counted",
}  # fmt: skip
_EXPLANATION: Final[dict[str, Any]] = {
    "start": "2026-02-13T16:30:00+08:00", "limit": {**LIMIT, "amount": 2},
    "rule": {"code": "civil_code", "zh": "《民法典》第二百零一条", "en": "Civil Code art. 201"},
    "extensions": [], "suspensions": [],
    "calendar": {"code": "cn", "version": 1, "time_zone": "Asia/Shanghai", "fingerprint": "ccc011a46653742f"},
    "policy": None, "base_due_at": "2026-02-24T17:30:00+08:00", "extended_due_at": "2026-02-24T17:30:00+08:00",
    "suspended_seconds": 0, "due_at": "2026-02-24T17:30:00+08:00", "provisional": False, "stopped": False,
    "hash": "36c3e3692374e0d665536094e303b0e9be1b8544132d003bd448af7ec4bbe5a5",
}  # fmt: skip
CALENDAR = Field(
    description="the code of a calendar, or a calendar as an object",
    json_schema_extra={"anyOf": [{"type": "string"}, {"type": "object"}]},
)


class PreviewIn(JsonBody):
    """A limit whose deadline is to be computed."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"calendar": "cn", "start": "2026-02-13T16:30:00+08:00", "limit": LIMIT},
            {"calendar": CALENDAR_OBJECT, "start": "2026-02-13T16:30:00+08:00", "limit": LIMIT,
             "suspensions": [["2026-02-24T10:00:00+08:00", "2026-02-25T10:00:00+08:00"]]},
        )
    )  # fmt: skip
    calendar: Any = CALENDAR
    start: Moment
    limit: AnyLimit = Field(description="unit, amount, ends, count_first_day; a negative amount counts back")
    suspensions: list[tuple[Moment, Moment | None]] = Field(default=[], max_length=MOST_SUSPENSIONS)
    extensions: list[AnyLimit] = Field(default=[], max_length=20, description="limits that are added first")


class ElapsedIn(JsonBody):
    """Two moments, between which the working time is measured."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"calendar": "cn", "start": "2026-02-13T16:30:00+08:00", "end": "2026-02-27T17:30:00+08:00"}
        )
    )
    calendar: Any = CALENDAR
    start: Moment
    end: Moment


class DeadlineOut(Answer):
    """One deadline of a ticket."""

    model_config = ConfigDict(json_schema_extra=example(DEADLINE))

    target: Target
    round: int = Field(description="raised by each reopening")
    started_at: ShownMoment
    due_at: ShownMoment
    met_at: ShownMoment | None
    provisional: bool = Field(description="rests on a calendar year that is not published yet")
    state: DeadlineState
    basis: DeadlineBasis = Field(description="`source`: the upstream's own limit binds")
    extended_days: int = Field(description="working days granted by extensions")


class ElapsedOut(Answer):
    """The working time between two moments; negative where the end is before the start."""

    model_config = ConfigDict(json_schema_extra=example({"working_seconds": 54000, "working_days": 2}))

    working_seconds: int
    working_days: int


class LimitOut(Answer):
    """A limit: so many working days, working hours, days or hours."""

    unit: LimitUnit
    amount: int | float
    ends: LimitEnd
    count_first_day: bool


class CountingRule(TwoLanguages):
    """The counting rule, with its legal source."""

    code: str


class CalendarVersionRef(Answer):
    """The version of the calendar that was used; no code or version for one given as an object."""

    code: str | None
    version: int | None
    time_zone: str
    fingerprint: str


class PolicyVersionRef(Answer):
    """The version of the policy that was used."""

    code: str
    version: int | None


class ReceiptLine(TwoLanguages):
    """One day of a receipt."""

    date: str
    weekday: int = Field(ge=1, le=7, description="1 Monday … 7 Sunday")
    verdict: str
    kind: str
    reason: str
    count: int | None
    counted_seconds: int | float
    suspended_seconds: int | float
    returned_seconds: int | float
    at: ShownMoment | None = None


class Explanation(Answer):
    """How a deadline was computed."""

    start: ShownMoment
    limit: LimitOut
    rule: CountingRule
    extensions: list[LimitOut]
    suspensions: list[tuple[ShownMoment, ShownMoment]]
    calendar: CalendarVersionRef
    policy: PolicyVersionRef | None
    base_due_at: ShownMoment
    extended_due_at: ShownMoment
    suspended_seconds: int | float
    due_at: ShownMoment
    provisional: bool
    stopped: bool = Field(description="suspended now: the deadline moves on until the ticket is resumed")
    hash: str


class PreviewOut(Answer):
    """A deadline and why it is due then."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"due_at": "2026-02-24T17:30:00+08:00", "provisional": False, "receipt": [_LINE],
             "explanation": _EXPLANATION}
        )
    )  # fmt: skip

    due_at: ShownMoment
    provisional: bool
    receipt: list[ReceiptLine]
    explanation: Explanation


class SuspensionReason(Answer):
    """One suspension of a ticket."""

    from_: ShownMoment = Field(alias="from")
    to: ShownMoment | None
    reason: str
    by: str


class ExtensionReason(Answer):
    """One extension granted."""

    days: int
    reason: str
    by: str | None
    at: ShownMoment | None


class ReceiptOut(Answer):
    """Why the deadline of a ticket is due when it is due. Of a deadline set by the source, what was computed is left out."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"ticket_id": 1787, "ticket_number": "20261126-0001787", "target": "complete", "round": 1, "revision": 2,
             "state": "overdue", "basis": "policy", **_EXPLANATION, "policy": {"code": "emergency", "version": 1},
             "lines": [_LINE], "stored_due_at": "2026-02-24T17:30:00+08:00", "stored_provisional": False,
             "differs": False, "receipt": [_LINE], "why_suspended": [], "why_extended": []}
        )
    )  # fmt: skip

    ticket_id: int
    ticket_number: str
    target: Target
    round: int
    revision: int
    state: DeadlineState
    basis: DeadlineBasis
    due_at: ShownMoment
    provisional: bool
    start: ShownMoment | None = None
    limit: LimitOut | None = None
    rule: CountingRule | None = None
    extensions: list[LimitOut] | None = None
    suspensions: list[tuple[ShownMoment, ShownMoment]] | None = None
    calendar: CalendarVersionRef | None = None
    policy: PolicyVersionRef | None = None
    base_due_at: ShownMoment | None = None
    extended_due_at: ShownMoment | None = None
    suspended_seconds: int | float | None = None
    stopped: bool | None = None
    lines: list[ReceiptLine] | None = None
    hash: str | None = None
    stored_due_at: ShownMoment
    stored_provisional: bool
    differs: bool = Field(description="the stored deadline is not what the stored versions compute")
    receipt: list[ReceiptLine]
    why_suspended: list[SuspensionReason]
    why_extended: list[ExtensionReason]


class DeadlineMoveOut(Answer):
    """A deadline that an edit of rules moved or confirmed."""

    ticket_id: int
    ticket: str = Field(description="number of the ticket")
    target: Target
    old: ShownMoment
    new: ShownMoment | None = Field(description="null: the deadline has ended")
    provisional: bool


MOVES: Final[dict[str, Any]] = {
    "moved": [{"ticket_id": 1787, "ticket": "20261126-0001787", "target": "complete",
               "old": "2026-12-01T17:30:00+08:00", "new": "2026-12-02T17:30:00+08:00", "provisional": False}],
    "moved_count": 1, "confirmed": [], "confirmed_count": 0, "looked_at": 412,
}  # fmt: skip


class Moves(Answer):
    """The deadlines that an edit moved, the first of them one by one."""

    moved: list[DeadlineMoveOut]
    moved_count: int
    confirmed: list[DeadlineMoveOut]
    confirmed_count: int
    looked_at: int
