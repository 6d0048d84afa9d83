"""Reports and the clear-out list in a real browser: made, read, opened down to the tickets, saved, planned."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app import clock
from reports.period import last_ended
from tests.browser.server import Site

SignIn = Callable[..., Page]
ZONE = "Asia/Shanghai"


def last(kind: str) -> str:
    return last_ended(kind, clock.now(), ZONE).key


@pytest.fixture(scope="module")
def told(site: Site) -> Site:
    """Three tickets of last month: two completed, one still open and long overdue."""
    end = last_ended("monthly", clock.now(), ZONE).end
    days = (clock.now() - end) / timedelta(days=1) + 20
    for n, unit in enumerate(("GA-01", "GA-01", "CG")):
        ticket = site.push(f"上月的第 {n} 件事", days_ago=days, unit=unit, accept=True)
        if n < 2:
            site.act(ticket, "complete", result="已办结", at=(end - timedelta(days=19)).isoformat())
    return site


def make(page: Page, kind: str) -> None:
    page.goto("/reports")
    page.select_option("#kind", kind)
    expect(page.locator("#period")).to_have_value(last(kind))
    page.get_by_role("button", name="生成").click()
    page.wait_for_url(re.compile(r"/(reports|clear-out)/\w"))


def figure(page: Page, label: str) -> str:
    cell = page.locator(".figure").filter(has=page.locator(".figure-label", has_text=re.compile(f"^{label}$")))
    return cell.locator(".figure-value").inner_text()


def test_a_report_is_made_and_each_figure_opens_as_many_tickets(signed_in: SignIn, told: Site) -> None:
    page = signed_in("chen")
    make(page, "monthly")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"月报 {last('monthly')}")
    assert (figure(page, "受理量"), figure(page, "办结量"), figure(page, "办结率")) == ("3", "2", "66.67 %")
    expect(page.locator(".figure").filter(has_text="办结率").first).to_contain_text("2 / 3")
    address = page.url
    for label in ("受理量", "办结量", "在办量", "超期量"):
        page.goto(address)
        said = figure(page, label)
        page.get_by_role("link", name=re.compile(f"^{label}")).first.click()
        expect(page.get_by_text(f"共 {said} 件")).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(int(said))


def test_a_row_of_a_breakdown_opens_its_own_tickets(signed_in: SignIn, told: Site) -> None:
    page = signed_in("chen")
    make(page, "monthly")
    row = page.locator(".breakdown").first.locator("tr", has_text="城东派出所")
    row.get_by_role("link", name="2", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("受理量 · 城东派出所")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_the_same_report_made_again_is_the_same_edition(signed_in: SignIn, told: Site) -> None:
    page = signed_in("chen")
    make(page, "weekly")
    first = page.url
    make(page, "weekly")
    expect(page).to_have_url(first)


def test_the_files_are_those_of_the_report_on_the_screen(signed_in: SignIn, told: Site, tmp_path: Path) -> None:
    page = signed_in("chen")
    make(page, "monthly")
    for format_, name in (("json", "JSON"), ("csv", "CSV"), ("xlsx", "Excel 工作簿")):
        with page.expect_download() as caught:
            page.get_by_role("link", name=name).click()
        assert caught.value.suggested_filename == f"monthly-{last('monthly')}.{format_}"
        caught.value.save_as(tmp_path / format_)
    document = json.loads((tmp_path / "json").read_text("utf-8"))
    assert str(document["figures"]["received"]["value"]) == figure(page, "受理量")
    assert (tmp_path / "xlsx").read_bytes().startswith(b"PK")


def test_a_period_that_is_none_is_refused_with_what_was_typed(signed_in: SignIn, told: Site) -> None:
    page = signed_in("chen")
    page.goto("/reports")
    page.fill("#period", "2026-13")
    page.get_by_role("button", name="生成").click()
    expect(page.get_by_role("alert")).to_contain_text("2026-13")
    expect(page.locator("#period")).to_have_value("2026-13")


def test_who_may_not_make_reports_finds_no_form_and_may_read(signed_in: SignIn, told: Site) -> None:
    office = signed_in("chen")
    make(office, "monthly")
    path = office.url
    page = signed_in("qian")
    page.goto("/reports")
    expect(page.get_by_role("button", name="生成")).to_have_count(0)
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_contain_text("月报")
    unit = signed_in("wang")
    answer = unit.goto(path)
    assert answer is not None
    assert answer.status == 404


def test_the_clear_out_list_is_read_and_planned(signed_in: SignIn, told: Site) -> None:
    page = signed_in("sun")
    make(page, "clear-out")
    expect(page).to_have_url(re.compile(rf"/clear-out/{last('clear-out')}$"))
    row = page.locator("tbody tr", has_text="上月的第 2 件事")
    expect(row).to_contain_text("超期")
    row.get_by_text("填写安排").click()
    row.get_by_label("包案领导").fill("孙局长")
    row.get_by_label("化解措施").fill("现场协调，一周内办结。")
    row.get_by_label("销号条件").fill("群众回访满意")
    row.get_by_role("button", name="保存").click()
    expect(row).to_contain_text("包案领导：孙局长")
    expect(row).to_contain_text("现场协调，一周内办结。")
    page.locator(".reasons .chip").first.click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_plan_made_from_an_older_state_is_refused_and_kept(signed_in: SignIn, told: Site) -> None:
    first, second = signed_in("sun"), signed_in("chen")
    make(first, "clear-out")
    rows = [page.locator("tbody tr", has_text="上月的第 2 件事") for page in (first, second)]
    second.goto("/clear-out")
    for row, leader in zip(rows, ("先改的人", "后改的人"), strict=True):
        row.get_by_text("填写安排").click()
        row.get_by_label("包案领导").fill(leader)
    rows[0].get_by_role("button", name="保存").click()
    expect(rows[0]).to_contain_text("先改的人")
    rows[1].get_by_role("button", name="保存").click()
    expect(second.get_by_role("alert")).to_contain_text("版本")
    expect(rows[1].get_by_label("包案领导")).to_have_value("后改的人")


def test_a_month_without_a_list_says_when_there_will_be_one(signed_in: SignIn, told: Site) -> None:
    page = signed_in("chen")
    page.goto("/clear-out/2099-01")
    expect(page.get_by_text("尚未形成")).to_be_visible()
    answer = page.goto("/clear-out/2099-13")
    assert answer is not None
    assert answer.status == 422
