"""Figures: what sums must sum, the list is as long as the figure says, the balance closes, and nothing is ranked on chance."""

from __future__ import annotations

import statistics
from collections import Counter as Tally
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Invalid
from app.text import Text
from reports.facts.frame import COLUMNS, PATH_SEPARATOR, conform
from reports.facts.names import Names
from reports.figures import wilson
from reports.figures.body import BalanceBroken, EarlierFacts, Point, compute, figures_of, tickets_behind
from reports.figures.counting import DIMENSIONS, rounded
from reports.metrics import BALANCE_LEFT, BALANCE_RIGHT, HEADLINES, REGISTRY
from tests.unit.reports.sample_facts import APRIL_1, MARCH, at, frame, lives, many, ticket

SCOPE: dict[str, str | None] = {"unit": None}


def report(facts: pd.DataFrame, as_of: datetime = APRIL_1, **more: Any) -> dict[str, Any]:
    """The report of March over ``facts``, as JSON."""
    return compute(facts, MARCH, as_of, SCOPE, **more).as_json()


@pytest.mark.parametrize(
    ("numerator", "denominator", "places", "shown"),
    [
        (2264, 2559, 4, "0.8847"),
        (2162, 3477, 4, "0.6218"),
        (7988, 9555, 4, "0.8360"),
        (1, 8, 2, "0.13"),  # a half goes up: neither to even nor, as a binary fraction might, down
        (3, 8, 2, "0.38"),
        (1245, 10000, 3, "0.125"),
        (12445, 100000, 4, "0.1245"),
        (2, 3, 4, "0.6667"),
        (9999, 10000, 2, "1.00"),
        (0, 7, 4, "0.0000"),
        (10**30 - 1, 2 * 10**30, 0, "0"),  # a hair below a half
    ],
)
def test_a_figure_is_rounded_half_up_once(numerator: int, denominator: int, places: int, shown: str) -> None:
    assert rounded(Fraction(numerator, denominator), places) == Decimal(shown)


def test_the_office_s_published_line_comes_out() -> None:
    """3477 received, 99 % completed, 99.7 % satisfied, 2162 practical matters: 62.18 %."""
    day, due = at("03-04 09:00"), at("03-11 17:30")
    done: dict[str, Any] = {"status": "closed", "completed_at": at("03-08 15:00"), "complete_due_at": due}
    rows = many(2162, day, 1, category="p", category_path="p", practical=True, satisfaction="satisfied", **done)
    rows += many(1270, day, 3000, category="q", category_path="q", satisfaction="very_satisfied", **done)
    rows += many(10, day, 5000, category="q", category_path="q", satisfaction="dissatisfied", **done)
    rows += many(35, day, 6000, category="q", category_path="q", complete_due_at=due)
    body = report(frame(rows))
    figures = body["figures"]
    assert figures["received"] == {"value": 3477}
    assert figures["completion_rate"] == {"value": 0.9899, "numerator": 3442, "denominator": 3477}
    assert figures["satisfaction_rate"] == {"value": 0.9971, "numerator": 3432, "denominator": 3442}
    assert figures["practical"] == {"value": 2162}
    assert figures["practical_share"] == {"value": 0.6218, "numerator": 2162, "denominator": 3477}
    assert body["by_category"][0]["figures"]["share"] == {"value": 0.6218, "numerator": 2162, "denominator": 3477}


def test_a_month_of_history_with_verdicts_alone_comes_out() -> None:
    day = at("03-04 09:00")
    rows = many(2264, day, 1, status="completed", source_verdict="on_time")
    rows += many(295, day, 3000, status="completed", source_verdict="late")
    rows += many(2, day, 4000)
    body = report(frame(rows))
    assert body["figures"]["received"] == {"value": 2561}
    assert body["figures"]["on_time_rate"] == {"value": 0.8847, "numerator": 2264, "denominator": 2559}
    assert body["figures"]["overdue"] == {"value": 295}
    assert body["verdicts_from_source"] == 2559
    assert (body["balance"]["open"], body["balance"]["completed_undated"]) == (2, 2559)


@settings(max_examples=80, deadline=None)
@given(known=lives())
def test_the_balance_closes_whatever_happened(known: tuple[pd.DataFrame, datetime]) -> None:
    facts, as_of = known
    balance = report(facts, as_of)["balance"]
    assert sum(balance[key] for key in BALANCE_LEFT) == sum(balance[key] for key in BALANCE_RIGHT)


