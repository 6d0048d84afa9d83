"""A report's document on a page: values, what they stand on, changes, and bars."""

from __future__ import annotations

from typing import Any

import pytest

from app.console.base.i18n import Texts
from app.console.reports import view as report_view
from reports.metrics import BY_KEY

ZH, EN = Texts("zh"), Texts("en")


def ratio(numerator: int, denominator: int) -> dict[str, Any]:
    value = numerator / denominator if denominator else None
    return {"value": value, "numerator": numerator, "denominator": denominator}


@pytest.mark.parametrize(
    ("key", "figure", "text"),
    [
        ("received", {"value": 2561}, "2,561"),
        ("received", {"value": 0}, "0"),
        ("received", None, "–"),
        ("completion_rate", ratio(2264, 2559), "88.47 %"),
        ("completion_rate", ratio(2162, 3477), "62.18 %"),
        ("completion_rate", ratio(0, 0), "–"),
        ("completion_rate", ratio(0, 7), "0.00 %"),
        ("completion_rate", ratio(7, 7), "100.00 %"),
        ("completion_rate", ratio(1, 800), "0.13 %"),  # 0.125 exactly: half up, where a float would round to even
        ("completion_rate", ratio(99999, 100000), "100.00 %"),
        ("score_speed", {"value": 4.125}, "4.13"),
        ("handling_hours_p50", {"value": 1234.5}, "1,234.50"),
        ("handling_hours_p50", {"value": None}, "–"),
    ],
)
def test_a_value_is_shown_with_its_unit_and_rounded_half_up_once(key: str, figure: Any, text: str) -> None:
    assert report_view.shown(figure, BY_KEY[key]) == text


def test_a_ratio_is_shown_with_the_two_counts_it_counts_of() -> None:
    assert report_view.counts_of(ratio(2264, 2559)) == "2,264 / 2,559"
    assert report_view.counts_of(ratio(0, 0)) == "0 / 0"
    assert report_view.counts_of({"value": 5}) is None


@pytest.mark.parametrize(
    ("key", "now", "before", "text", "tone"),
    [
        ("on_time_rate", ratio(95, 100), ratio(90, 100), "+5.00 个百分点", "good"),
        ("on_time_rate", ratio(90, 100), ratio(95, 100), "-5.00 个百分点", "bad"),
        ("overdue", {"value": 5}, {"value": 10}, "-5", "good"),
        ("overdue", {"value": 10}, {"value": 5}, "+5", "bad"),
        ("received", {"value": 1200}, {"value": 10}, "+1,190", "plain"),
        ("received", {"value": 10}, {"value": 10}, "持平", "plain"),
        ("on_time_rate", ratio(0, 0), ratio(9, 10), None, "plain"),
        ("on_time_rate", ratio(9, 10), None, None, "plain"),
    ],
)
def test_a_change_says_how_much_and_whether_it_is_good_news(
    key: str, now: Any, before: Any, text: str | None, tone: str
) -> None:
    assert report_view.change(now, before, BY_KEY[key], ZH) == (text, tone)


def point(period: str, received: int, completed: int) -> dict[str, Any]:
    return {"period": period, "figures": {"received": {"value": received}, "completed": {"value": completed}}}


def test_the_bars_of_a_series_share_a_baseline_within_the_chart() -> None:
    bars, most = report_view.series_bars(
        [point("2024-01", 10, 5), point("2024-02", 40, 40), point("2024-03", 0, 0)], ZH
    )
    assert most == 40
    feet = {round(bar.y + bar.height, 1) for bar in bars} | {round(bar.done_y + bar.done_height, 1) for bar in bars}
    assert len(feet) == 1
    assert bars[1].height == max(bar.height for bar in bars)
    assert bars[0].done_height == pytest.approx(bars[0].height / 2, abs=0.1)
    assert all(bar.x >= 0 and bar.x + bar.width <= report_view.SERIES_WIDTH for bar in bars)
    assert bars[0].title == "2024-01：受理 10，办结 5"


def test_a_series_without_any_ticket_is_drawn_all_the_same() -> None:
    bars, most = report_view.series_bars([point("2024-01", 0, 0)], EN)
    assert (most, bars[0].height) == (1, 0)
    assert report_view.series_bars([], EN) == ([], 1)


def test_the_last_of_many_periods_is_labelled_without_overlap() -> None:
    bars, _ = report_view.series_bars([point(f"2024-03-{n:02}", 1, 1) for n in range(1, 32)], EN)
    assert bars[-1].label == "03-31"
    assert sum(bool(bar.label) for bar in bars) <= 16


@pytest.mark.parametrize(("period", "short"), [("2024-03-15", "03-15"), ("2024-W11", "W11"), ("2024-03", "2024-03")])
def test_a_period_is_said_shortly_under_its_bar(period: str, short: str) -> None:
    assert report_view.short_period(period) == short


def test_a_breakdown_keeps_row_order_with_a_bar_for_the_largest() -> None:
    def row(code: str, received: int, depth: int) -> dict[str, Any]:
        figures: dict[str, Any] = {key: {"value": received} for key in report_view.TABLE_FIGURES}
        figures |= {key: ratio(0, 0) for key in report_view.TABLE_FIGURES if key.endswith("_rate")}
        return {"code": code, "name": f"单位{code}", "name_en": "", "depth": depth, "figures": figures}

    rows = report_view.breakdown([row("A", 8, 0), row("A1", 2, 1), row("B", 0, 0)], EN)
    assert [(r.code, r.name, r.depth, r.bar) for r in rows] == [
        ("A", "单位A", 0, "100.0%"),
        ("A1", "单位A1", 1, "25.0%"),
        ("B", "单位B", 0, "0.0%"),
    ]
    assert [c.key for c in rows[0].cells] == list(report_view.TABLE_FIGURES)
    assert [c.value for c in rows[2].cells if c.key.endswith("_rate")] == ["–"] * 3
    assert report_view.breakdown([], EN) == []
