"""Each page for everybody: named fields, ordered headings, contrast, a phone's width, a keyboard alone, both languages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app import clock
from app.models import FeedPull
from app.security.principal import Principal
from app.services.intake import feeds
from ingest.files.importer import import_file
from ingest.files.jobs import uploads_of
from ingest.rows.profile import load_profile
from reports import service
from reports.period import last_ended
from tests.browser.server import Site

SignIn = Callable[..., Page]

CHECKS = """() => {
  const found = [];
  const named = (e) => (e.getAttribute("aria-label") || e.innerText || e.value || e.title || "").trim();
  const shown = (e) => e.checkVisibility();
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!e.labels?.length && !e.getAttribute("aria-label")) found.push("no label: " + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll("a[href], button, summary"))
    if (shown(e) && !named(e)) found.push("no name: " + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll("img:not([alt]), svg:not([aria-hidden]):not([role=img])"))
    found.push("no alternative: " + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll("svg[role=img]:not([aria-label]):not([aria-labelledby])"))
    found.push("a picture without words: " + e.outerHTML.slice(0, 80));
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((e) => Number(e.tagName[1]));
  if (levels.filter((n) => n === 1).length !== 1) found.push("headings of the first level: " + levels);
  levels.forEach((n, i) => { if (i && n > levels[i - 1] + 1) found.push("a heading level is left out: " + levels); });
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  ids.forEach((id, i) => { if (ids.indexOf(id) !== i) found.push("an id twice: " + id); });
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const name of ["aria-labelledby", "aria-describedby"])
      for (const id of (e.getAttribute(name) || "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) found.push(name + " leads nowhere: " + id);
  for (const e of document.querySelectorAll("table")) if (!e.caption) found.push("a table without a caption");
  for (const e of document.querySelectorAll("th:not([scope])")) found.push("th without scope: " + e.innerText);
  if (!document.querySelector("main")) found.push("no main");
  if (!document.title.trim()) found.push("no title");
  if (!document.documentElement.lang) found.push("no language");
  return found;
}"""

CONTRAST = """() => {
  const rgb = (text) => { const m = text.match(/[\\d.]+/g).map(Number); return { c: m.slice(0, 3), a: m[3] ?? 1 }; };
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest(".sr, option, .skip")) continue;
    const style = getComputedStyle(e);
    let ground = null;
    for (let up = e; up && !ground; up = up.parentElement) {
      const shade = rgb(getComputedStyle(up).backgroundColor);
      if (shade.a === 1) ground = shade.c;
    }
    ground ??= rgb(getComputedStyle(document.documentElement).backgroundColor).c;
    const [hi, lo] = [light(rgb(style.color).c), light(ground)].sort((a, b) => b - a);
    const ratio = (hi + 0.05) / (lo + 0.05);
    const big = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    const what = `${walk.currentNode.data.trim().slice(0, 20)} (${e.className || e.tagName})`;
    if (ratio < (big ? 3 : 4.5)) found.add(`${ratio.toFixed(2)}: ${what}`);
  }
  return [...found];
}"""


@pytest.fixture(scope="module")
def pages(site: Site) -> list[str]:
    """Addresses of every page, with something on each."""
    ticket = site.push("夜间施工噪声扰民，影响老人和孩子休息，多次反映没有结果，请求尽快处理并答复", days_ago=30, unit="GA-01",
                       accept=True, content="来电人反映……" * 20, kind="complaint", category="ENV-01", priority="urgent",
                       address="东湖路 18 号东湖小区 3 栋", reporter={"name": "张三丰", "phone": "13812345678"})  # fmt: skip
    other = site.push("Verylongwordwithoutanyspaces" * 5, days_ago=3, unit="CG")
    site.push("还没派单的事")
    site.sweep()
    site.act(ticket, "complete", result="已约谈施工方。")
    site.call("POST", f"/tickets/{ticket}/callbacks", json={"outcome": "reached", "satisfaction": "dissatisfied"})
    chen, now = Principal("user:chen", "陈督办", "supervisor"), clock.now()
    month, day = (last_ended(kind, now, "Asia/Shanghai").key for kind in ("monthly", "daily"))
    report = service.produce(site.runtime, chen, "daily", day, now=now).id
    service.produce(site.runtime, chen, "clear-out", month, now=now)
    feed = some_feed(site)
    upload, reject, settled = some_files(site)
    return [
        "/", "/?card=yellow", "/?wall=1", "/password", "/nowhere",
        "/tickets", "/tickets?unit=GA", "/tickets?q=nothing", f"/tickets/{ticket}", f"/tickets/{other}",
        "/reports", f"/reports/{report}", f"/reports/{report}/tickets?figure=open",
        f"/clear-out/{month}", "/clear-out/2020-01", "/feeds", "/feeds/+new", f"/feeds/{feed}", "/glossary",
        "/calendar", "/calendar?day=2031-01-01", f"/tickets/{ticket}/deadlines/complete",
        "/policies", "/policies?ask=1&kind=dispute&severity=grave", "/policies/complex", "/policies/+new",
        "/policies/+replay?policy=default",
        "/imports", f"/imports/{upload}", f"/imports/{upload}?profile=duban", "/rejects", "/rejects?state=all", "/rejects/words",
        f"/rejects/{reject}", f"/rejects/{settled}",
    ]  # fmt: skip


def some_feed(site: Site) -> str:
    """A feed that fails, was asked for, and has a log with all that a log can have; its name."""
    made = site.call(
        "POST", "/feeds", json={"template": "hotline12345", "base_url": "https://12345.example.invalid/api"}
    )
    now = clock.now()
    compared = {"day": "2026-03-14", "upstream": 12, "here": 11, "missing": 3, "still_count": 2, "rejected": ["A1"],
                "still_missing": ["A1", "A2"], "extra": [f"B{n:020d}" for n in range(30)], "extra_count": 40}  # fmt: skip
    told = {"code": "upstream", "zh": "上游应答 500：" + "x" * 120, "en": "the upstream answered 500: " + "x" * 120}
    with site.runtime.database.write() as session:
        feed = feeds.need(session, made["name"])
        assert feed.id is not None
        feed.last_error, feed.failures, feed.open_until, feed.skew_seconds = told, 4, now + timedelta(hours=1), -300
        feed.last_done_at = feed.newest_at = now - timedelta(days=2)
        feed.pull_asked_by = "user:li"
        for n, (kind, state, error, detail) in enumerate((
            ("pull", "done", None, None), ("pull", "failed", told, None), ("pull", "running", None, None),
            ("pull", "stopped", told, {"failed": ["a-very-long-name-of-a-file" * 4]}),
            ("reconcile", "done", None, compared), ("reconcile", "failed", told, None),
        )):  # fmt: skip
            session.add(FeedPull(
                feed_id=feed.id, kind=kind, state=state, error=error, detail=detail, actor="user:li", created=n,
                started_at=now - timedelta(hours=20 * n), corrected=2, rejected=1,
                finished_at=None if state == "running" else now - timedelta(hours=20 * n) + timedelta(seconds=90),
            ))  # fmt: skip
    return str(made["name"])


def some_files(site: Site) -> tuple[str, int, int]:
    """A file brought and not taken in, with words to be placed; one taken in, with rejects that wait and one that was
    settled. The upload's token, and the ids of two rejects."""
    header = "编号,标题,受理时间,类型,责任单位,Averylongheadingwithoutanyblanksinit"
    lines = [header, "1,路灯,2026/1/5,闲聊,城管局,x", "2,井盖,昨天,投诉,城管局,y"]
    folder = site.runtime.settings.data_dir
    file = folder / "letters.csv"
    file.write_text("\n".join([*lines, "3,噪声,2026/1/5,投诉", ',"' + "长" * 300 + '",,,,']), encoding="utf-8")
    import_file(site.runtime, file, load_profile("duban"), clock.now(), name="a-very-long-name-of-a-file-" * 4 + ".csv")
    found = site.call("GET", "/rejects?door=import")["items"]
    site.call("DELETE", f"/rejects/{found[0]['id']}")
    incoming = uploads_of(site.runtime).begin(clock.now())
    incoming.write(file.read_bytes())
    upload = incoming.keep("letters.csv", "user:li", clock.now())
    return upload.token, found[1]["id"], found[0]["id"]


