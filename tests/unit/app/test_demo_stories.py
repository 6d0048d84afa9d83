"""The sample data's stories, before anything is written: the same from the same seed and clock, and believable."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest

from app.demo.life import Story
from app.demo.matters import MATTERS, categories, unit_of
from app.demo.people import FIRST_DIGITS
from app.demo.places import STRAINED, TOWNSHIPS, Location, grids, units
from app.demo.story import CAST, SOURCES, quarter
from app.domain.tickets.policies import DEFAULT_POLICIES
from app.schemas.calendar_document import read_calendar
from app.services.rules.china_calendar import china_spec

CALENDAR = read_calendar(china_spec())
TUESDAY = "2026-11-24 11:20"
UNIT_CODES = {fields["code"] for fields in units()}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CALENDAR.zone)


@cache
def lives(clock: str = TUESDAY, seed: int = 20) -> list[Story]:
    return quarter(seed, moment(clock), CALENDAR, DEFAULT_POLICIES)


def told(clock: str = TUESDAY, seed: int = 20) -> list[object]:
    return [(life.pushed, life.steps) for life in quarter(seed, moment(clock), CALENDAR, DEFAULT_POLICIES)]


def test_the_same_seed_and_clock_make_the_same_quarter() -> None:
    assert told() == told()
    assert told(seed=21) != told()
    assert told("2026-11-24 11:21") != told()


@pytest.mark.parametrize("clock", [
    TUESDAY,
    "2026-11-22 03:10",  # a Sunday night
    "2026-02-20 15:00",  # the Spring Festival
    "2026-01-01 00:30",
    "2026-02-28 10:00",  # a make-up Saturday
    "2029-05-05 18:00",  # of a year that nobody has published
])  # fmt: skip
def test_no_step_is_after_the_clock_or_before_the_receipt(clock: str) -> None:
    now = moment(clock)
    found = lives(clock)
    assert 1500 <= len(found) <= 2500
    for life in found:
        times = [life.pushed.received_at, *(step.at for step in life.steps)]
        assert times == sorted(times), life
        assert times[-1] <= now, life


def test_ids_are_unique_and_grow_with_the_receipt() -> None:
    found = lives()
    assert all(a.pushed.received_at <= b.pushed.received_at for a, b in pairwise(found))
    keys = [(life.source, life.pushed.external_id) for life in found]
    assert len(set(keys)) == len(keys)


def test_a_repeat_names_an_earlier_ticket_of_the_same_matter() -> None:
    repeats = [life for life in lives() if life.parent is not None]
    assert len(repeats) > 40
    for life in repeats:
        parent = life.parent
        assert parent is not None
        assert (life.person, life.matter, life.place, life.source) == (
            parent.person, parent.matter, parent.place, parent.source,
        )  # fmt: skip
        assert life.pushed.parent_external_id == parent.pushed.external_id
        assert life.pushed.received_at > parent.pushed.received_at
    assert max(Counter(life.pushed.parent_external_id for life in repeats).values()) >= 2


def test_a_leader_would_believe_the_mixture() -> None:
    found = lives()
    practical = sum(life.matter.practical for life in found) / len(found)
    assert 0.58 <= practical <= 0.66, "the office counts 62.18 % of practical matters"
    sources = Counter(life.source for life in found)
    assert set(sources) == {code for code, *_ in SOURCES}
    assert sources.most_common(1)[0][0] == "12345"
    kinds = Counter(life.pushed.kind for life in found)
    assert set(kinds) == {"consult", "help", "complaint", "report", "suggestion", "praise", "dispute"}
    assert all((life.pushed.severity is not None) == (life.pushed.kind == "dispute") for life in found)
    assert {life.pushed.severity for life in found} == {None, "ordinary", "major", "grave"}
    assert {life.pushed.priority for life in found} == {"normal", "urgent", "emergency"}
    assert {life.matter.code for life in found} == {matter.code for matter in MATTERS}


def test_days_have_a_rhythm_of_hours_and_weekdays() -> None:
    hours = Counter(life.pushed.received_at.hour for life in lives())
    assert hours[9] + hours[10] > 5 * (hours[2] + hours[3] + hours[4] + 1)
    weekdays = Counter(life.pushed.received_at.weekday() for life in lives())
    assert weekdays[0] > weekdays[6]
    visits = [life.pushed.received_at for life in lives() if life.source == "visit" and life.parent is None]
    assert all(at.weekday() < 5 and 9 <= at.hour < 17 for at in visits)


def test_every_kind_of_step_is_taken_and_every_answer_given() -> None:
    steps = [step for life in lives() for step in life.steps]
    assert {step.action for step in steps} == {
        "dispatch", "accept", "return", "reassign", "contact", "suspend", "resume", "extend", "rule", "complete", "urge",
        "void", "callback", "ack", "order", "reply", "accept_reply", "refuse_reply",
    }  # fmt: skip
    assert {step.params.get("outcome") for step in steps if step.action == "callback"} == {
        "reached", "no_answer", "refused",
    }  # fmt: skip
    assert {step.params["satisfaction"] for step in steps if step.params.get("outcome") == "reached"} == {
        "very_satisfied", "satisfied", "basically_satisfied", "dissatisfied", "very_dissatisfied",
    }  # fmt: skip
    assert {step.params["approve"] for step in steps if step.action == "rule"} == {True, False}
    assert {step.params["trigger"] for step in steps if step.action == "order"} == {"repeated", "leader"}


def test_no_phone_can_ring_and_no_slot_of_a_text_stays_empty() -> None:
    for life in lives():
        if life.pushed.reporter is not None:
            assert re.fullmatch(FIRST_DIGITS + r"\d{4}", life.pushed.reporter.phone or "")
            assert life.pushed.reporter.id_number is None
        texts = [life.pushed.title, life.pushed.content or "", life.pushed.address or ""]
        texts += [value for step in life.steps for value in step.params.values() if isinstance(value, str)]
        assert not any("{" in text or "}" in text or "|" in text for text in texts), texts
        assert 0 < len(life.pushed.title) <= 200


def test_lists_do_not_look_stamped() -> None:
    titles = Counter(life.pushed.title for life in lives())
    assert len(titles) > 0.6 * len(lives())
    assert titles.most_common(1)[0][1] < 0.02 * len(lives())


def test_every_code_in_the_stories_is_defined_parents_first() -> None:
    for tree in (list(units()), list(grids()), list(categories())):
        made: set[object] = {None}
        for fields in tree:
            assert fields["parent"] in made, fields
            made.add(fields["code"])
    areas = {fields["code"] for fields in grids()}
    for town in TOWNSHIPS:
        where = Location(town, town.roads[0], town.quarters[0], town.name, None)
        assert {unit_of(matter, where, way) for matter in MATTERS for way in (None, matter.other)} <= UNIT_CODES
    assert set(STRAINED) <= UNIT_CODES
    assert {life.pushed.grid for life in lives()} - {None} <= areas
    assert max(str(area).count("-") for area in areas) == 4, "four levels: 区、片、组、群"


def test_the_board_of_the_last_day_shows_every_situation() -> None:
    assert {"late_open", "late_replied", "late_twice", "due_soon", "cross_open", "suspended_open", "returned_open",
            "asked_open", "unaccepted", "unanswered", "uncalled", "undispatched"} <= {turn for turn, *_ in CAST}  # fmt: skip
    now = moment(TUESDAY)
    fresh = [life for life in lives() if life.pushed.received_at > now - timedelta(hours=2)]
    assert any(not life.steps and life.pushed.unit is None for life in fresh), "one that nobody has dispatched yet"
