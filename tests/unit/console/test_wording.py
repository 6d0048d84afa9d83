"""Moments and lengths of time as the pages say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.console.base import wording
from app.console.base.i18n import Texts
from app.console.base.web import link, local_path

ZH, EN = Texts("zh"), Texts("en")
NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
BEIJING = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("length", "zh", "en"),
    [
        (timedelta(seconds=1), "1分钟", "1 min"),
        (timedelta(seconds=119), "1分钟", "1 min"),
        (timedelta(minutes=59, seconds=59), "59分钟", "59 min"),
        (timedelta(hours=1), "1小时", "1 h"),
        (timedelta(hours=5, minutes=20), "5小时20分", "5 h 20 min"),
        (timedelta(hours=23, minutes=59), "23小时59分", "23 h 59 min"),
        (timedelta(days=1), "1天", "1 d"),
        (timedelta(days=1, hours=1), "1天1小时", "1 d 1 h"),
        (timedelta(days=9, hours=23, minutes=59), "9天23小时", "9 d 23 h"),
        (timedelta(days=10, hours=5), "10天", "10 d"),
        (-timedelta(hours=2), "2小时", "2 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_parts(length: timedelta, zh: str, en: str) -> None:
    assert (wording.span(length, ZH), wording.span(length, EN)) == (zh, en)


@pytest.mark.parametrize(
    ("due", "zh"),
    [
        (NOW, "还剩1分钟"),
        (NOW - timedelta(seconds=1), "已超期1分钟"),
        (NOW + timedelta(days=2), "还剩2天"),
        (NOW - timedelta(hours=3), "已超期3小时"),
    ],
)
def test_at_its_very_moment_a_deadline_is_not_overdue(due: datetime, zh: str) -> None:
    assert wording.until(due, NOW, ZH) == zh


def test_what_happened_within_a_minute_is_just_now() -> None:
    assert wording.ago(NOW - timedelta(seconds=59), NOW, ZH) == "刚刚"
    assert wording.ago(NOW - timedelta(seconds=60), NOW, EN) == "1 min ago"


def test_the_year_is_said_where_it_is_another_one_in_local_time() -> None:
    assert wording.when(NOW, BEIJING, NOW) == "11-24 12:00"
    assert wording.when(datetime(2025, 12, 31, 15, 59, tzinfo=UTC), BEIJING, NOW) == "2025-12-31 23:59"
    assert wording.when(datetime(2025, 12, 31, 16, 0, tzinfo=UTC), BEIJING, NOW) == "01-01 00:00"


@pytest.mark.parametrize(
    ("actor", "shown"),
    [("user:li", "李派单"), ("user:gone", "gone"), ("key:9", "9"), ("system:duban", "系统"), (None, "–")],
)
def test_the_log_names_people_as_they_are_called(actor: str | None, shown: str) -> None:
    assert wording.actor_name(actor, {"user:li": "李派单"}, ZH) == shown


@pytest.mark.parametrize(
    ("wish", "goes"),
    [
        ("/tickets?card=red", "/tickets?card=red"),
        (None, "/"),
        ("", "/"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("/a\nb", "/"),
        ("tickets", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_a_sign_in_never_sends_anybody_to_another_site(wish: str | None, goes: str) -> None:
    assert local_path(wish) == goes


def test_an_address_carries_only_what_says_something() -> None:
    assert link("/tickets", {"card": "red", "q": "", "before": None, "wall": False}) == "/tickets?card=red"
    assert link("/tickets", {"q": ""}) == "/tickets"