@settings(max_examples=40, deadline=None)
@given(known=lives())
def test_the_rows_of_a_breakdown_add_up_to_the_whole(known: tuple[pd.DataFrame, datetime]) -> None:
    facts, as_of = known
    body = report(facts, as_of)
    for dimension in DIMENSIONS:
        rows = body[f"by_{dimension}"]
        tops = [row for row in rows if row.get("parent") is None]
        for each in REGISTRY:
            for part in (
                ("value",)
                if each.kind == "count"
                else ("n",)
                if each.kind == "percentile"
                else ("numerator", "denominator")
            ):
                if each.of_whole and part == "denominator":
                    assert all(row["figures"][each.key][part] == body["figures"][each.key][part] for row in rows)
                    continue
                added = sum(row["figures"][each.key][part] for row in tops)
                assert added == body["figures"][each.key][part], (dimension, each.key, part)
        for row in rows:
            if "depth" in row:
                children = [child["figures"]["received"]["value"] for child in rows if child["parent"] == row["code"]]
                assert sum(children) + row["received_directly"] == row["figures"]["received"]["value"]


@settings(max_examples=12, deadline=None)
@given(known=lives(max_size=10))
def test_the_list_behind_a_figure_is_as_long_as_the_figure_says(known: tuple[pd.DataFrame, datetime]) -> None:
    facts, as_of = known
    body = report(facts, as_of)
    groups = {None: body["figures"]} | {
        f"{dimension}:{row['code']}": row["figures"] for dimension in DIMENSIONS for row in body[f"by_{dimension}"]
    }
    for group, figures in groups.items():
        for key, figure in figures.items():
            behind = tickets_behind(facts, MARCH, as_of, key, group)
            assert len(behind) == len(set(behind)) == figure.get("numerator" if "score" not in key else "denominator",
                                                                  figure.get("n", figure["value"])), (group, key)  # fmt: skip
            if "denominator" in figure:
                assert len(tickets_behind(facts, MARCH, as_of, key, group, "denominator")) == figure["denominator"]


@settings(max_examples=40, deadline=None)
@given(known=lives())
def test_figures_agree_with_a_count_made_ticket_by_ticket(known: tuple[pd.DataFrame, datetime]) -> None:
    """The plainest reading of metrics.md, in plain Python, for the figures that leadership reads first."""
    facts, as_of = known
    figures = figures_of(facts, MARCH, as_of)
    found: Tally[str] = Tally()
    hours: list[float] = []
    row: Any
    for row in facts.itertuples():
        if not (MARCH.start <= row.received_at < MARCH.end) or row.void:
            continue
        done = row.status in {"completed", "closed"}
        verdict = row.source_verdict if isinstance(row.source_verdict, str) else None
        has_due, has_done = not pd.isna(row.complete_due_at), not pd.isna(row.completed_at)
        judged = verdict is not None or (has_due and (has_done if done else row.complete_due_at <= as_of))
        in_time = verdict == "on_time" if verdict else judged and done and row.completed_at <= row.complete_due_at
        rating = row.satisfaction if isinstance(row.satisfaction, str) else None
        found.update({"received": 1, "completed": done, "due": judged, "on_time": in_time, "rated": rating is not None})
        found.update({"satisfied": rating is not None and "dis" not in rating})
        if done and not pd.isna(row.handling_seconds):
            hours.append(row.handling_seconds / 3600)
    assert figures["received"].value == found["received"]
    assert figures["completion_rate"].numerator == found["completed"]
    assert (figures["on_time_rate"].numerator, figures["on_time_rate"].denominator) == (found["on_time"], found["due"])
    assert (figures["satisfaction_rate"].numerator, figures["satisfaction_rate"].denominator) == (
        found["satisfied"],
        found["rated"],
    )
    median = figures["handling_hours_p50"].value
    assert median is None if not hours else float(median or 0) == pytest.approx(statistics.median(hours), abs=0.00501)


@pytest.mark.parametrize(
    ("seconds", "p50", "p90"),
    [
        ([3600], "1.00", "1.00"),
        ([3600, 7200], "1.50", "1.90"),
        ([3600 * n for n in range(1, 12)], "6.00", "10.00"),
        ([18], "0.01", "0.01"),  # 0.005 hours: half up
    ],
)
def test_a_percentile_lies_between_its_neighbours(seconds: list[int], p50: str, p90: str) -> None:
    rows = [ticket(n, at("03-05 09:00"), status="completed", completed_at=at("03-06 09:00"), handling_seconds=each, unit="B1",
                   unit_path=PATH_SEPARATOR.join(("B", "B1"))) for n, each in enumerate(seconds)]  # fmt: skip
    figures = figures_of(frame(rows), MARCH, APRIL_1)
    assert (figures["handling_hours_p50"].value, figures["handling_hours_p90"].value) == (Decimal(p50), Decimal(p90))
    for row in report(frame(rows))["by_unit"]:
        assert row["figures"]["handling_hours_p90"] == {"value": float(p90), "n": len(seconds)}


def test_a_mean_is_taken_over_those_who_gave_a_score() -> None:
    rows = [ticket(n, at("03-05 09:00"), score_speed=score) for n, score in enumerate([5, 4, 4, None])]
    assert figures_of(frame(rows), MARCH, APRIL_1)["score_speed"].as_json() == {
        "value": 4.33,
        "numerator": 13,
        "denominator": 3,
    }


