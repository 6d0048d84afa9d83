"""Cells as spreadsheets and exports write them: text, numbers, and times in many hands."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from ingest.rows.values import MomentReader, number_of, plain, text_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (" a\t", "a"),
        ("\u3000甲\u00a0", "甲"),
        ("\ufeff编号", "编号"),
        (None, ""),
        (12.0, "12"),
        (12.5, "12.5"),
        (7, "7"),
        (True, "true"),
        (date(2026, 3, 2), "2026-03-02"),
        (datetime(2026, 3, 2, 9, 30), "2026-03-02 09:30:00"),  # noqa: DTZ001 - as a spreadsheet gives it
        ({"a": "甲"}, '{"a": "甲"}'),
    ],
)
def test_a_cell_becomes_trimmed_text(cell: object, text: str) -> None:
    assert text_of(cell) == text


def test_full_width_digits_are_digits() -> None:
    assert plain("１３８００－０１") == "13800-01"
    assert number_of("３９．５") == 39.5


@pytest.mark.parametrize(
    ("cell", "code"),
    [("x", "float_parsing"), ("1_0", "float_parsing"), ("nan", "finite_number"), ("1e999", "finite_number")],
)
def test_what_is_no_number_is_refused(cell: str, code: str) -> None:
    with pytest.raises(ValueError, match=code):
        number_of(cell)


EVERY_WAY = [
    "iso", "%m/%d/%Y %I:%M:%S %p", "%Y年%m月%d日 %H时%M分", "%Y年%m月%d日", "%Y%m%d%H%M%S", "%d.%m.%y %H:%M", "excel",
]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "wall"),
    [
        ("2026-03-02 09:30:00", (9, 30)),
        ("2026-03-02 09:30", (9, 30)),
        ("2026/3/2 9:30", (9, 30)),
        ("2026-03-02T09:30:00.123456789", (9, 30, 0, 123456)),
        ("2026-03-02", (0, 0)),
        ("2026-03-01 24:00", (0, 0)),
        ("03/02/2026 09:30:00 AM", (9, 30)),
        ("3/2/2026 12:30:00 am", (0, 30)),
        ("3/2/2026 12:30:00 PM", (12, 30)),
        ("3/2/2026 1:30:05 下午", (13, 30, 5)),
        ("２０２６年３月２日 ９时３０分", (9, 30)),
        ("2026年3月2日9时30分", (9, 30)),
        ("2026年3月2日", (0, 0)),
        ("20260302093000", (9, 30)),
        ("02.03.26 09:30", (9, 30)),
        (46083.395833333336, (9, 30)),
        ("46083.395833333336", (9, 30)),
        (46083, (0, 0)),
        (datetime(2026, 3, 2, 9, 30), (9, 30)),  # noqa: DTZ001 - as a spreadsheet gives it
        (date(2026, 3, 2), (0, 0)),
    ],
)
def test_one_column_may_write_its_times_in_many_ways(cell: object, wall: tuple[int, ...]) -> None:
    read = MomentReader(EVERY_WAY, SHANGHAI)
    expected = datetime(2026, 3, 2, *wall, tzinfo=SHANGHAI).astimezone(UTC)  # type: ignore[arg-type,misc]
    assert read(cell) == expected
    assert read(cell).tzinfo is UTC


def test_an_offset_that_is_written_is_kept() -> None:
    read = MomentReader(["iso", "%Y%m%d %H%M%z".replace("%H%M", "%H:%M")], SHANGHAI)
    assert read("2026-03-02T09:30:00Z") == read("20260302 17:30+0800") == datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("2026-02-29 00:00:00", "moment_impossible"),
        ("2026-13-01", "moment_impossible"),
        ("2026-03-02 25:00", "moment_impossible"),
        ("13/13/2026 01:00:00 PM", "moment_impossible"),
        ("yesterday", "moment_written"),
        ("12", "moment_written"),
        (12, "moment_written"),
        (True, "moment_written"),
        ([], "moment_written"),
        ("0001-01-01", "moment_impossible"),
    ],
)
def test_what_is_no_moment_is_refused(cell: object, code: str) -> None:
    with pytest.raises(ValueError, match=code):
        MomentReader(EVERY_WAY, ZoneInfo("Asia/Tokyo"))(cell)


def test_when_clocks_go_back_the_first_of_the_two_is_taken() -> None:
    read = MomentReader(["iso"], NEW_YORK)
    assert read("2016-11-06 01:30:00") == datetime(2016, 11, 6, 5, 30, tzinfo=UTC)
    assert read("2016-11-06 02:00:00") == datetime(2016, 11, 6, 7, 0, tzinfo=UTC)


def test_a_local_time_skipped_by_dst_is_read_after_the_change() -> None:
    assert MomentReader(["iso"], NEW_YORK)("2016-03-13 02:30:00") == datetime(2016, 3, 13, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize("written", ["%Y-%m-%Q", "%Y-%m", "%H:%M", "%Y-%m-%d %d", "%"])
def test_a_time_format_that_cannot_work_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"time format|occurs twice"):
        MomentReader([written], SHANGHAI)
