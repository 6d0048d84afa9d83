"""What a receipt says, in both languages; that it adds up stands in test_due_properties.py."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from app.domain.time.due import Limit
from app.domain.time.receipt import duration, limit_words, receipt
from app.schemas.calendar_document import read_calendar

OFFICE = [["09:00", "12:00"], ["13:30", "17:30"]]
CN = read_calendar(
    {
        "week": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), OFFICE),
        "days": {**{f"2026-02-{day}": [] for day in range(15, 24)}, "2026-02-14": OFFICE},
        "published": [2026],
        "names": {f"2026-02-{day}": "春节" for day in range(14, 24)},
    },
    code="cn",
    version=7,
)
NIGHTS = read_calendar({"week": {"mon": [["22:00", "06:00"]], "tue": [["22:00", "06:00"]]}})


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+08:00")


FRIDAY = at("02-13T16:00")


def words(lang: str, start: datetime, limit: Limit, **changes: Any) -> list[str]:
    """The lines of a receipt without their dates."""
    told = receipt(CN, start, limit, **changes)
    return [line[lang] for line in told.lines]


def test_a_friday_before_the_spring_festival_explains_itself() -> None:
    told = receipt(CN, FRIDAY, Limit("working_days", 2), policy="default", policy_version=3)
    assert told.text("zh").splitlines() == [
        "起算  2026-02-13 16:00:00",
        "时限  2 个工作日，末日下班时到期",
        f"依据  {told.to_json()['rule']['zh']}",
        "日历  cn 第 7 版（Asia/Shanghai）",
        "规则  default 第 3 版",
        "到期  2026-02-24 17:30:00",
        "2026-02-13 周五  16:00 起算，当日不计",
        "2026-02-14 周六  春节调休上班，计第 1 日",
        *[
            f"2026-02-{15 + n} {weekday}  不计：春节"
            for n, weekday in enumerate(["周日", "周一", "周二", "周三", "周四", "周五", "周六", "周日", "周一"])
        ],
        "2026-02-24 周二  计第 2 日，17:30 到期",
        f"校验码  {told.hash}",
    ]
    assert told.text("en").splitlines()[6:9] == [
        "2026-02-13 Fri  starts at 16:00, the day itself is not counted",
        "2026-02-14 Sat  Spring Festival make-up workday, day 1",
        "2026-02-15 Sun  not counted: Spring Festival",
    ]


def test_the_lines_are_data_too() -> None:
    told = receipt(CN, FRIDAY, Limit("working_days", 1))
    assert told.lines[0]["verdict"] == "started"
    assert told.lines[1] == {
        "date": "2026-02-14",
        "weekday": 6,
        "verdict": "due",
        "kind": "makeup",
        "reason": "春节",
        "count": 1,
        "counted_seconds": 0,
        "suspended_seconds": 0,
        "returned_seconds": 0,
        "at": "2026-02-14T17:30:00+08:00",
        "zh": "春节调休上班，计第 1 日，17:30 到期",
        "en": "Spring Festival make-up workday, day 1, due at 17:30",
    }


@pytest.mark.parametrize(
    ("limit", "code", "articles", "said"),
    [
        (Limit("working_days", 5), "civil_code", ("二百零一条", "二百零三条"), "art. 201"),
        (Limit("working_days", 5, "midnight"), "civil_code", ("二百零一条", "二百零三条"), "24:00"),
        (Limit("working_days", 5, "same_time"), "same_time", ("二百零一条", "二百零三条", "规则另定"), "clock time of the start"),
        (Limit("working_days", 5, count_first_day=True), "first_day", ("二百零三条", "规则另定"), "of the start is counted"),
        (Limit("working_days", 5, "same_time", True), "first_day_same_time", ("二百零三条", "规则另定"), "other than"),
        (Limit("days", 5), "days", ("二百零一条", "休假日不顺延"), "does not put the end off"),
        (Limit("working_hours", 4), "working_hours", ("工作时间",), "working time of the calendar alone"),
        (Limit("hours", 4), "hours", ("第二款",), "second paragraph"),
    ],
)  # fmt: skip
def test_a_receipt_names_the_rule_it_counts_by(limit: Limit, code: str, articles: tuple[str, ...], said: str) -> None:
    told = receipt(CN, FRIDAY, limit)
    rule = told.to_json()["rule"]
    assert rule["code"] == code
    assert all(article in rule["zh"] for article in articles), rule["zh"]
    assert said in rule["en"], rule["en"]
    assert (f"依据  {rule['zh']}" in told.text("zh"), f"Rule  {rule['en']}" in told.text("en")) == (True, True)


def test_the_json_carries_the_hash_of_the_rest() -> None:
    told = receipt(CN, FRIDAY, Limit("working_days", 1), policy="default", policy_version=3)
    document = json.loads(json.dumps(told.to_json()))
    said = document.pop("hash")
    canonical = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert said == told.hash == sha256(canonical.encode()).hexdigest()
    assert document["calendar"]["version"] == 7
    assert document["policy"] == {"code": "default", "version": 3}


@pytest.mark.parametrize(
    "other",
    [
        {"start": FRIDAY + timedelta(seconds=1)},
        {"limit": Limit("working_days", 2)},
        {"policy_version": 4},
        {"calendar": read_calendar(CN.to_spec(), code="cn", version=8)},
        {"calendar": read_calendar({**CN.to_spec(), "names": {}}, code="cn", version=7)},
    ],
)
def test_a_receipt_that_says_something_else_has_another_hash(other: dict[str, Any]) -> None:
    said: dict[str, Any] = {"calendar": CN, "start": FRIDAY, "limit": Limit("working_days", 1), "policy": "a"}
    said["policy_version"] = 3
    assert receipt(**said).hash == receipt(**said).hash
    assert receipt(**said).hash != receipt(**{**said, **other}).hash


def test_a_receipt_shows_a_suspension_and_where_it_is_returned() -> None:
    held = [(at("03-03T10:00"), at("03-03T14:30"))]
    assert words("zh", at("03-02T10:00"), Limit("working_days", 2), suspensions=held) == [
        "10:00 起算，当日不计",
        "计第 1 日，挂起 3 小时，期后补回",
        "计第 2 日",
        "补回挂起的 3 小时，12:00 到期",
    ]
    text = receipt(CN, at("03-02T10:00"), Limit("working_days", 2), suspensions=held).text("en")
    assert "Suspension  3 h given back: 2026-03-04 17:30:00 → 2026-03-05 12:00:00" in text


def test_suspended_working_hours_are_simply_not_counted() -> None:
    held = [(at("03-02T11:00"), at("03-02T14:30"))]
    assert words("en", at("03-02T10:00"), Limit("working_hours", 5), suspensions=held) == [
        "starts at 10:00, 4 h counted, suspended 2 h, not counted",
        "1 h counted, due at 10:00",
    ]


def test_an_extension_is_told_apart() -> None:
    more = [Limit("working_days", 2)]
    told = receipt(CN, at("03-02T10:00"), Limit("working_days", 1), extensions=more)
    assert [line["verdict"] for line in told.lines] == ["started", "counted", "extended", "due"]
    assert told.lines[2]["zh"] == "计第 2 日（延期）"
    assert "延期  2 个工作日：2026-03-03 17:30:00 → 2026-03-05 17:30:00" in told.text()
    assert "Extension  2 working days: 2026-03-03 17:30:00 → 2026-03-05 17:30:00" in told.text("en")


def test_an_unpublished_year_is_marked_on_its_days_and_above() -> None:
    told = receipt(CN, at("12-31T10:00"), Limit("working_days", 1))
    assert told.provisional
    assert told.lines[-1]["zh"].endswith("17:30 到期（当年放假安排未公布）")
    assert "暂定  涉及放假安排尚未公布的年份" in told.text()
    assert "当年放假安排未公布" not in told.lines[0]["zh"]


def test_an_open_suspension_is_said() -> None:
    told = receipt(CN, at("03-02T10:00"), Limit("working_days", 2), suspensions=[(at("03-03T10:00"), None)])
    assert told.stopped
    assert "挂起中  恢复后顺延" in told.text()
    assert told.to_json()["stopped"] is True


def test_counting_back_goes_back_day_by_day() -> None:
    told = receipt(CN, at("02-24T10:00"), Limit("working_days", -2))
    assert [line["date"][-2:] for line in told.lines] == [f"{n}" for n in range(24, 12, -1)]
    assert told.lines[-1]["zh"] == "计第 2 日，17:30 到期"


@pytest.mark.parametrize(
    ("limit", "lines"),
    [
        (Limit("hours", 2), ["starts at 16:00", "2 h counted, due at 18:00"]),
        (Limit("working_hours", 1.5), ["starts at 16:00", "1 h 30 min counted, due at 17:30"]),
        (Limit("working_days", 1, count_first_day=True), ["starts at 16:00", "day 1, due at 17:30"]),
        (Limit("working_days", 1, "midnight", True), ["starts at 16:00", "day 1, due at 24:00"]),
        (Limit("working_days", 0), ["starts at 16:00", "due at 16:00"]),
    ],
)
def test_start_and_end_on_one_day_have_a_line_each(limit: Limit, lines: list[str]) -> None:
    assert words("en", FRIDAY, limit) == lines


def test_a_night_is_told_on_the_day_it_starts() -> None:
    told = receipt(NIGHTS, at("03-03T03:00"), Limit("working_days", 1))
    assert [(line["date"], line["zh"]) for line in told.lines] == [
        ("2026-03-02", "次日 03:00 起算，当日不计"),
        ("2026-03-03", "计第 1 日，次日 06:00 到期"),
    ]
    assert told.lines[1]["en"] == "day 1, due at 06:00 of the next day"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, ("0 秒", "0 s")),
        (1, ("1 秒", "1 s")),
        (3600, ("1 小时", "1 h")),
        (27_061, ("7 小时 31 分 1 秒", "7 h 31 min 1 s")),
        (-60, ("-1 分", "-1 min")),
    ],
)
def test_durations_are_said_in_hours(seconds: int, said: tuple[str, str]) -> None:
    assert duration(seconds * 1_000_000) == said


@pytest.mark.parametrize(
    ("limit", "zh", "en"),
    [
        (
            Limit("working_days", 1),
            "1 个工作日，末日下班时到期",
            "1 working day, due at the close of business of the last day",
        ),
        (
            Limit("days", 3, "midnight", True),
            "3 个自然日，末日 24:00 到期，计入首日",
            "3 calendar days, due at 24:00 of the last day, the first day counts",
        ),
        (Limit("hours", 0.5), "0.5 小时", "0.5 hours"),
    ],
)
def test_limits_are_said_in_words(limit: Limit, zh: str, en: str) -> None:
    assert limit_words(limit) == (zh, en)