FEBRUARY, IN_FEBRUARY, IN_MARCH, IN_APRIL = (
    at(text) for text in ("02-10 09:00", "02-20 09:00", "03-20 09:00", "04-20 09:00")
)
EARLIER: dict[str, Any] = {"received_at": FEBRUARY, "start_state": "open"}
DONE_BEFORE: dict[str, Any] = {"received_at": FEBRUARY, "start_state": "completed"}
DONE: dict[str, Any] = {"status": "completed", "completed_at": IN_MARCH}
VOID: dict[str, Any] = {"status": "void", "voided_at": IN_MARCH}


@pytest.mark.parametrize(
    ("what", "facts", "terms"),
    [
        ("carried in, completed", EARLIER | DONE, {"carried_in": 1, "completed_in_period": 1}),
        ("carried in, still open", EARLIER, {"carried_in": 1, "open": 1}),
        ("carried in, voided", EARLIER | VOID, {"carried_in": 1, "voided": 1}),
        ("received and completed", DONE, {"received": 1, "completed_in_period": 1}),
        ("received and voided", VOID, {"received_and_voided": 1, "voided": 1}),
        (
            "voided after the period",
            VOID | {"end_state": "open", "voided_at": IN_APRIL},
            {"received_and_voided": 1, "open": 1},
        ),
        ("reopened", DONE_BEFORE | {"end_completed_at": IN_FEBRUARY}, {"reopened_in_period": 1, "open": 1}),
        ("reopened, completed again", DONE_BEFORE | DONE, {"reopened_in_period": 1, "completed_in_period": 1}),
        ("completed before, voided now", DONE_BEFORE | VOID, {"completed_then_voided": 1, "voided": 1}),
        ("completed, nobody knows when", {"status": "completed"}, {"received": 1, "completed_undated": 1}),
        ("completed and left alone", DONE_BEFORE | {"status": "closed", "completed_at": IN_FEBRUARY}, {}),
    ],
)
def test_each_way_through_the_period_has_its_terms(what: str, facts: dict[str, Any], terms: dict[str, int]) -> None:
    row = ticket(1, at("03-05 09:00"), **facts)
    balance = report(frame([row]))["balance"]
    assert {key: count for key, count in balance.items() if count} == terms, what


def test_an_unbalanced_report_is_refused_and_names_tickets() -> None:
    rows = many(3, at("03-05 09:00"))
    rows[1]["end_state"] = "absent"
    rows[2] |= {"status": "completed", "end_state": "completed", "end_completed_at": IN_FEBRUARY}
    with pytest.raises(BalanceBroken) as broken:
        report(frame(rows))
    assert broken.value.tickets == ("N2", "N3")
    assert "received 3" in broken.value.message.en
    assert "N2" in broken.value.message.zh


def test_errors_that_cancel_out_do_not_pass() -> None:
    rows = many(2, at("03-05 09:00"))
    rows[0]["end_state"] = "absent"  # one too few on the right
    rows[1]["received_at"] = FEBRUARY  # one too many
    with pytest.raises(BalanceBroken, match="2 tickets at odds"):
        report(frame(rows))


def test_units_are_ranked_within_their_tier_from_30_tickets() -> None:
    day, due = at("03-04 09:00"), at("03-11 17:30")
    late, soon = at("03-12 09:00"), at("03-08 09:00")
    rows: list[dict[str, Any]] = []
    for unit, total, in_time in (("S1", 30, 27), ("S2", 29, 29), ("S3", 60, 54), ("S4", 40, 39), ("D1", 50, 10)):
        for number in range(total):
            done = soon if number < in_time else late
            rows.append(
                ticket(
                    len(rows),
                    day,
                    unit=unit,
                    unit_path=unit,
                    status="completed",
                    completed_at=done,
                    complete_due_at=due,
                )
            )
    names = Names(
        {"unit": {"S1": Text("一所", "Station 1")}},
        dict.fromkeys(("S1", "S2", "S3", "S4"), "station") | {"D1": "department"},
    )
    by_unit = {row["code"]: row for row in report(frame(rows), names=names)["by_unit"]}
    ranks = {
        code: (row["ranking"]["on_time_rate"]["rank"], row["ranking"]["on_time_rate"]["of"])
        for code, row in by_unit.items()
    }
    assert ranks == {"S4": (1, 3), "S1": (2, 3), "S3": (2, 3), "S2": (None, None), "D1": (1, 1)}
    assert by_unit["S1"]["ranking"]["on_time_rate"]["interval"] == [0.7438, 0.9654]
    assert by_unit["S2"]["figures"]["on_time_rate"]["value"] == 1.0  # shown, not ranked
    assert (by_unit["S1"]["name"], by_unit["S1"]["name_en"], by_unit["S3"]["name"]) == ("一所", "Station 1", "S3")


