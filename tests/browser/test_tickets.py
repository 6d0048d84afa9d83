"""The list and the page of tickets in a real browser: filters, actions, refusals with what had been typed, the reporter."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect
from sqlmodel import select

from app.models import Disclosure
from tests.browser.server import Site

SignIn = Callable[..., Page]
REPORTER = {"name": "张三丰", "phone": "13812345678", "id_number": "110101199003078888"}


def open_form(page: Page, name: str) -> Locator:
    """Open one of the ticket's forms; the form."""
    form = page.locator("details.action").filter(has=page.get_by_text(name, exact=True))
    form.locator("summary").click()
    return form


def state_of(page: Page) -> Locator:
    return page.locator(".chips .status")


def test_the_list_is_narrowed_by_search_and_filters(signed_in: SignIn, site: Site) -> None:
    site.push("路灯不亮求修复", unit="CG", kind="help")
    site.push("路灯整夜闪烁", unit="GA-01", kind="complaint")
    page = signed_in("chen")
    page.goto("/tickets")
    page.fill("#q", "路灯")
    page.press("#q", "Enter")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_text("更多筛选条件").click()
    page.select_option("#unit", "GA")
    page.get_by_role("button", name="应用").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("路灯整夜闪烁")
    expect(page, "filters left empty do not stand in the address").to_have_url(re.compile(r"\?q=[^&]+&unit=GA$"))
    page.get_by_role("link", name="清除筛选").first.click()
    expect(page).to_have_url(re.compile(r"/tickets$"))


def test_a_search_without_a_match_says_what_to_do(signed_in: SignIn) -> None:
    page = signed_in("chen")
    page.goto("/tickets?q=没有这样的工单")
    expect(page.get_by_text("没有符合条件的工单")).to_be_visible()
    answer = page.goto("/tickets?unit=NOWHERE")
    assert answer is not None
    assert answer.status == 422
    expect(page.get_by_role("alert")).to_contain_text("NOWHERE")


def test_a_list_longer_than_a_page_goes_on_and_back(signed_in: SignIn, site: Site) -> None:
    for n in range(55):
        site.push(f"批量工单第 {n} 件")
    page = signed_in("chen")
    page.goto("/tickets?q=批量工单")
    seen: set[str] = set()
    for _ in range(2):
        seen |= set(page.locator("tbody .title a").all_inner_texts())
        if page.get_by_role("link", name="下一页").count():
            page.get_by_role("link", name="下一页").click()
            page.wait_for_load_state()
    assert len(seen) == 55
    page.get_by_role("link", name="回到最新").click()
    expect(page.locator("tbody .title").first).to_contain_text("第 54 件")