def open_all(page: Page) -> None:
    """Open everything that is folded away, so that it is checked too."""
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.removeAttribute('name'); e.open = true })")


WIDTHS = (390, 320, 768, 1366)
LOOKED_AT = {390, 1366}
"""Where everything is looked at: what only a phone shows, and what only a desk does."""
TOO_WIDE = "Math.max(0, document.documentElement.scrollWidth - innerWidth)"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_each_page_is_accessible_and_fits_the_screen(signed_in: SignIn, pages: list[str], lang: str) -> None:
    """Fields, links and headings have their names; texts have contrast by day and by night; nothing is too wide."""
    page = signed_in("admin", width=WIDTHS[0], height=800, lang=lang)
    page.emulate_media(reduced_motion="reduce")
    wrong: dict[str, Any] = {}
    for address in pages:
        page.set_viewport_size({"width": WIDTHS[0], "height": 800})
        answer = page.goto(address)
        assert answer is not None
        assert answer.status in (200, 404), address
        open_all(page)
        for width in WIDTHS:
            here = f"{address} at {width} pixels"
            page.set_viewport_size({"width": width, "height": 800})
            wrong[f"{here} is too wide by"] = page.evaluate(TOO_WIDE)
            if width not in LOOKED_AT:
                continue
            wrong[f"{here} by ear"] = page.evaluate(CHECKS)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                wrong[f"{here}, {scheme}"] = page.evaluate(CONTRAST)
    assert {place: what for place, what in wrong.items() if what} == {}


def test_the_english_pages_have_no_chinese_of_their_own(signed_in: SignIn, site: Site) -> None:
    """What people wrote, their names and the printed number of an order stay as they are; the rest is English."""
    ticket = site.push("Noise at night", days_ago=20, unit="GA-01", accept=True)
    site.sweep()
    page = signed_in("admin", lang="en")
    for address in ("/?unit=GA", f"/tickets/{ticket}", "/tickets?q=Noise", "/password", "/feeds"):
        page.goto(address)
        open_all(page)
        said = page.evaluate(
            """() => [...document.querySelectorAll("main *, nav *, title")].filter((e) => e.checkVisibility?.() !== false)
                 .flatMap((e) => [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()))
                 .filter((text) => /[\\u4e00-\\u9fff]/.test(text))"""
        )
        left = [text for text in said if not any(name in text for name in ("12345热线", "系统管理员", "〔"))]
        assert left == [], address


def test_a_ticket_is_acted_on_with_the_keyboard_alone(signed_in: SignIn, site: Site) -> None:
    ticket = site.push("只用键盘办的事", unit="GA-01")
    page = signed_in("wang")
    page.goto(f"/tickets/{ticket}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="跳到正文")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName === 'SUMMARY' && document.activeElement.innerText === '签收'"):
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="确认签收")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".chips .status")).to_have_text("已签收")


def test_the_focus_can_be_seen(signed_in: SignIn, pages: list[str]) -> None:
    page = signed_in("admin")
    page.goto("/tickets")
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px", page.evaluate("document.activeElement.outerHTML.slice(0, 120)")
