"""The calendar and a receipt in a real browser: a day is made off, and the page lists the deadlines that this moved."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from app import clock
from app.domain.time.workcalendar import WorkCalendar
from tests.browser.conftest import SignIn
from tests.browser.server import Site


def next_workday(site: Site) -> str:
    """The working day after today, which every deadline of a ticket received today counts."""
    with site.runtime.reading() as (_, ref):
        calendar: WorkCalendar = ref.calendars["cn"][1]
    day = calendar.local(clock.now()).date() + timedelta(days=1)
    while not calendar.is_working_day(day):
        day += timedelta(days=1)
    return day.isoformat()


def test_a_day_made_off_moves_deadlines_and_says_which(site: Site, signed_in: SignIn) -> None:
    ticket = site.push("路灯不亮", unit="GA-01", accept=True)
    page = signed_in("li", lang="zh")
    day = next_workday(site)
    page.goto(f"/calendar?day={day}")
    page.check("input[name=kind][value=off]")
    page.fill("[name=note]", "临时停电")
    page.click(".dayform .button.main")
    expect(page.locator("#moved-title")).to_have_text(re.compile("^已保存；变动的时限"))
    expect(page.locator(f"a[href='/tickets/{ticket}']")).not_to_have_count(0)
    expect(page.locator(f"a[aria-label^='{day}']")).to_have_attribute("class", "day holiday")
    expect(page.locator("#main")).to_contain_text("临时停电")
    page.goto(f"/tickets/{ticket}")
    expect(page.locator(".timeline")).to_contain_text("工作日历变更")
    page.click("text=计算依据 >> nth=-1")
    expect(page.locator(".receipt .days li.due")).to_have_count(1)
    expect(page.locator(".refusal")).to_have_count(0)


def test_wrong_hours_are_refused_and_what_was_typed_stays(site: Site, signed_in: SignIn) -> None:
    page = signed_in("li", lang="en")
    page.goto(f"/calendar?day={next_workday(site)}")
    page.check("input[name=kind][value=hours]")
    page.fill("[name=hours]", "9 to 5")
    page.click(".dayform .button.main")
    expect(page.locator(".refusal")).to_contain_text("09:00-12:00")
    expect(page.locator("[name=hours]")).to_have_value("9 to 5")


def test_a_file_is_loaded_and_publishes_its_year(site: Site, signed_in: SignIn, tmp_path: Path) -> None:
    file = tmp_path / "2031.csv"
    file.write_text("日期,类型,名称\n2031-01-01,休,元旦\n2031-02-07,休,春节\n", "utf-8")
    page = signed_in("li", lang="en")
    page.goto("/calendar?year=2031")
    expect(page.locator(".head")).to_contain_text("not published")
    page.set_input_files("#file", file)
    page.click("form[enctype] .button.main")
    expect(page.locator("h1")).to_contain_text("2031")
    expect(page.locator(".head")).not_to_contain_text("not published")


def test_a_unit_reads_the_calendar_and_edits_nothing(site: Site, signed_in: SignIn) -> None:
    page = signed_in("wang", lang="zh")
    page.goto(f"/calendar?day={next_workday(site)}")
    expect(page.locator(".dayform")).to_have_count(0)
    expect(page.locator("#file")).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390, 1366])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_pages_fit_their_screen(site: Site, signed_in: SignIn, width: int, lang: str) -> None:
    ticket = site.push("路灯不亮", unit="GA-01")
    page = signed_in("li", width=width, lang=lang)
    for path in ("/calendar", "/calendar?year=2031", f"/calendar?day={next_workday(site)}",
                 f"/tickets/{ticket}/deadlines/complete"):  # fmt: skip
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
