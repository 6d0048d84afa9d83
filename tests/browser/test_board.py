"""The alert board in a real browser: live, by mouse, by keyboard, without a script, and on the wall."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from playwright.sync_api import Locator, Page, expect

from app import clock
from app.services.intake import feeds
from tests.browser.server import PASSWORD, Site, serving

SignIn = Callable[..., Page]


def alert_named(page: Page, title: str) -> Locator:
    return page.locator("[data-alert]").filter(has_text=title)


def overdue(site: Site, title: str, *, unit: str = "GA-01") -> int:
    """A ticket whose complete-deadline passed long ago, accepted and contacted in time: it has one thing to alert of."""
    ticket = site.push(title, days_ago=30, unit=unit, accept=True)
    site.act(ticket, "contact", note="已电话联系")
    return ticket


def counter(page: Page, card: str) -> Locator:
    return page.locator(f".counter.{card} .counter-number")


def test_an_alert_comes_without_a_reload_and_stands_out(signed_in: SignIn, site: Site) -> None:
    page = signed_in("chen")
    expect(page.locator("#live")).to_be_visible()
    page.evaluate("document.body.dataset.kept = 'yes'")
    before = int(counter(page, "red").inner_text())
    overdue(site, "夜间施工噪声")
    site.sweep()
    expect(alert_named(page, "夜间施工噪声")).to_be_visible()
    expect(alert_named(page, "夜间施工噪声")).to_have_class(re.compile("arrived"))
    expect(counter(page, "red")).to_have_text(str(before + 1))
    expect(page.get_by_role("status")).to_contain_text("新预警 1 条")
    assert page.evaluate("document.body.dataset.kept") == "yes", "the page was loaded anew"


def test_one_click_acknowledges_and_shows_every_viewer_who_did(signed_in: SignIn, site: Site) -> None:
    overdue(site, "占道经营")
    site.sweep()
    mine, others = signed_in("chen"), signed_in("li")
    alert_named(mine, "占道经营").get_by_role("button").click()
    for page in (mine, others):
        expect(alert_named(page, "占道经营")).to_contain_text("陈督办已确认")
        expect(alert_named(page, "占道经营").get_by_role("button")).to_have_count(0)


def test_what_another_has_acknowledged_is_refused_in_words(signed_in: SignIn, site: Site) -> None:
    overdue(site, "宠物扰民")
    site.sweep()
    page = signed_in("chen")
    row = alert_named(page, "宠物扰民")
    page.route("**/api/v1/alerts/stream", lambda route: route.abort())  # a viewer who has not heard of it yet
    page.reload()
    number = row.get_attribute("data-alert")
    site.call("POST", f"/alerts/{number}/ack")
    row.get_by_role("button").click()
    expect(row.get_by_role("alert")).to_contain_text("已由")


def test_a_resolved_alert_leaves_the_board(signed_in: SignIn, site: Site) -> None:
    ticket = overdue(site, "井盖缺失")
    site.sweep()
    page = signed_in("chen")
    expect(alert_named(page, "井盖缺失")).to_be_visible()
    site.act(ticket, "complete", result="已更换井盖")
    expect(alert_named(page, "井盖缺失")).to_have_count(0)


def test_each_counter_equals_the_list_it_opens(signed_in: SignIn, site: Site) -> None:
    overdue(site, "油烟扰民")
    site.push("垃圾未清运", days_ago=3, unit="CG")
    site.sweep()
    page = signed_in("chen")
    for card in ("red", "yellow", "reminder"):
        page.goto("/")
        said = int(counter(page, card).inner_text())
        page.locator(f".counter.{card}").click()
        expect(page.locator(f".counter.{card}")).to_have_attribute("aria-current", "true")
        expect(page.locator("[data-alert]")).to_have_count(said)
        expect(counter(page, card)).to_have_text(str(said))


def test_the_board_is_narrowed_to_a_unit_and_what_is_below_it(signed_in: SignIn, site: Site) -> None:
    overdue(site, "城西的事", unit="GA-02")
    overdue(site, "执法局的事", unit="CG")
    site.sweep()
    page = signed_in("chen")
    page.select_option("#unit", "GA")
    expect(page).to_have_url(re.compile("unit=GA"))
    expect(alert_named(page, "城西的事")).to_be_visible()
    expect(alert_named(page, "执法局的事")).to_have_count(0)
    expect(page.locator(".column.red [data-alert]")).to_have_count(int(counter(page, "red").inner_text()))


def test_a_unit_sees_its_own_alerts_alone(signed_in: SignIn, site: Site) -> None:
    overdue(site, "城东的事", unit="GA-01")
    overdue(site, "别家的事", unit="CG")
    site.sweep()
    page = signed_in("wang")
    expect(alert_named(page, "城东的事")).to_be_visible()
    expect(alert_named(page, "别家的事")).to_have_count(0)


def test_the_board_is_worked_by_keyboard_alone(signed_in: SignIn, site: Site) -> None:
    overdue(site, "键盘处理一")
    overdue(site, "键盘处理二")
    site.sweep()
    page = signed_in("chen")
    expect(page.locator("#live")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("j")
    first = page.locator("[data-alert].chosen")
    expect(first).to_contain_text("键盘处理二")
    page.keyboard.press("j")
    expect(page.locator("[data-alert].chosen")).to_contain_text("键盘处理一")
    page.keyboard.press("k")
    page.keyboard.press("a")
    expect(alert_named(page, "键盘处理二")).to_contain_text("陈督办已确认")
    expect(page.locator("[data-alert].chosen")).to_contain_text("键盘处理二")
    page.keyboard.press("o")
    expect(page.get_by_role("heading", name="键盘处理二")).to_be_visible()


def test_a_lost_connection_is_said_aloud_and_mends_itself(page: Page, sqlite_url: str) -> None:
    with serving(sqlite_url) as first:
        page.goto(f"{first.address}/signin")
        page.fill("#name", "chen")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        expect(page.locator("#live")).to_be_visible()
    banner = page.locator("#lost")
    expect(banner).to_be_visible()
    expect(banner).to_have_text(re.compile(r"自 \d\d:\d\d:\d\d 起与服务器失去连接"))
    expect(page.locator("#live")).to_be_hidden()
    with serving(sqlite_url, port=int(first.address.rpartition(":")[2]), filled=True):
        expect(banner).to_be_hidden()
        expect(page.locator("#live")).to_be_visible()


def test_the_wall_shows_no_chrome_and_cuts_no_row(signed_in: SignIn, site: Site) -> None:
    for n in range(12):
        overdue(site, f"大屏上的第 {n} 件事，标题写得稍微长一点，看看会不会被截断")
    site.sweep()
    page = signed_in("chen", width=1920, height=1080)
    page.goto("/?wall=1")
    expect(page.locator(".tabs")).to_have_count(0)
    expect(page.locator("#clock")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    cut = page.evaluate(
        """() => [...document.querySelectorAll("[data-alert]")].filter((row) => getComputedStyle(row).visibility === "visible")
             .filter((row) => row.getBoundingClientRect().bottom > innerHeight).length"""
    )
    assert cut == 0
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_the_wall_pages_through_rows_that_do_not_fit(signed_in: SignIn, site: Site) -> None:
    for n in range(20):
        overdue(site, f"轮播的第 {n} 件事")
    site.sweep()
    page = signed_in("chen", width=1366, height=768)
    page.clock.install()
    page.goto("/?wall=1")
    column = page.locator(".column.red")
    place = page.locator('[data-page="red"]')
    expect(place).to_have_text(re.compile(r"^1/[2-9]$"))
    expect(place).to_be_visible()
    everything = set(column.locator("[data-alert]").evaluate_all("rows => rows.map((row) => row.dataset.alert)"))
    seen: set[str] = set()
    told: list[str] = []
    for _ in range(14):
        shown = column.locator("[data-alert]:not(.away)")
        seen |= set(shown.evaluate_all("rows => rows.map((row) => row.dataset.alert)"))
        told.append(place.text_content() or "")
        page.clock.run_for(12_000)
    assert seen >= everything
    assert len({text.partition("/")[0] for text in told}) > 2


def test_the_board_works_without_javascript(signed_in: SignIn, site: Site) -> None:
    overdue(site, "没有脚本")
    site.sweep()
    page = signed_in("chen", scripts=False)
    alert_named(page, "没有脚本").get_by_role("button").click()
    expect(alert_named(page, "没有脚本")).to_contain_text("陈督办已确认")


def test_a_failing_feed_is_named_until_it_recovers(signed_in: SignIn, site: Site) -> None:
    def whole(**ago: float) -> None:
        with site.runtime.database.write() as session:
            feed = feeds.need(session, "hotline12345")
            feed.last_done_at = clock.now() - timedelta(**ago)
            session.add(feed)

    site.call("POST", "/feeds", json={"template": "hotline12345", "base_url": "https://12345.example.org/api"})
    whole(hours=2)
    page, wall, unit = (signed_in(name) for name in ("sun", "chen", "wang"))
    wall.goto("/?wall=1")
    expect(wall.locator(".silent")).to_contain_text("接入源“12345 热线”自")
    expect(unit.locator(".counters")).to_be_visible()
    expect(unit.locator(".silent")).to_have_count(0)
    page.locator(".silent a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("12345 热线")
    whole(minutes=59)
    overdue(site, "接入源恢复之后")
    site.sweep()
    expect(alert_named(wall, "接入源恢复之后")).to_have_count(1)
    expect(wall.locator(".silent")).to_have_count(0)
