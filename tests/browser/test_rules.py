"""What deadlines hang on, in a real browser: policies looked at, asked, changed, tried on past tickets; calendars of units."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app import clock
from tests.browser.conftest import SignIn
from tests.browser.server import Site


def choose(page: Page, **values: str) -> None:
    for name, value in values.items():
        page.select_option(f"[name='{name}']", value)


def test_every_role_reads_policies_and_asks_which_one_applies(site: Site, signed_in: SignIn) -> None:
    page = signed_in("wang", lang="zh")
    page.goto("/policies")
    expect(page.locator("table.policies tbody tr")).to_have_count(4)
    choose(page, kind="dispute", severity="grave", priority="emergency")
    page.click("#ask .button.main")
    expect(page.locator(".answer strong")).to_have_text("特急事项")
    expect(page.locator(".answer")).to_contain_text("紧急程度为特急")
    expect(page.locator("#ask table")).to_contain_text("类型应为咨询，实为纠纷")
    expect(page.locator("a[href='/policies/+new']"), "a unit changes nothing").to_have_count(0)
    assert page.goto("/policies/+replay").status == 403  # type: ignore[union-attr]


def test_a_policy_is_replayed_on_past_tickets_and_then_saved(site: Site, signed_in: SignIn) -> None:
    late = site.push("已经拖了几天的事", days_ago=12, unit="GA-01", accept=True)
    page = signed_in("li", lang="zh")
    page.goto("/policies/default")
    page.fill("[name='limits.complete.amount']", "2")
    page.click("text=先推演")
    expect(page.locator("[name=proposal]")).to_have_value(re.compile("amount = 2"))
    page.fill("[name=from]", "2020-01-01")
    page.fill("[name=to]", "2999-01-01")
    page.click(".replayform .button.main")
    expect(page.locator("#answer-title")).to_contain_text("件工单：超期由")
    expect(page.locator(".pairs li")).not_to_have_count(0)
    expect(page.locator("tr.total td").nth(1)).to_have_text("1")

    page.goto("/policies/default")
    page.fill("[name='limits.complete.amount']", "2")
    page.check("[name=apply] >> nth=0")
    page.click(".policyform .button.main")
    expect(page.locator(f"a[href='/tickets/{late}']"), "it is listed with its old and its new time").to_have_count(1)
    expect(page.locator("table.policies tbody tr"), "both versions stand").to_have_count(2)
    page.goto(f"/tickets/{late}")
    expect(page.locator(".timeline")).to_contain_text("时限规则变更")


def test_a_wrong_amount_is_marked_and_everything_typed_stays(site: Site, signed_in: SignIn) -> None:
    page = signed_in("li", lang="en")
    page.goto("/policies/+new")
    page.fill("[name=code]", "noise")
    page.fill("[name=name_en]", "Noise")
    page.check("[name='match.kind.complaint']")
    page.fill("[name='limits.complete.amount']", "-1")
    page.click(".policyform .button.main")
    expect(page.locator(".refusal")).to_contain_text("must be above 0")
    expect(page.locator("[aria-invalid]")).to_have_attribute("name", "limits.complete.amount")
    expect(page.locator("[name=name_en]")).to_have_value("Noise")
    page.fill("[name='limits.complete.amount']", "3")
    page.click(".policyform .button.main")
    expect(page.locator("h1")).to_have_text("Noise")
    page.click("text=Retire this policy")
    expect(page.locator("h1")).not_to_have_text("Noise")
    page.goto("/policies")
    expect(page.locator("#main table").first).not_to_contain_text("Noise")


def test_the_last_policy_without_conditions_cannot_be_retired(site: Site, signed_in: SignIn) -> None:
    page = signed_in("li", lang="en")
    page.goto("/policies/default")
    page.click("text=Retire this policy")
    expect(page.locator(".refusal")).to_contain_text("must stay")


def test_policies_leave_as_toml_and_come_back_from_it(site: Site, signed_in: SignIn, tmp_path: Path) -> None:
    page = signed_in("li", lang="en")
    page.goto("/policies")
    with page.expect_download() as saving:
        page.click("a[href='/policies/+export']")
    file = tmp_path / "policies.toml"
    saving.value.save_as(file)
    page.set_input_files("#file", file)
    page.click("form[enctype] .button")
    expect(page.locator("#main")).to_contain_text("0 created, 0 new versions")
    file.write_text(file.read_text("utf-8").replace('unit = "working_days"', 'unit = "weeks"', 1), "utf-8")
    page.set_input_files("#file", file)
    page.click("form[enctype] .button")
    expect(page.locator(".refusal")).to_contain_text(re.compile("weeks|must be one of"))


def test_a_calendar_gets_hours_past_midnight_and_a_unit_subtree(site: Site, signed_in: SignIn) -> None:
    below = site.push("夜里的事", unit="GA-02", accept=True)
    page = signed_in("li", lang="zh")
    page.goto("/calendar")
    page.click("text=以本日历为样本新建日历")
    page.fill("[name=code]", "night")
    page.click("form[action='/calendar'] .button")
    expect(page).to_have_url(re.compile(r"/calendar\?code=night$"))
    page.click("text=修改每周工时")
    for day in ("mon", "tue", "wed", "thu", "fri"):
        page.fill(f"[name={day}]", "22:00-06:00")
    page.fill("[name=sat]", "9 to 5")
    page.click("form[action$='/week'] .button.main")
    expect(page.locator(".refusal")).to_have_text(re.compile("^周六："))
    page.fill("[name=sat]", "")
    page.click("form[action$='/week'] .button.main")
    page.select_option("#unit", "GA")
    page.click("text=改用本日历")
    expect(page.locator(f"a[href='/tickets/{below}']")).not_to_have_count(0)
    page.goto(f"/tickets/{below}/deadlines/complete")
    expect(page.locator(".receipt .facts")).to_contain_text("night 第 2 版")
    expect(page.locator(".receipt .days li.due")).to_contain_text("次日 06:00 到期")
    page.goto("/calendar?code=night")
    page.click("text=恢复随上级")
    expect(page.locator("#moved-title")).to_have_count(1)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_ticket_shows_both_clocks_and_the_time_in_each_unit(site: Site, signed_in: SignIn, lang: str) -> None:
    ticket = site.push("换了单位的事", days_ago=3, unit="GA-01", accept=True)
    site.act(ticket, "reassign", unit="CG", reason="职责")
    page = signed_in("chen", lang=lang)
    page.goto(f"/tickets/{ticket}")
    said = page.locator("section[aria-labelledby=clocks-title]").inner_text()
    for name in (
        ("城东派出所", "综合行政执法局", "首问") if lang == "zh" else ("East Station", "Urban Management", "first")
    ):
        assert name in said


def due_of(page: Page, target: str) -> str:
    return page.locator(".deadlines li", has_text=target).locator("time").first.inner_text()


def test_a_raised_priority_moves_the_deadline_at_once(site: Site, signed_in: SignIn) -> None:
    ticket = site.push("先按一般受理的事", unit="CG")
    page = signed_in("li", lang="zh")
    page.goto(f"/tickets/{ticket}")
    before = due_of(page, "办结")
    page.click("summary:text-is('更正')")
    page.select_option("#correct-priority", "emergency")
    page.click("text=确认更正")
    expect(page.locator(".chips .tag.strong")).to_have_text("特急")
    assert due_of(page, "办结") < before
    expect(page.locator(".timeline li").first).to_contain_text("更正")


def test_the_office_may_backdate_a_suspension_and_a_unit_may_not(site: Site, signed_in: SignIn) -> None:
    ticket = site.push("鉴定等了两天的事", days_ago=8, unit="GA-01", accept=True)
    page = signed_in("chen", lang="zh")
    page.goto(f"/tickets/{ticket}")
    before = due_of(page, "办结")
    for action, days in (("挂起", 6), ("恢复", 3)):
        at = (clock.now() - timedelta(days=days)).astimezone(site.runtime.settings.zone)
        page.click(f"summary:text-is('{action}')")
        name = {"挂起": "suspend", "恢复": "resume"}[action]
        if name == "suspend":
            page.fill("#suspend-reason", "等待鉴定")
        page.fill(f"#{name}-at", at.strftime("%Y-%m-%dT%H:%M"))
        page.click(f"text=确认{action}")
    assert due_of(page, "办结") >= before
    page.goto(f"/tickets/{ticket}/deadlines/complete")
    expect(page.locator(".receipt")).to_contain_text("等待鉴定")
    expect(page.locator(".refusal")).to_have_count(0)
    unit = signed_in("wang", lang="zh")
    unit.goto(f"/tickets/{ticket}")
    unit.click("summary:text-is('挂起')")
    expect(unit.locator("#suspend-at")).to_have_count(0)


@pytest.mark.parametrize(
    ("now", "banners"),
    [("2026-11-30T23:59:59+08:00", 0), ("2026-12-01T00:00:00+08:00", 1), ("2027-01-05T08:00:00+08:00", 1)],
)
def test_the_board_asks_for_next_years_calendar_from_december(
    site: Site, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch, now: str, banners: int
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime.fromisoformat(now).astimezone(UTC))
    page = signed_in("sun", lang="zh")
    for address in ("/", "/?wall=1"):
        page.goto(address)
        expect(page.locator(".banner", has_text="2027 年放假安排尚未录入"), address).to_have_count(banners)
