"""Signing in, the first password, the language, and what a wrong address says, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app import clock
from app.services.access import accounts
from tests.browser.server import PASSWORD, Site

SignIn = Callable[..., Page]


def test_a_wrong_password_is_refused_and_the_name_stays(page: Page, site: Site) -> None:
    page.goto(site.address)
    expect(page).to_have_url(re.compile(r"/signin$"))
    page.fill("#name", "chen")
    page.fill("#password", "not the password")
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("alert")).to_have_text("用户名或密码不正确")
    expect(page.locator("#name")).to_have_value("chen")


def test_a_person_goes_where_they_were_going_before_the_sign_in(page: Page, site: Site) -> None:
    page.goto(f"{site.address}/tickets?card=red")
    page.fill("#name", "chen")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    expect(page).to_have_url(f"{site.address}/tickets?card=red")


def test_a_one_time_password_is_changed_before_anything_else(page: Page, site: Site) -> None:
    with site.runtime.database.write() as session:
        _, password = accounts.create_user(session, "newcomer", "leader", display_name="新来的", now=clock.now())
    page.goto(f"{site.address}/signin")
    page.fill("#name", "newcomer")
    page.fill("#password", password)
    page.press("#password", "Enter")
    expect(page).to_have_url(f"{site.address}/password")
    page.goto(f"{site.address}/tickets")
    expect(page).to_have_url(f"{site.address}/password")
    page.fill("#old", password)
    page.fill("#new", "my own long one")
    page.fill("#again", "my own other one")
    page.click("text=保存新密码")
    expect(page.get_by_role("alert")).to_have_text("两次输入的新密码不一致")
    page.fill("#old", password)
    page.fill("#new", "my own long one")
    page.fill("#again", "my own long one")
    page.click("text=保存新密码")
    expect(page.get_by_role("heading", name="预警看板")).to_be_visible()


def test_the_language_is_kept_for_the_person(signed_in: SignIn) -> None:
    page = signed_in("qian")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Alert board")).to_be_visible()
    page.goto("/tickets")
    expect(page.get_by_role("heading", name="Tickets", level=1)).to_be_visible()
    elsewhere = signed_in("qian")
    expect(elsewhere.locator("html")).to_have_attribute("lang", "en")
    elsewhere.get_by_role("button", name="中文").click()
    expect(elsewhere.get_by_role("heading", name="预警看板")).to_be_visible()


def test_the_address_can_ask_for_a_language(page: Page, site: Site) -> None:
    page.goto(f"{site.address}/signin?lang=en")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{site.address}/signin")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_out_ends_the_session_in_every_tab(signed_in: SignIn) -> None:
    page = signed_in("sun")
    other = page.context.new_page()
    page.get_by_role("button", name="退出").click()
    expect(page).to_have_url(re.compile(r"/signin$"))
    other.goto("/tickets")
    expect(other).to_have_url(re.compile(r"/signin\?next="))


def test_a_wrong_address_says_so_in_words(signed_in: SignIn) -> None:
    page = signed_in("chen")
    assert page.goto("/no/such/page").status == 404  # type: ignore[union-attr]
    expect(page.get_by_role("heading", name="没有这个页面")).to_be_visible()
    assert page.goto("/tickets/999999").status == 404  # type: ignore[union-attr]
    expect(page.get_by_text("没有编号为 999999 的工单")).to_be_visible()


def test_a_program_that_goes_astray_gets_no_page(site: Site, page: Page) -> None:
    answer = page.request.get(f"{site.address}/api/v1/nothing")
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "path", ["/signout", "/language", "/password", "/alerts/1/ack", "/tickets/1/act/accept", "/tickets/1/reveal"]
)
def test_a_form_without_the_sessions_secret_is_refused(signed_in: SignIn, path: str) -> None:
    page = signed_in("chen")
    answer = page.request.post(path, form={"csrf": "guessed"}, max_redirects=0)
    assert answer.status == 403


def test_a_form_from_another_site_is_refused(site: Site, page: Page) -> None:
    answer = page.request.post(
        f"{site.address}/signin", form={"name": "chen", "password": PASSWORD}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status == 403


def test_the_cookie_of_a_session_is_out_of_reach_for_scripts(signed_in: SignIn) -> None:
    page = signed_in("chen")
    cookie = next(c for c in page.context.cookies() if c["name"] == "duban_session")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert page.evaluate("document.cookie") == ""