@pytest.mark.parametrize(
    ("numerator", "denominator", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilson_s(numerator: int, denominator: int, low: float, high: float) -> None:
    bounds = wilson.interval(numerator, denominator)
    assert bounds is not None
    assert [round(bound, 4) for bound in bounds] == [low, high]
    assert wilson.interval(0, 0) is None


def test_the_past_stands_beside_the_present() -> None:
    february = MARCH.previous()
    then = frame(many(3, at("02-05 09:00"), unit="B", unit_path="B"))
    as_of = at("03-01 00:00")
    past = {"previous": EarlierFacts(february, as_of, then)}
    series = [Point(february, as_of, figures_of(then, february, as_of))]
    body = report(frame(many(5, at("03-05 09:00"), unit="B", unit_path="B")), past=past, series=series)
    assert body["compare"]["previous"]["received"] == {"value": 3}
    assert body["compared_with"] == {"previous": {"period": "2024-02", "as_of": "2024-03-01T00:00:00+08:00"}}
    assert set(body["by_unit"][0]["compare"]["previous"]) == set(HEADLINES)
    assert body["by_unit"][0]["compare"]["previous"]["received"] == {"value": 3}
    assert body["by_kind"][0]["code"] == ""
    assert [(point["period"], point["figures"]["received"]["value"]) for point in body["series"]] == [("2024-02", 3)]


def test_a_report_has_the_shape_of_the_contract() -> None:
    body = report(frame(many(2, at("03-05 09:00"))))
    assert {"kind", "period", "start", "end", "as_of", "scope", "edition", "hash", "definitions_version", "figures", "by_unit",
            "by_category", "by_source", "by_kind", "by_grid", "by_priority", "series", "compare", "balance",
            "verdicts_from_source"} <= set(body)  # fmt: skip
    assert (body["kind"], body["period"], body["start"]) == ("monthly", "2024-03", "2024-03-01T00:00:00+08:00")
    assert body["as_of"] == "2024-04-01T00:00:00+08:00"


def test_a_report_made_before_its_period_is_refused() -> None:
    with pytest.raises(Invalid, match="before the period's start"):
        report(frame([]), at("02-28 09:00"))


@pytest.mark.parametrize(
    ("figure", "group", "part", "pointer"),
    [
        ("nonsense", None, "numerator", "/figure"),
        ("due", "unit", "numerator", "/group"),
        ("due", "planet:1", "numerator", "/group"),
        ("due", None, "half", "/part"),
    ],
)
def test_a_list_behind_nothing_is_refused(figure: str, group: str | None, part: str, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        tickets_behind(frame([]), MARCH, APRIL_1, figure, group, part)
    assert refused.value.problems[0].pointer == pointer


def test_a_code_that_nobody_has_lists_nothing() -> None:
    assert tickets_behind(frame(many(2, at("03-05 09:00"))), MARCH, APRIL_1, "received", "unit:NOBODY") == []


def test_facts_are_brought_into_one_shape() -> None:
    facts = conform(
        pd.DataFrame({"ticket_id": [1], "received_at": [at("03-05 09:00")], "status": ["accepted"], "resolved": [None]})
    )
    assert list(facts.columns) == list(COLUMNS)
    assert str(facts["received_at"].dtype) == "datetime64[us, UTC]"
    assert conform(facts).equals(facts)
    for wrong, said in (
        ({"ticket_id": [1], "phone": ["1"]}, "no column phone"),
        ({"ticket_id": [1]}, "need the column received_at"),
    ):
        with pytest.raises(ValueError, match=said):
            conform(pd.DataFrame(wrong))


@settings(max_examples=25, deadline=None)
@given(known=lives(max_size=8), order=st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(known: tuple[pd.DataFrame, datetime], order: Any) -> None:
    facts, as_of = known
    positions = list(range(len(facts)))
    order.shuffle(positions)
    assert report(facts.iloc[positions].reset_index(drop=True), as_of) == report(facts, as_of)


def test_a_quarter_of_a_million_tickets_take_a_moment() -> None:
    """A guard against per-row work, not a benchmark: a row at a time would take a minute."""
    row = ticket(1, at("03-05 09:00"), unit="B", unit_path=PATH_SEPARATOR.join(("B", "B1")), handling_seconds=5000,
                 status="completed", completed_at=at("03-06 09:00"), complete_due_at=at("03-07 09:00"))  # fmt: skip
    one = frame([row])
    facts = one.iloc[[0] * 250_000].reset_index(drop=True)
    began = datetime.now().astimezone()
    assert report(facts)["figures"]["on_time"]["value"] == 250_000
    assert datetime.now().astimezone() - began < timedelta(seconds=15)