def test_a_ticket_goes_its_whole_way_through_the_forms(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("小区停车纠纷")
    office = signed_in("li")
    office.goto(f"/tickets/{ticket}")
    form = open_form(office, "派单")
    form.get_by_label("责任单位").select_option("GA-01")
    form.get_by_role("button", name="确认派单").click()
    expect(state_of(office)).to_have_text("已派单")
    unit = signed_in("wang")
    unit.goto(f"/tickets/{ticket}")
    open_form(unit, "签收").get_by_role("button").click()
    expect(state_of(unit)).to_have_text("已签收")
    form = open_form(unit, "办结")
    form.get_by_label("办理结果").fill("已调解，双方和解。")
    form.get_by_role("button", name="确认办结").click()
    expect(state_of(unit)).to_have_text("已办结")
    caller = signed_in("zhao")
    caller.goto(f"/tickets/{ticket}")
    form = open_form(caller, "回访")
    form.get_by_label("回访情况").select_option("reached")
    form.get_by_label("满意度").select_option("satisfied")
    form.get_by_label("是否解决").select_option("true")
    form.get_by_role("button", name="确认回访").click()
    expect(state_of(caller)).to_have_text("已归档")
    told = caller.locator(".timeline strong").all_inner_texts()
    assert told == ["归档", "回访", "办结", "签收", "派单", "受理"]
    expect(caller.locator(".timeline")).to_contain_text("王承办")


def test_action_buttons_form_a_row_with_the_open_form_below(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("按钮排成一行", unit="CG")
    page = signed_in("chen", width=1366, height=768)
    page.goto(f"/tickets/{ticket}")
    buttons = [box for each in page.locator(".action summary").all() if (box := each.bounding_box())]
    assert len(buttons) >= 3
    assert len({round(box["y"]) for box in buttons}) <= 2
    form = open_form(page, "作废").locator("form").bounding_box()
    assert form is not None
    assert form["y"] > max(box["y"] + box["height"] for box in buttons)


def test_a_refusal_is_shown_at_the_form_and_keeps_the_input(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("早已超期的事", days_ago=40, unit="GA-01", accept=True)
    page = signed_in("wang")
    page.goto(f"/tickets/{ticket}")
    form = open_form(page, "申请延期")
    form.get_by_label("延期工作日").fill("3")
    form.get_by_label("理由").fill("需要现场勘验，材料还没有齐全。")
    form.get_by_role("button").click()
    refused = page.locator("details.action[open]")
    expect(refused.get_by_role("alert")).to_contain_text("延期须在到期前申请")
    expect(refused.get_by_label("理由")).to_have_value("需要现场勘验，材料还没有齐全。")
    expect(refused.get_by_label("延期工作日")).to_have_value("3")
    expect(state_of(page)).to_have_text("已签收")


def test_a_wrong_field_is_marked_where_it_stands(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("需要延期的事", unit="GA-01", accept=True)
    page = signed_in("wang")
    page.goto(f"/tickets/{ticket}")
    form = open_form(page, "申请延期")
    form.get_by_label("延期工作日").fill("99")
    form.get_by_label("理由").fill("材料不全")
    form.get_by_role("button").click()
    days = page.locator("details.action[open]").get_by_label("延期工作日")
    expect(days).to_have_attribute("aria-invalid", "true")
    expect(days).to_be_focused()
    expect(page.locator(f"#{days.get_attribute('aria-describedby')}")).to_contain_text("1 至")


def test_a_form_made_from_an_older_version_is_refused(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("两个人同时办的事", unit="GA-01", accept=True)
    page = signed_in("li")
    page.goto(f"/tickets/{ticket}")
    form = open_form(page, "办结")
    form.get_by_label("办理结果").fill("已处理完毕。")
    site.act(ticket, "contact", note="另一人先联系了群众")
    form.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("请重新读取")
    expect(page.locator("details.action[open]").get_by_label("办理结果")).to_have_value("已处理完毕。")
    expect(page.locator(".timeline")).to_contain_text("另一人先联系了群众")
    page.locator("details.action[open]").get_by_role("button").click()
    expect(state_of(page)).to_have_text("已办结")


def test_what_a_form_no_longer_open_had_in_it_is_not_lost(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("别人已办结的事", unit="GA-01", accept=True)
    page = signed_in("wang")
    page.goto(f"/tickets/{ticket}")
    form = open_form(page, "办结")
    form.get_by_label("办理结果").fill("写了很久的办理结果。")
    site.act(ticket, "complete", result="指挥中心代为办结")
    form.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("写了很久的办理结果。")


def test_an_extension_is_ruled_on_by_another_person(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("要多给几天的事", unit="GA-01", accept=True)
    unit = signed_in("wang")
    unit.goto(f"/tickets/{ticket}")
    form = open_form(unit, "申请延期")
    form.get_by_label("延期工作日").fill("3")
    form.get_by_label("理由").fill("等待鉴定结果")
    form.get_by_role("button").click()
    expect(unit.locator(".ticket-side")).to_contain_text("待审批")
    expect(unit.get_by_text("同意延期", exact=True)).to_have_count(0)
    office = signed_in("sun")
    office.goto(f"/tickets/{ticket}")
    before = office.locator(".bigdue").inner_text()
    open_form(office, "同意延期").get_by_role("button").click()
    expect(office.locator(".ticket-side")).to_contain_text("已延期 3 个工作日")
    expect(office.locator(".bigdue")).not_to_have_text(before)


def test_a_supervision_order_is_issued_answered_and_ruled_on(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("领导批示的事", unit="GA-01", accept=True)
    office = signed_in("chen")
    office.goto(f"/tickets/{ticket}")
    form = open_form(office, "下发督办单")
    form.get_by_label("事由").select_option("leader")
    form.get_by_label("督办要求").fill("三日内办结并书面报告。")
    form.get_by_role("button").click()
    expect(office.locator(".ticket-side")).to_contain_text("三日内办结并书面报告。")
    unit = signed_in("wang")
    unit.goto(f"/tickets/{ticket}")
    form = open_form(unit, "回复督办单")
    form.get_by_label("承办单位回复").fill("已整改到位。")
    form.get_by_role("button").click()
    expect(unit.locator(".ticket-side")).to_contain_text("待审核")
    office.reload()
    form = open_form(office, "退回重办")
    form.get_by_label("审核意见").fill("缺少照片。")
    form.get_by_role("button").click()
    expect(office.locator(".ticket-side")).to_contain_text("待回复")
    expect(office.locator(".timeline")).to_contain_text("督办回复被退回")


def test_the_reporter_is_masked_until_an_audited_disclosure(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("留了电话的事", unit="GA-01", reporter=REPORTER)
    page = signed_in("zhao")
    page.goto(f"/tickets/{ticket}")
    side = page.locator(".ticket-side")
    expect(side).to_contain_text("138****5678")
    expect(side).to_contain_text("张**")
    assert not any(secret in page.content() for secret in REPORTER.values())
    page.get_by_role("button", name="显示完整信息").click()
    expect(side).to_contain_text("13812345678")
    expect(side).to_contain_text("本次查看已记录")
    with site.runtime.database.read() as session:
        looks = session.exec(select(Disclosure).where(Disclosure.ticket_id == ticket)).all()
    assert [look.actor for look in looks] == ["user:zhao"]


def test_a_role_without_disclosure_has_no_button_and_no_bypass(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("不该看到电话的事", unit="GA-01", reporter=REPORTER)
    page = signed_in("sun")
    page.goto(f"/tickets/{ticket}")
    expect(page.get_by_text("当前角色只能查看脱敏信息")).to_be_visible()
    expect(page.get_by_role("button", name="显示完整信息")).to_have_count(0)
    csrf = page.locator("input[name=csrf]").first.get_attribute("value") or ""
    answer = page.request.post(f"/tickets/{ticket}/reveal", form={"csrf": csrf})
    assert answer.status == 403
    assert REPORTER["phone"] not in answer.text()


def test_a_unit_does_not_see_the_tickets_of_others(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("别的单位的事", unit="CG")
    page = signed_in("wang")
    answer = page.goto(f"/tickets/{ticket}")
    assert answer is not None
    assert answer.status == 404
    page.goto("/tickets?q=别的单位的事")
    expect(page.get_by_text("没有符合条件的工单")).to_be_visible()


def test_what_a_citizen_wrote_is_shown_and_never_run(signed_in: SignIn, site: Site) -> None:
    wicked = "<img src=x onerror=document.title='x'><script>document.title='x'</script>{{7*7}}"
    ticket = site.push(wicked, unit="GA-01", content=wicked, address=wicked)
    page = signed_in("chen")
    page.goto(f"/tickets/{ticket}")
    expect(page.get_by_role("heading", level=1)).to_have_text(wicked)
    expect(page).not_to_have_title("x")
    expect(page.locator("main img, main script")).to_have_count(0)
