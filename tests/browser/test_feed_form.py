"""A feed added in the console: from a template, its mistakes named by line, tried without storing, kept, changed."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from app.store.feeds import all_feeds
from tests.browser.conftest import SignIn
from tests.browser.server import Site

TOML = """
name = "{name}"
kind = "rest"
title = {{ zh = "试验热线", en = "Trial hotline" }}
source = {{ code = "{name}", zh = "试验热线", en = "Trial hotline" }}
base_url = "http://127.0.0.1:9"

[limits]
every_seconds = {every}

[request]
path = "/x"

[window]
since = "since"

[mapping]
time_zone = "Asia/Shanghai"

[mapping.fields]
external_id = "id"
title = "title"
"""


def test_a_feed_form_names_mistakes_by_line_and_saves_changes(signed_in: SignIn, site: Site) -> None:
    page = signed_in("admin")
    page.goto("/feeds")
    page.get_by_role("link", name="添加接入源").click()
    expect(page.get_by_label("配置（TOML）")).to_have_value(re.compile("12345"))
    page.get_by_label("模板").select_option("open311")
    page.wait_for_url("**template=open311*")
    page.get_by_label("配置（TOML）").fill(TOML.format(name="formed", every=1))
    page.get_by_role("button", name="检查").click()
    expect(page.get_by_role("alert")).to_contain_text("第 9 行")
    expect(page.get_by_role("alert")).to_contain_text("/limits/every_seconds")
    page.get_by_label("配置（TOML）").fill(TOML.format(name="formed", every=3600))
    page.get_by_role("button", name="试取一页").click()
    expect(page.get_by_role("alert")).to_be_visible()  # nobody answers there
    with site.runtime.database.read() as session:
        assert "formed" not in {each.name for each in all_feeds(session)}
    page.get_by_role("button", name="保存", exact=True).click()
    page.wait_for_url("**/feeds/formed")
    page.get_by_role("link", name="修改接入源").click()
    page.get_by_label("配置（TOML）").fill(TOML.format(name="other", every=3600))
    page.get_by_role("button", name="保存", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("名称不能更改")


def test_who_may_not_change_feeds_finds_no_form(signed_in: SignIn, site: Site) -> None:
    page = signed_in("li")
    page.goto("/feeds")
    expect(page.get_by_role("link", name="添加接入源")).to_have_count(0)
    answer = page.goto("/feeds/+new")
    assert answer is not None
    assert answer.status == 403
