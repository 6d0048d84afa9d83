"""The pages of feeds in a real browser: asked for, pulled by a worker, compared with the upstream, switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from app import clock
from app.services.intake import feeds
from app.workers.feeds import Puller
from ingest.devtools.simulator.server import SECRET, SECRET_VARIABLES, serving
from ingest.devtools.simulator.world import Faults, SimulatedUpstream
from tests.browser.conftest import SignIn
from tests.browser.server import Site
from tests.integration.upstream import simulated


@dataclass
class Upstream:
    """A simulated upstream, the feed that pulls it, and whoever does the pulling."""

    world: SimulatedUpstream
    site: Site
    name: str

    def work(self) -> None:
        """Do what a worker would do now."""
        worker = Puller(self.site.runtime)
        for name, day in worker.waiting(clock.now()):
            worker.one(name, day)


@pytest.fixture
def upstream(site: Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """A hotline with eight records, two of which are spoilt, as a feed of its own that was never pulled."""
    for variable in SECRET_VARIABLES.values():
        monkeypatch.setenv(variable, SECRET)
    name = f"east-{len(site.call('GET', '/feeds')['items'])}"
    world = SimulatedUpstream(2, clock.now, Faults(update=0, skew_seconds=-300))
    with serving(world) as address:
        world.advance(8)
        for way, item in zip((4, 5), list(world.items.values()), strict=False):
            item.garbage = way
        definition = simulated("hotline12345", address, every_seconds=3600).model_dump(mode="json")
        site.call("POST", "/feeds", json={"definition": definition, "name": name, "source": name})
        yield Upstream(world, site, name)
        site.call("PATCH", f"/feeds/{name}", json={"active": False})


def test_a_button_pulls_a_feed_and_its_figures_are_updated(upstream: Upstream, signed_in: SignIn) -> None:
    page = signed_in("li", lang="zh")
    page.click("nav.tabs >> text=接入源")
    page.click(f"a[href='/feeds/{upstream.name}']")
    page.get_by_role("button", name="立即拉取").click()
    expect(page.locator(".notice")).to_contain_text("已安排")
    upstream.work()
    expect(page.locator(".notice")).to_have_count(0)  # the page has looked again by itself
    figures = page.locator(".figures").inner_text()
    assert "慢5分钟" in figures
    expect(page.locator(".figure", has_text="新建").locator(".figure-value")).to_have_text("6")
    expect(page.locator(".figure", has_text="待处理拒收").locator(".figure-value")).to_have_text("2")
    expect(page.locator(".feedbars rect.created")).to_have_count(1)
    row = page.locator("section[aria-labelledby=log-title] tbody tr").first
    expect(row).to_contain_text("李派单")
    expect(row).to_contain_text("完成")
    page.locator(".figure", has_text="待处理拒收").click()
    page.wait_for_url("**/rejects?*")
    rejects = page.locator("a[data-reject]")
    assert len(set(rejects.evaluate_all("found => found.map((e) => e.pathname)"))) == 2
    rejects.first.click()
    expect(page.locator("h1")).to_have_count(1)
    expect(page.locator(".bigcode"), "a reject of a feed opens").to_have_count(0)


def test_a_day_is_compared_and_what_is_extra_leads_to_its_ticket(upstream: Upstream, signed_in: SignIn) -> None:
    upstream.work()
    items = list(upstream.world.items.values())
    gone = upstream.world.items.pop(items[-1].id)
    new = replace(items[-1], id=items[-1].id + "X")
    upstream.world.items[new.id] = new
    page = signed_in("li", lang="en")
    page.goto(f"/feeds/{upstream.name}")
    page.fill("#day", new.created.astimezone(ZoneInfo("Asia/Shanghai")).date().isoformat())
    page.click("section[aria-labelledby=compare] button")
    expect(page.locator(".notice")).to_contain_text("no worker is running")
    upstream.work()
    expect(page.locator(".notice")).to_have_count(0)
    row = page.locator("section[aria-labelledby=compare] tbody tr").first
    cells = [cell.split("\n")[0] for cell in row.locator("td").all_inner_texts()]
    assert cells[3] == "1", "what was missing has been pulled"
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true })")
    page.click(f"text={gone.id}")
    expect(page).to_have_url(re.compile(r"/tickets\?"))
    expect(page.locator("table.tickets tbody tr")).to_have_count(1)


def test_an_upstream_that_is_down_is_seen_at_a_glance(upstream: Upstream, signed_in: SignIn) -> None:
    upstream.world.faults = Faults(error=1.0)
    with upstream.site.runtime.database.write() as session:
        feed = feeds.need(session, upstream.name)
        limits = {**feed.spec["limits"], "attempts": 1, "breaker_failures": 1}
        feed.spec = {**feed.spec, "limits": limits}
        feeds.request_pull(session, upstream.name, "user:li")
    upstream.work()
    page = signed_in("chen", lang="zh")
    page.goto("/feeds")
    row = page.locator(".feeds tr", has=page.locator(f"a[href='/feeds/{upstream.name}']"))
    expect(row.locator(".refusal")).to_contain_text("上游应答 500")
    expect(row.locator(".feedstate")).to_have_text("暂停重试")
    row.locator("a").click()
    expect(page.locator("div.refusal")).to_contain_text("已连续失败 1 次")
    expect(page.get_by_role("button", name="立即拉取"), "a supervisor looks, and does not pull").to_have_count(0)


def test_an_administrator_switches_a_feed_off_and_on(upstream: Upstream, signed_in: SignIn) -> None:
    page = signed_in("admin", lang="zh")
    page.goto(f"/feeds/{upstream.name}")
    page.get_by_role("button", name="停用").click()
    expect(page.locator("h1 .feedstate")).to_have_text("已停用")
    expect(page.get_by_role("button", name="立即拉取")).to_have_count(0)
    page.get_by_role("button", name="启用").click()
    expect(page.locator("h1 .feedstate")).not_to_have_text("已停用")
    page.click("text=配置")
    expect(page.locator(".definition")).to_contain_text("base_url")


def test_units_and_callers_have_no_feeds(site: Site, signed_in: SignIn) -> None:
    for name in ("wang", "zhao"):
        page = signed_in(name, lang="zh")
        expect(page.locator("nav.tabs >> text=接入源")).to_have_count(0)
        page.goto("/feeds")
        expect(page.locator("main")).to_contain_text("没有此权限")


@pytest.mark.parametrize("width", [320, 390, 1366])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_pages_fit_their_screen(upstream: Upstream, signed_in: SignIn, width: int, lang: str) -> None:
    upstream.work()
    page = signed_in("admin", width=width, lang=lang)
    for path in ("/feeds", f"/feeds/{upstream.name}"):
        page.goto(path)
        page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true })")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
