"""A file brought, its mapping made, tried and saved, the file taken in; in a real browser, as a clerk does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import xlsxwriter
from playwright.sync_api import expect

from app import clock
from ingest.files.importer import import_file
from ingest.profile_wizard.saved import named_profile
from ingest.rows.profile import load_profile
from tests.browser.conftest import SignIn
from tests.browser.server import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

LETTERS = """信件编号,信件标题,来信时间,信件类型,说明
1,路灯不亮,2026/1/5 9:00,投诉,x
2,井盖缺失,昨天,投诉,y
3,咨询社保,2026/1/6,闲聊,z
"""


@pytest.fixture
def clerk(signed_in: SignIn) -> Page:
    """A page of the dispatcher."""
    return signed_in("li")


def bring(page: Page, path: Path) -> None:
    page.goto("/imports")
    page.set_input_files("#file", path)
    page.get_by_role("button", name="上传").click()


def letters(folder: Path, name: str, text: str = LETTERS) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def counts(page: Page) -> list[int]:
    """What the preview says: tickets, rejects, repeated rows."""
    expect(page.locator("#preview:not([aria-busy])")).to_be_visible()
    return [int(text) for text in page.locator("#preview .counts dd").all_inner_texts()]


def test_a_mapping_is_previewed_on_change_saved_and_reloaded(clerk: Page, site: Site, tmp_path: Path) -> None:
    bring(clerk, letters(tmp_path, "某市来信.csv"))
    expect(clerk.get_by_role("heading", name="核对：某市来信.csv")).to_be_visible()
    assert counts(clerk) == [1, 2, 0]
    expect(clerk.locator("[id='col.received_at']")).to_have_value("c:来信时间")
    expect(clerk.locator(".wordline.unplaced label")).to_contain_text("闲聊")
    clerk.locator(".wordline").filter(has_text="闲聊").get_by_role("combobox").select_option("consult")
    expect(clerk.locator("#preview .counts .good dd")).to_have_text("2")
    clerk.locator("[id='col.received_at']").select_option("")
    expect(clerk.locator("#preview .counts .good dd")).to_have_text("3")
    clerk.locator("[id='col.received_at']").select_option("c:来信时间")
    expect(clerk.locator("#preview .counts .good dd")).to_have_text("2")
    clerk.locator("[id='col.external_id']").select_option("")
    expect(clerk.locator("#preview .refusal")).to_contain_text("请先选择")
    clerk.locator("[id='col.external_id']").select_option("c:信件编号")
    clerk.fill("#title", "某市来信")
    clerk.fill("#name", "letters")
    clerk.get_by_role("button", name="保存并导入").click()
    expect(clerk.get_by_role("heading", name="导入完成")).to_be_visible()
    expect(clerk.locator("#state .counts dd")).to_have_text(["2", "1", "0"])
    clerk.get_by_role("link", name="处理拒收的行").click()
    expect(clerk.locator(".groups")).to_contain_text("时间的写法无法识别")
    kinds = {t["title"]: t["kind"] for t in site.call("GET", "/tickets?source=letters")["items"]}
    assert kinds == {"路灯不亮": "complaint", "咨询社保": "consult"}

    later = (
        LETTERS.replace("昨天", "2026/2/5").replace("\n1,", "\n11,").replace("\n2,", "\n12,").replace("\n3,", "\n13,")
    )
    bring(clerk, letters(tmp_path, "二月.csv", later))
    expect(clerk.get_by_role("status").first).to_contain_text("与已保存的配置“某市来信”相符")
    assert counts(clerk) == [3, 0, 0]
    clerk.get_by_role("button", name="保存并导入").click()
    expect(clerk.get_by_role("heading", name="导入完成")).to_be_visible()
    assert (site.runtime.settings.data_dir / "profiles" / "letters.toml").is_file()
    assert list((site.runtime.settings.data_dir / "uploads").glob("*/file")) == []


def test_a_sheet_is_chosen_and_a_merged_header_is_read(clerk: Page, tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name in ("一月", "二月"):
            sheet = book.add_worksheet(name)
            sheet.merge_range("A1:D1", f"{name}工单明细")
            sheet.merge_range("A2:A3", "工单编号")
            sheet.merge_range("B2:C2", "诉求人")
            sheet.write_row("B3", ["姓名", "电话"])
            sheet.merge_range("D2:D3", "标题")
            sheet.write_row("A4", [f"{name}-1", "张三", "13812345678", "路灯"])
    bring(clerk, path)
    expect(clerk.locator(".first-rows th").nth(2)).to_have_text("诉求人 姓名")
    clerk.select_option("#sheet", "二月")
    expect(clerk.locator(".first-rows td").nth(1)).to_have_text("二月-1")
    expect(clerk.locator("[id='col.reporter.phone']")).to_have_value("c:诉求人 电话")
    expect(clerk.locator(".first-tickets")).to_contain_text("二月-1")


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", b"%PDF-1.7 no table"), ("y.csv", b""), ("z.zip", b"PK\x03\x04broken")]
)
def test_what_is_no_table_is_said_where_it_was_brought(clerk: Page, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    bring(clerk, tmp_path / name)
    expect(clerk.get_by_role("alert")).to_be_visible()
    expect(clerk.get_by_role("button", name="上传")).to_be_enabled()


def test_a_taken_name_and_a_bad_zone_are_reported_keeping_input(clerk: Page, tmp_path: Path) -> None:
    bring(clerk, letters(tmp_path, "third.csv"))
    clerk.fill("#name", "pingshan")
    clerk.fill("#title", "另一个市")
    clerk.get_by_role("button", name="只保存配置").click()
    expect(clerk.get_by_role("alert")).to_contain_text("内置配置的名称")
    expect(clerk.locator("#title")).to_have_value("另一个市")
    clerk.fill("#name", "third")
    clerk.fill("#time_zone", "Asia/Beijing")
    clerk.get_by_role("button", name="只保存配置").click()
    expect(clerk.get_by_role("alert")).to_contain_text("没有时区")
    clerk.fill("#time_zone", "Asia/Shanghai")
    clerk.get_by_role("button", name="只保存配置").click()
    expect(clerk.get_by_role("status").first).to_contain_text("duban import --profile third")
    clerk.get_by_role("button", name="放弃此文件").click()
    expect(clerk.get_by_role("heading", name="导入", exact=True)).to_be_visible()


def test_a_file_is_uploaded_and_imported_without_javascript(signed_in: SignIn, site: Site, tmp_path: Path) -> None:
    page = signed_in("li", scripts=False)
    bring(page, letters(tmp_path, "plain.csv", LETTERS.replace("信件", "来函")))
    page.select_option("[id='col.external_id']", "c:来函编号")
    page.select_option("[id='col.title']", "c:来函标题")
    page.get_by_role("button", name="刷新预览").click()
    assert counts(page)[0] >= 1
    page.fill("#name", "plain")
    page.get_by_role("button", name="保存并导入").click()
    expect(page.locator("#state")).to_be_visible()
    for _ in range(50):  # nothing looks again by itself
        if page.get_by_role("heading", name="导入完成").count():
            break
        page.reload()
    assert [t["source"] for t in site.call("GET", "/tickets?source=plain")["items"]]


def test_a_role_that_may_not_import_sees_no_link_and_gets_403(signed_in: SignIn) -> None:
    page = signed_in("sun")
    expect(page.get_by_role("link", name="导入")).to_have_count(0)
    for address in ("/imports", "/rejects"):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 403


# -------------------------------------------------------------------------------------------------------------- rejects


def rejected(site: Site, *rows: dict[str, Any]) -> None:
    """Push rows of which none can be taken."""
    made = site.call("POST", "/tickets/batch", key=site.pusher, json=list(rows))
    assert made["rejected"] == len(rows), made


def test_a_rejected_push_is_corrected_and_the_next_one_is_shown(clerk: Page, site: Site) -> None:
    rejected(
        site,
        {"external_id": "P1", "title": "路灯不亮", "unit": "nowhere", "latitude": "31.2"},
        {"external_id": "P2", "reporter": {"phone": "1" * 50}, "attributes": {"渠道": ["a", 1]}},
    )
    clerk.goto("/rejects?door=batch")
    clerk.keyboard.press("j")
    expect(clerk.locator("a[data-reject]").first).to_be_focused()
    clerk.keyboard.press("Enter")
    expect(clerk.locator(".cell.wrong label")).to_have_text(["reporter.phone", "title"])
    clerk.get_by_label("reporter.phone").fill("13812345678")
    clerk.get_by_role("button", name="更正后接收").click()
    expect(clerk.locator(".cell.wrong label")).to_have_text(["title"])
    expect(clerk.get_by_label("reporter.phone")).to_have_value("13812345678")
    clerk.get_by_label("title").fill("井盖缺失")
    clerk.keyboard.press("Enter")
    expect(clerk.get_by_role("status").first).to_contain_text("上一行已接收")
    clerk.get_by_label("unit").fill("GA-01")
    clerk.get_by_label("latitude").fill("31.2")
    clerk.get_by_role("button", name="更正后接收").click()
    expect(clerk.get_by_role("status").first).to_contain_text("已接收 1 行")
    found = {t["external_id"]: t for t in site.call("GET", "/tickets?source=12345")["items"]}
    assert found["P2"]["attributes"] == {"渠道": ["a", 1]}
    assert (found["P1"]["unit"], found["P1"]["latitude"]) == ("GA-01", 31.2)


def test_a_reject_group_is_retried_and_discard_is_confirmed(clerk: Page, site: Site) -> None:
    rejected(
        site,
        *({"external_id": f"G{n}", "title": "x", "unit": "NEW"} for n in range(3)),
        {"external_id": "G9", "title": ""},
    )
    site.call("POST", "/units", json={"code": "NEW", "name": "新单位"})
    clerk.goto("/rejects?door=batch")
    group = clerk.locator(".groups tr").filter(has_text="引用的编码不存在")
    group.get_by_role("button", name="重试").click()
    expect(clerk.get_by_role("status").first).to_contain_text("已接收 3 行")
    expect(group).to_have_count(0)
    empty = clerk.locator(".groups tr").filter(has_text="必填内容为空")
    empty.get_by_text("丢弃", exact=True).click()
    assert len(site.call("GET", "/rejects?reason=string_too_short")["items"]) == 1
    empty.get_by_role("button", name="确认丢弃 1 行").click()
    expect(clerk.get_by_role("status").first).to_contain_text("已丢弃 1 行")
    assert site.call("GET", "/rejects?reason=string_too_short")["items"] == []
    clerk.goto("/rejects?state=deleted")
    clerk.locator("a[data-reject]").first.click()
    expect(clerk.get_by_role("heading", name="已丢弃")).to_be_visible()
    expect(clerk.get_by_role("button", name="更正后接收")).to_have_count(0)


def test_a_short_row_is_fixed_by_column_and_broken_json_as_text(clerk: Page, site: Site, tmp_path: Path) -> None:
    bring(
        clerk,
        letters(tmp_path, "torn.csv", "信件编号,信件标题,来信时间\nT1,少了一格\nT2,多,了,一格\nT3,好的,2026/1/5\n"),
    )
    clerk.fill("#name", "torn")
    clerk.get_by_role("button", name="保存并导入").click()
    clerk.get_by_role("link", name="处理拒收的行").click()
    clerk.locator("a[data-reject]").first.click()
    expect(clerk.locator(".notice")).to_contain_text("一格")
    clerk.get_by_label("信件标题").fill("多了一格")
    clerk.get_by_label("来信时间").fill("2026/1/6")
    clerk.get_by_role("button", name="更正后接收").click()
    expect(clerk.get_by_label("信件标题")).to_have_value("少了一格")
    clerk.get_by_role("button", name="更正后接收").click()
    expect(clerk.get_by_role("status").first).to_contain_text("已接收 1 行")
    titles = {t["title"] for t in site.call("GET", "/tickets?source=torn")["items"]}
    assert titles == {"多了一格", "少了一格", "好的"}

    lines = [json.dumps({"id": n, "subject": f"第 {n} 件"}, ensure_ascii=False) for n in range(1, 4)]
    bring(clerk, letters(tmp_path, "calls.ndjson", "\n".join([*lines, '{"id": 9, "subject": "少一个引号}'])))
    clerk.fill("#name", "calls")
    clerk.get_by_role("button", name="保存并导入").click()
    clerk.get_by_role("link", name="处理拒收的行").click()
    clerk.locator("a[data-reject]").first.click()
    clerk.get_by_label("该行无法按列拆开").fill('{"id": 9, "subject": "少一个引号"}')
    clerk.get_by_role("button", name="更正后接收").click()
    expect(clerk.get_by_role("status").first).to_contain_text("已接收 1 行")


def test_unknown_words_get_codes_and_their_rows_are_imported(clerk: Page, site: Site, tmp_path: Path) -> None:
    rows = "".join(f"W{n},第{n}件,2026/1/5,{'闲聊' if n < 4 else '其他'}\n" for n in range(6))
    path = letters(tmp_path, "words.csv", "编号,标题,受理时间,类型\n" + rows)
    done = import_file(site.runtime, path, load_profile("duban"), clock.now())
    clerk.goto(f"/rejects?run={done.run_id}")
    clerk.locator(".groups").get_by_role("link", name="补充代码").click()
    expect(clerk.locator(".wordline label")).to_have_text(["类型 闲聊 4 行", "类型 其他 2 行"])
    clerk.get_by_label("闲聊").select_option("consult")
    clerk.get_by_role("button", name="保存并重试").click()
    expect(clerk.get_by_role("status").first).to_contain_text("已接收 4 行，仍拒收 2 行")
    folder = site.runtime.settings.data_dir / "profiles"
    assert named_profile("duban", folder).values["kind"]["闲聊"] == "consult"
    found = {t["external_id"]: t["kind"] for t in site.call("GET", "/tickets?source=import&limit=500")["items"]}
    assert {found[f"W{n}"] for n in range(4)} == {"consult"}
    (folder / "duban.toml").unlink()


def test_the_menu_counts_what_waits_for_whoever_can_see_to_it(signed_in: SignIn, site: Site) -> None:
    rejected(site, {"external_id": "M1", "title": ""})
    waiting = len(site.call("GET", "/rejects?limit=500")["items"])
    page = signed_in("li")
    expect(page.locator(".tabs .count")).to_have_text(str(waiting))
    expect(signed_in("chen").locator(".tabs .count")).to_have_count(0)


PRESSED_TWICE = """async (which) => {
  const button = document.querySelector(which);
  button.click();
  await new Promise((later) => setTimeout(later));
  button.click();
  return button.disabled;
}"""
"""In the page itself: whoever asks from outside waits for what the first press leads to. Says whether it took no second."""


def test_discarding_is_submitted_once_despite_repeated_clicks(clerk: Page, site: Site) -> None:
    rejected(site, {"external_id": "D1", "title": ""}, {"external_id": "D2", "title": ""})
    clerk.goto("/rejects?door=batch&reason=string_too_short")
    clerk.locator("a[data-reject]").first.click()
    sent: list[Route] = []
    clerk.route(
        "**/rejects/*", lambda route: sent.append(route) if route.request.method == "POST" else route.fallback()
    )
    clerk.locator("summary").filter(has_text="丢弃").click()
    with clerk.expect_request(lambda request: request.method == "POST"):
        assert clerk.evaluate(PRESSED_TWICE, "button[value=discard]"), "it can be pressed while the answer is awaited"
    while not sent:
        clerk.wait_for_timeout(10)
    (once,) = sent
    once.continue_()
    expect(clerk.get_by_role("status").first).to_contain_text("已丢弃 1 行")
    expect(clerk.get_by_role("button", name="更正后接收")).to_be_visible()  # the next of its kind
    discarded = site.call("GET", "/rejects?state=deleted&limit=500")["items"]
    assert once.request.url.rpartition("/")[2] in {str(reject["id"]) for reject in discarded}
