"""A clerk brings files that nobody has seen before: the spreadsheets of the Taidi cup, from the upload to the tickets."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn
from tests.browser.server import Site


class Counted:
    """A page whose clicks, choices and typed fields are counted, as what a clerk has to do."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0

    def click(self, name: str, *, link: bool = False) -> None:
        self.steps += 1
        self.page.get_by_role("link" if link else "button", name=name, exact=True).click()

    def choose(self, field: str, value: str) -> None:
        self.steps += 1
        self.page.locator(f"[id='{field}']").select_option(value)

    def type(self, field: str, text: str) -> None:
        self.steps += 1
        self.page.fill(f"#{field}", text)

    def bring(self, path: Path) -> None:
        self.steps += 1
        self.page.set_input_files("#file", path)
        self.click("上传")


@pytest.fixture
def clerk(signed_in: SignIn) -> Counted:
    """The dispatcher, on the first page."""
    return Counted(signed_in("li"))


def test_letters_with_their_answers_are_tickets_after_six_steps(clerk: Counted, site: Site, real_data: Path) -> None:
    page = clerk.page
    clerk.click("导入", link=True)
    clerk.bring(real_data / "taidi_att4_sample120.xlsx")
    expect(page.locator("#preview .counts dd").nth(0)).to_have_text("120")
    expect(page.locator("#preview .counts dd").nth(1)).to_have_text("0")
    clerk.type("title", "网上信访（附答复）")
    clerk.choose("col.kind", "k:consult")
    expect(page.locator(".first-tickets li").first).to_contain_text("咨询")
    clerk.click("保存并导入")
    expect(page.get_by_role("heading", name="导入完成")).to_be_visible()
    expect(page.locator("#state .counts dd")).to_have_text(["120", "0", "0"])
    assert clerk.steps == 6
    first = site.call("GET", "/tickets?source=taidi-att4-sample120&external_id=2549")["items"][0]
    whole = site.call("GET", f"/tickets/{first['id']}")
    assert (whole["status"], whole["kind"], whole["historical"]) == ("completed", "consult", True)
    assert (whole["received_at"], whole["completed_at"]) == ("2019-04-25T09:32:09+08:00", "2019-05-10T14:56:53+08:00")
    assert whole["result"].startswith("现将网友")


def test_labelled_messages_keep_categories_and_fix_conflicts(clerk: Counted, site: Site, real_data: Path) -> None:
    page = clerk.page
    clerk.click("导入", link=True)
    clerk.bring(real_data / "taidi_att2_sample495.xlsx")
    expect(page.locator("#preview .counts dd").nth(0)).to_have_text("494")
    expect(page.locator("#preview .reason")).to_contain_text("编号相同而内容不同")
    clerk.type("title", "群众留言")
    clerk.click("保存并导入")
    expect(page.get_by_role("heading", name="导入完成")).to_be_visible()
    expect(page.locator("#state .counts dd")).to_have_text(["494", "1", "0"])
    clerk.click("处理拒收的行", link=True)
    page.locator("a[data-reject]").first.click()
    page.get_by_label("留言编号").fill("37042-2")
    clerk.click("更正后接收")
    expect(page.get_by_role("status").first).to_contain_text("已接收 1 行")
    names = {category["name"] for category in site.call("GET", "/categories")["items"]}
    assert {"劳动和社会保障", "城乡建设", "教育文体", "卫生计生", "交通运输", "商贸旅游", "环境保护"} <= names
    assert len(site.call("GET", "/tickets?source=taidi-att2-sample495&limit=500")["items"]) == 495
