"""The clear-out list: each reason at its threshold, and nothing leaves the ledger but by being cleared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.tickets.clear_out import OpenTicket, Rules, Settlement, outcome, reasons, settle, times_listed
from app.domain.words import CLEAR_OUT_REASON
from app.errors import Invalid

RULES = Rules(overdue_working_days=5, suspended_days=30)


@pytest.mark.parametrize(
    ("facts", "codes"),
    [
        ({}, []),
        ({"overdue_working_days": 5}, []),  # "by more than N": N itself is not enough
        ({"overdue_working_days": 6}, ["overdue"]),
        ({"reports": 1}, []),
        ({"reports": 2}, ["repeated"]),
        ({"dissatisfied": 1}, []),
        ({"dissatisfied": 2}, ["dissatisfied"]),
        ({"order_term": 1}, []),
        ({"order_term": 2}, ["supervision"]),
        ({"suspended_days": 30}, []),
        ({"suspended_days": 31}, ["suspended"]),
        ({"relapsed": True}, ["relapsed"]),
        ({"earlier_lists": 3}, []),  # stood on earlier lists, was cleared, is open again for no reason of the list
        ({"earlier_lists": 3, "on_last": True}, ["carried_over"]),
        ({"earlier_lists": 1, "on_last": True, "reports": 2}, ["repeated"]),
        ({"overdue_working_days": 9, "reports": 3, "relapsed": True}, ["overdue", "repeated", "relapsed"]),
    ],
)
def test_a_ticket_stands_on_the_list_for_reasons(facts: dict[str, Any], codes: list[str]) -> None:
    assert [reason.code for reason in reasons(OpenTicket(**facts), RULES)] == codes


def test_a_reason_says_how_much_in_both_languages() -> None:
    (reason,) = reasons(OpenTicket(overdue_working_days=12), RULES)
    assert reason.as_json() == {"code": "overdue", "zh": "超期 12 个工作日", "en": "overdue by 12 working days"}


def test_the_lists_are_counted_with_this_one() -> None:
    assert [times_listed(OpenTicket(earlier_lists=n)) for n in (0, 1, 4)] == [1, 2, 5]


@pytest.mark.parametrize(
    ("completed", "reported_again", "became"),
    [(True, False, "cleared"), (True, True, "put_back"), (False, False, "carried_over"), (False, True, "carried_over")],
)
def test_a_row_is_cleared_by_completion_and_restored_by_a_repeat(
    completed: bool, reported_again: bool, became: str
) -> None:
    assert outcome(completed=completed, reported_again=reported_again) == became


def test_the_next_list_says_how_much_of_the_last_was_cleared() -> None:
    assert settle(["cleared", "cleared", "carried_over", "put_back"]) == Settlement(4, 2, 1, 1)
    assert settle([]) == Settlement(0, 0, 0, 0)
    with pytest.raises(ValueError, match="unknown outcome: lost"):
        settle(["lost"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("overdue_working_days", -1), ("suspended_days", -1), ("reports", 1), ("dissatisfied", 0), ("order_term", 0)],
)
def test_a_threshold_that_every_ticket_would_meet_is_refused(name: str, value: int) -> None:
    with pytest.raises(Invalid, match=f"/{name}"):
        Rules(**{name: value})


NUMBERS = st.integers(0, 50)


@given(st.builds(OpenTicket, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans(), NUMBERS, st.booleans()))
def test_an_open_row_of_the_last_list_is_on_the_next_one(ticket: OpenTicket) -> None:
    found = [reason.code for reason in reasons(ticket, RULES)]
    assert found or not ticket.on_last
    assert found == [code for code in CLEAR_OUT_REASON if code in found]
    stricter = Rules(overdue_working_days=6, suspended_days=31, reports=3, dissatisfied=3, order_term=3)
    assert {reason.code for reason in reasons(ticket, stricter)} - {"carried_over"} <= set(found)
