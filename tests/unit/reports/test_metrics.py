"""The registry: complete, documented, readable by every engine, and right at each boundary."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from reports.expr import names, parse
from reports.facts.frame import COLUMNS
from reports.figures.body import figures_of
from reports.figures.counting import columns_of
from reports.metrics import (
    BALANCE_LEFT,
    BALANCE_RIGHT,
    BY_KEY,
    CONDITIONS,
    GROUPS,
    REGISTRY,
    as_sql,
    definitions,
    definitions_version,
    documentation,
)
from tests.unit.reports.sample_facts import APRIL_1, MARCH, at, frame, lives, ticket

SPECIFIED = """
    carried_in received dispatched accepted completed completion_rate completed_in_period open voided due on_time on_time_rate
    overdue overdue_open accept_on_time_rate called_back contact_rate response_rate resolution_rate satisfaction_rate
    satisfaction_rate_strict score_speed score_attitude score_outcome supervised supervision_rate reopen_rate repeat_rate
    true_resolution_rate extension_rate return_rate handling_hours_p50 handling_hours_p90 citizen_hours_p50 citizen_hours_p90
    mediation_success_rate share
""".split()  # noqa: SIM905
MICROSECOND = timedelta(microseconds=1)


def test_every_figure_that_was_specified_has_a_definition() -> None:
    assert set(SPECIFIED) <= set(BY_KEY)


def test_no_two_definitions_share_a_key_or_a_label() -> None:
    for of in ("key", "zh", "en"):
        found = [getattr(each, of) for each in REGISTRY]
        assert len(found) == len(set(found)), of


@pytest.mark.parametrize("each", REGISTRY, ids=lambda each: each.key)
def test_a_definition_says_in_both_languages_what_it_counts(each: Any) -> None:
    assert all((each.zh, each.en, each.about_zh, each.about_en))
    assert re.search(r"[\u4e00-\u9fff]", each.about_zh)
    assert not re.search(r"[\u4e00-\u9fff]", each.en + each.about_en)
    assert each.group in GROUPS
    assert (each.kind == "ratio") == bool(each.denominator)


@pytest.mark.parametrize("text", [*CONDITIONS.values(), *(each.numerator for each in REGISTRY)])
def test_a_condition_uses_only_facts_and_other_conditions(text: str) -> None:
    assert names(parse(text)) <= set(COLUMNS) | set(CONDITIONS)


def test_no_condition_has_the_name_of_a_column() -> None:
    assert not set(CONDITIONS) & set(COLUMNS)


def test_the_documentation_does_not_lag_behind() -> None:
    stored = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert stored.read_text(encoding="utf-8") == documentation(), "run: python -m reports.metrics > docs/metrics.md"


def test_the_api_serves_every_definition_with_its_version() -> None:
    served = definitions()
    assert served["version"] == definitions_version()
    assert [item["key"] for item in served["items"]] == [each.key for each in REGISTRY]
    assert served["items"][1]["label"] == {"zh": "受理量", "en": "Received"}


def test_the_version_changes_with_any_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    before = definitions_version()
    definitions_version.cache_clear()
    monkeypatch.setitem(CONDITIONS, "due", "received")
    assert definitions_version() != before
    definitions_version.cache_clear()


def test_the_terms_of_the_balance_are_figures() -> None:
    assert {*BALANCE_LEFT, *BALANCE_RIGHT} <= set(BY_KEY)


DUE = at("03-20 17:30")


@pytest.mark.parametrize(
    ("completed", "as_of", "due", "on_time", "overdue_open"),
    [
        (DUE - MICROSECOND, APRIL_1, 1, 1, 0),
        (DUE, APRIL_1, 1, 1, 0),
        (DUE + MICROSECOND, APRIL_1, 1, 0, 0),
        (
            DUE - timedelta(days=3),
            DUE - timedelta(days=2),
            1,
            1,
            0,
        ),  # completed counts though its deadline is still to come
        (None, DUE - MICROSECOND, 0, 0, 0),
        (None, DUE, 1, 0, 1),
        (None, DUE + MICROSECOND, 1, 0, 1),
    ],
)
def test_on_time_is_at_or_before_the_deadline(
    completed: datetime | None, as_of: datetime, due: int, on_time: int, overdue_open: int
) -> None:
    status = "completed" if completed else "accepted"
    facts = frame([ticket(1, at("03-13 10:00"), status=status, completed_at=completed, complete_due_at=DUE)])
    figures = figures_of(facts, MARCH, as_of)
    found = [figures[key].value for key in ("due", "on_time", "overdue", "overdue_open")]
    assert found == [due, on_time, due - on_time, overdue_open]


@pytest.mark.parametrize(
    ("received", "counts"),
    [
        (MARCH.start.astimezone(UTC) - MICROSECOND, 0),
        (MARCH.start.astimezone(UTC), 1),
        (MARCH.end.astimezone(UTC) - MICROSECOND, 1),
        (MARCH.end.astimezone(UTC), 0),
    ],
)
def test_a_ticket_belongs_to_the_period_in_which_it_was_received(received: datetime, counts: int) -> None:
    figures = figures_of(frame([ticket(1, received)]), MARCH, APRIL_1)
    assert figures["received"].value == counts


def test_a_source_s_verdict_counts_where_there_are_no_moments() -> None:
    day = at("03-05 09:00")
    facts = frame(
        [
            ticket(1, day, status="completed", source_verdict="on_time"),
            ticket(2, day, status="completed", source_verdict="late"),
            ticket(3, day, status="completed"),  # neither deadline nor verdict: cannot be judged
            ticket(4, day, status="completed", complete_due_at=DUE),  # completed, nobody knows when
            ticket(5, day),  # open, without a deadline
        ]
    )
    figures = figures_of(facts, MARCH, APRIL_1)
    found = {
        key: figures[key].value
        for key in ("completed", "due", "on_time", "overdue", "unjudged", "verdicts_from_source")
    }
    assert found == {"completed": 4, "due": 2, "on_time": 1, "overdue": 1, "unjudged": 2, "verdicts_from_source": 2}


def test_who_was_not_asked_counts_in_no_satisfaction() -> None:
    day = at("03-05 09:00")
    answers = ["very_satisfied", "satisfied", "basically_satisfied", "dissatisfied", None]
    facts = frame([ticket(n, day, satisfaction=answer) for n, answer in enumerate(answers, 1)])
    figures = figures_of(facts, MARCH, APRIL_1)
    assert figures["satisfaction_rate"].as_json() == {"value": 0.75, "numerator": 3, "denominator": 4}
    assert figures["satisfaction_rate_strict"].as_json() == {"value": 0.5, "numerator": 2, "denominator": 4}


def test_what_has_no_denominator_has_no_value() -> None:
    figures = figures_of(frame([]), MARCH, APRIL_1)
    for each in REGISTRY:
        found = figures[each.key].as_json()
        expected = {
            "count": {"value": 0},
            "ratio": {"value": None, "numerator": 0, "denominator": 0},
            "mean": {"value": None, "numerator": 0, "denominator": 0},
            "percentile": {"value": None, "n": 0},
        }
        assert found == expected[each.kind], each.key


def _as_table(facts: pd.DataFrame) -> sqlite3.Connection:
    """The facts as a table: moments as sortable text, yes and no as 1 and 0, what is missing as NULL."""
    table = facts.copy()
    for name, (dtype, _) in COLUMNS.items():
        if dtype == "moment":
            table[name] = table[name].dt.strftime("%Y-%m-%d %H:%M:%S.%f")
        elif dtype in {"yes", "maybe"}:
            table[name] = table[name].astype("Int8")
    table = table.astype(object).where(table.notna(), None)
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE facts ({', '.join(table.columns)})")
    marks = ", ".join("?" for _ in table.columns)
    connection.executemany(f"INSERT INTO facts VALUES ({marks})", table.itertuples(index=False, name=None))
    return connection


@settings(max_examples=40, deadline=None)
@given(known=lives())
def test_a_database_counts_the_same_tickets(known: tuple[pd.DataFrame, datetime]) -> None:
    facts, as_of = known
    columns = columns_of(facts, MARCH, as_of)
    connection = _as_table(facts)
    moments = {"start": MARCH.start, "end": MARCH.end, "as_of": as_of}
    parameters = {name: moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") for name, moment in moments.items()}
    try:
        for each in REGISTRY:
            for part, text in as_sql(each).items():
                query = f"SELECT coalesce(SUM(CASE WHEN {text} THEN 1 ELSE 0 END), 0) FROM facts"
                (found,) = connection.execute(query, parameters).fetchone()
                assert found == int(columns.mask(getattr(each, part)).sum()), (each.key, part)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("void AND", "unexpected end"),
        ("void void", "unexpected 'void'"),
        ("(void", "expected '\\)'"),
        ("status IN (1)", "quoted texts"),
        ("'void'", "cannot stand alone"),
        ("status <> 'void'", "expected a value|unexpected"),
        ("status ! 'void'", "unexpected"),
        ("AND void", "expected a value"),
    ],
)
def test_a_condition_that_cannot_be_read_says_where(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse(text)
