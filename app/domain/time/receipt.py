"""The receipt of a deadline: a day-by-day explanation of its due time, in words and as JSON.

It is derived from the same ``DeadlineRun`` that ``due`` returns, so the two always agree. Invariants:

* limits in hours: the ``counted_seconds`` of all lines sum to the limit with its extensions in hours;
* limits in days: the lines with a ``count`` are the days of the limit, those ``extended`` the days of its extensions,
  and the ``returned_seconds`` after them sum to the ``suspended_seconds`` before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal

from app.domain.time.counting_rule import rule_of
from app.domain.time.deadline_run import DeadlineRun, Suspensions, course, unrolled
from app.domain.time.limit import Limit
from app.domain.time.timeline import SECOND, Timeline, from_us
from app.domain.time.workcalendar import WorkCalendar, clock_text

Verdict = Literal["started", "counted", "skipped", "suspended", "extended", "due"]

WEEKDAY_ZH: Final = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")
WEEKDAY_EN: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOLIDAY_EN: Final = {
    "元旦": "New Year's Day", "春节": "Spring Festival", "清明节": "Tomb-sweeping Day", "劳动节": "Labour Day",
    "端午节": "Dragon Boat Festival", "中秋节": "Mid-autumn Festival", "国庆节": "National Day",
}  # fmt: skip
_KIND_WORDS: Final = {
    "workday": ("", ""),
    "makeup": ("调休上班", "make-up workday"),
    "special": ("当日工时另定", "other hours on this day"),
    "weekend": ("休息日", "day off"),
    "holiday": ("放假", "holiday"),
}
_UNIT_WORDS: Final = {
    "working_days": ("个工作日", "working day"),
    "working_hours": ("个工作小时", "working hour"),
    "days": ("个自然日", "calendar day"),
    "hours": ("小时", "hour"),
}
_ENDS_WORDS: Final = {
    "close": ("末日下班时到期", "due at the close of business of the last day"),
    "midnight": ("末日 24:00 到期", "due at 24:00 of the last day"),
    "same_time": ("末日同一时刻到期", "due at the same clock time on the last day"),
}
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Receipt:
    """One deadline explained. ``lines`` are in the order of counting; ``body`` is the JSON object without the hash."""

    due_at: datetime
    provisional: bool
    stopped: bool
    lines: tuple[dict[str, Any], ...]
    body: dict[str, Any] = field(repr=False)
    summary: tuple[tuple[str, str], ...] = field(repr=False)
    """The header rows, each in Chinese and English."""

    @property
    def hash(self) -> str:
        """The SHA-256, in hexadecimal, of the receipt's JSON with sorted keys and no white space."""
        text = json.dumps(self.body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The receipt as a JSON object, with its ``hash``."""
        return {**self.body, "hash": self.hash}

    def text(self, lang: str = "zh") -> str:
        """The receipt as text, one line per day, in ``lang`` (``zh`` unless ``en``)."""
        english = lang == "en"
        rows = [en if english else zh for zh, en in self.summary]
        rows += [
            f"{line['date']} {_weekday(line['weekday'], english)}  {line['en' if english else 'zh']}"
            for line in self.lines
        ]
        return "\n".join([*rows, f"{'Hash' if english else '校验码'}  {self.hash}"])


def _weekday(n: int, english: bool) -> str:
    return WEEKDAY_EN[n - 1][:3] if english else WEEKDAY_ZH[n - 1]


def receipt(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    *,
    suspensions: Suspensions = (),
    extensions: Sequence[Limit] = (),
    policy: str | None = None,
    policy_version: int | None = None,
    as_of: datetime | None = None,
) -> Receipt:
    """Explain the due time of ``limit`` begun at ``start``. Arguments and errors are those of ``due``.

    A line is ``{"date", "weekday" (1 Monday … 7), "verdict", "kind", "reason", "count", "counted_seconds",
    "suspended_seconds", "returned_seconds", "at"?, "zh", "en"}``.
    """
    run = course(calendar, start, limit, suspensions=suspensions, extensions=extensions, as_of=as_of)
    if run.line is None:
        low, high = min(run.start, run.end), max(run.start, run.end)
        explanation = unrolled(calendar, low, high, lambda line: _Explanation(calendar, run, line))
    else:
        explanation = _Explanation(calendar, run, run.line)
    provisional = run.line is not None and run.line.saw_assumed(run.low, run.high)
    lines = tuple(explanation.lines())

    def shown(us: int) -> str:
        return calendar.local(from_us(us)).isoformat()

    body: dict[str, Any] = {
        "start": shown(run.start),
        "limit": limit.to_spec(),
        "rule": rule_of(limit),
        "extensions": [more.to_spec() for more in extensions],
        "suspensions": [[shown(a), shown(b)] for a, b in run.suspended],
        "calendar": {
            "code": calendar.code,
            "version": calendar.version,
            "time_zone": calendar.time_zone,
            "fingerprint": calendar.fingerprint,
        },
        "policy": None if policy is None else {"code": policy, "version": policy_version},
        "base_due_at": shown(run.base_end),
        "extended_due_at": shown(run.extended_end),
        "suspended_seconds": _seconds(run.given_back),
        "due_at": shown(run.end),
        "provisional": provisional,
        "stopped": run.stopped,
        "lines": list(lines),
    }
    summary = tuple(_summary(calendar, run, extensions, provisional, body))
    return Receipt(from_us(run.end), provisional, run.stopped, lines, body, summary)


def _seconds(us: int) -> int | float:
    return us // SECOND if us % SECOND == 0 else us / SECOND


class _Explanation:
    """The receipt lines of one run, on an unrolled calendar."""

    def __init__(self, calendar: WorkCalendar, run: DeadlineRun, line: Timeline) -> None:
        self.calendar, self.run, self.line = calendar, run, line
        self.limit = run.limit
        self.back = run.end < run.start or (run.limit.amount < 0)
        if self.limit.working:
            self.first = (line.day_until if self.back else line.day_from)(run.start)
        else:
            self.first = line.date_of(run.start)
        self.last = line.date_of(run.end) if run.line is None else run.day

    def lines(self) -> list[dict[str, Any]]:
        count = 0
        counts = self.run.first_counted
        lines = []
        if self.first == self.last:
            lines.append(self._line(self.first, "started", None))
            lines.append(self._line(self.last, "due", 1 if counts else None, whole=True))
            return lines
        step = -1 if self.back else 1
        for day in range(self.first, self.last + step, step):
            is_first, is_last = day == self.first, day == self.last
            number = None
            if self.limit.in_days and (counts if is_first else self._counts(day)):
                number = count = count + 1
            verdict: Verdict = "started" if is_first else "due" if is_last else self._verdict(day)
            lines.append(self._line(day, verdict, number, whole=not is_first))
        return lines

    def _counts(self, day: int) -> bool:
        """Whether ``day`` (not the first) is a day of the limit or of its extensions in days."""
        if self.limit.working and not self.line.is_working(day):
            return False
        return day >= self.last if self.back else day <= self.run.extended_day

    def _verdict(self, day: int) -> Verdict:
        if self.limit.working and not self.line.is_working(day):
            return "skipped"
        if self._suspended(day):
            return "suspended"
        return "extended" if self.run.base_day < day <= self.run.extended_day else "counted"

    # -- the time of one day, in microseconds --------------------------------------------------------------------------

    def _pieces(self, day: int) -> list[tuple[int, int]]:
        line = self.line
        if not self.limit.working:
            return [(line.day_start[day], line.day_start[day + 1])]
        return [(line.opens[k], line.closes[k]) for k in range(line.span_at[day], line.span_at[day + 1])]

    def _within(self, day: int, low: int, high: int) -> int:
        return sum(max(0, min(b, high) - max(a, low)) for a, b in self._pieces(day))

    def _suspended(self, day: int) -> int:
        return sum(self._within(day, a, b) for a, b in self.run.suspended)

    def _counted(self, day: int) -> int:
        """The time, in microseconds, of a limit in hours that ran on ``day``; 0 for limits in days."""
        if self.limit.in_days:
            return 0
        low, high = sorted((self.run.start, self.run.end))
        ran = self._within(day, low, high) - self._suspended(day)
        return -ran if self.back else ran

    def _returned(self, day: int) -> int:
        """The suspended time, in microseconds, given back on ``day`` after the end of a limit in days."""
        if not self.limit.in_days or self.back:
            return 0
        return self._within(day, self.run.extended_end, self.run.end)

    # -- words ---------------------------------------------------------------------------------------------------------

    def _line(self, day: int, verdict: Verdict, number: int | None, *, whole: bool = False) -> dict[str, Any]:
        """One receipt line. When start and end share a day, only the due line (``whole``) has its time."""
        date = self.line.date(day)
        shared = self.first == self.last and not whole
        kind, name = self.calendar.kind_of_day(date)
        reason_zh, reason_en = self._reason(kind, name)
        counted = 0 if shared else self._counted(day)
        suspended = 0 if shared else self._suspended(day)
        returned = 0 if shared else self._returned(day)
        zh, en = self._words(day, verdict, number, (counted, suspended, returned), (reason_zh, reason_en))
        if not self.calendar.is_published(date.year) and self.limit.working:
            zh, en = f"{zh}（当年放假安排未公布）", f"{en} (the year's holidays are not published yet)"
        entry: dict[str, Any] = {
            "date": date.isoformat(),
            "weekday": date.isoweekday(),
            "verdict": verdict,
            "kind": kind,
            "reason": name or reason_zh,
            "count": number,
            "counted_seconds": _seconds(counted),
            "suspended_seconds": _seconds(suspended),
            "returned_seconds": _seconds(returned),
        }
        if verdict in ("started", "due"):
            us = self.run.start if verdict == "started" else self.run.end
            entry["at"] = self.calendar.local(from_us(us)).isoformat()
        return {**entry, "zh": zh, "en": en}

    def _reason(self, kind: str, name: str) -> tuple[str, str]:
        zh, en = _KIND_WORDS[kind]
        if not name:
            return zh, en
        english = _HOLIDAY_EN.get(name, name)
        if kind == "makeup":
            return f"{name}{zh}", f"{english} {en}"
        return name, english

    def _words(
        self, day: int, verdict: Verdict, number: int | None, times: tuple[int, int, int], reason: tuple[str, str]
    ) -> tuple[str, str]:
        zh: list[str] = []
        en: list[str] = []
        counted, suspended, returned = times
        if verdict == "started":
            clock = self._clock(day, self.run.start)
            zh.append(f"{clock[0]} 起算")
            en.append(f"starts at {clock[1]}")
            if self.limit.in_days and number is None and self.first != self.last:
                zh.append("当日不计")
                en.append("the day itself is not counted")
        if verdict == "skipped":
            zh.append(f"不计：{reason[0]}")
            en.append(f"not counted: {reason[1]}")
        elif reason[0]:
            zh.append(reason[0])
            en.append(reason[1])
        if number is not None:
            extra = self.limit.amount > 0 and number > self.limit.amount
            zh.append(f"计第 {number} 日{'（延期）' if extra else ''}")
            en.append(f"day {number}{' (extension)' if extra else ''}")
        if counted:
            zh.append(f"计 {duration(counted)[0]}")
            en.append(f"{duration(counted)[1]} counted")
        if suspended:
            zh.append(f"挂起 {duration(suspended)[0]}，{'期后补回' if self.limit.in_days else '不计'}")
            en.append(f"suspended {duration(suspended)[1]}, {'given back' if self.limit.in_days else 'not counted'}")
        if returned:
            zh.append(f"补回挂起的 {duration(returned)[0]}")
            en.append(f"{duration(returned)[1]} of suspension given back")
        if verdict == "due":
            clock = self._clock(day, self.run.end)
            zh.append(f"{clock[0]} 到期")
            en.append(f"due at {clock[1]}")
        return "，".join(zh) or "计", ", ".join(en) or "counted"

    def _clock(self, day: int, us: int) -> tuple[str, str]:
        seconds = self.line.reading(day, us) // SECOND
        if seconds > _DAY_SECONDS:
            return f"次日 {clock_text(seconds)}", f"{clock_text(seconds)} of the next day"
        return (clock_text(seconds),) * 2


def duration(us: int) -> tuple[str, str]:
    """A duration in Chinese and English: ``7 小时 30 分``, ``7 h 30 min``."""
    seconds, sign = abs(us) // SECOND, "-" if us < 0 else ""
    parts = [(seconds // 3600, "小时", "h"), (seconds // 60 % 60, "分", "min"), (seconds % 60, "秒", "s")]
    zh = " ".join(f"{n} {word}" for n, word, _ in parts if n) or "0 秒"
    en = " ".join(f"{n} {word}" for n, _, word in parts if n) or "0 s"
    return sign + zh, sign + en


def limit_words(limit: Limit, *, ends: bool = True) -> tuple[str, str]:
    """A limit in Chinese and English: ``5 个工作日，末日下班时到期``; ``ends`` False omits the form of its end."""
    unit_zh, unit_en = _UNIT_WORDS[limit.unit]
    amount = str(limit.amount) if isinstance(limit.amount, int) else f"{float(limit.amount):g}"
    zh, en = f"{amount} {unit_zh}", f"{amount} {unit_en}{'' if abs(limit.amount) == 1 else 's'}"
    if limit.in_days and ends:
        end_zh, end_en = _ENDS_WORDS[limit.ends]
        first_zh, first_en = ("，计入首日", ", the first day counts") if limit.count_first_day else ("", "")
        return f"{zh}，{end_zh}{first_zh}", f"{en}, {end_en}{first_en}"
    return zh, en


def _summary(
    calendar: WorkCalendar, run: DeadlineRun, extensions: Sequence[Limit], provisional: bool, body: dict[str, Any]
) -> list[tuple[str, str]]:
    def moment(us: int) -> str:
        return calendar.local(from_us(us)).strftime("%Y-%m-%d %H:%M:%S")

    zh, en = limit_words(run.limit)
    rows = [
        (f"起算  {moment(run.start)}", f"Start  {moment(run.start)}"),
        (f"时限  {zh}", f"Limit  {en}"),
        (f"依据  {body['rule']['zh']}", f"Rule  {body['rule']['en']}"),
        (f"日历  {calendar.code} 第 {calendar.version} 版（{calendar.time_zone}）",
         f"Calendar  {calendar.code} version {calendar.version} ({calendar.time_zone})"),
    ]  # fmt: skip
    if body["policy"] is not None:
        code, version = body["policy"]["code"], body["policy"]["version"]
        rows.append((f"规则  {code} 第 {version} 版", f"Policy  {code} version {version}"))
    if extensions:
        words = [limit_words(more, ends=False) for more in extensions]
        moved = f"{moment(run.base_end)} → {moment(run.extended_end)}"
        rows.append(
            (
                f"延期  {'；'.join(zh for zh, _ in words)}：{moved}",
                f"Extension  {'; '.join(en for _, en in words)}: {moved}",
            )
        )
    if run.suspended:
        zh, en = duration(run.given_back)
        rows.append(
            (f"挂起  补回 {zh}：{moment(run.extended_end)} → {moment(run.end)}",
             f"Suspension  {en} given back: {moment(run.extended_end)} → {moment(run.end)}")
        )  # fmt: skip
    rows.append((f"到期  {moment(run.end)}", f"Due  {moment(run.end)}"))
    if provisional:
        rows.append(
            ("暂定  涉及放假安排尚未公布的年份", "Provisional  a year whose holidays are not published is involved")
        )
    if run.stopped:
        rows.append(("挂起中  恢复后顺延", "Suspended now  it moves on when work resumes"))
    return rows
