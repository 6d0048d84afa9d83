"""A site for the browser tests of one module, and pages of people who have signed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.server import PASSWORD, PATIENCE, Site, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SignIn = Callable[..., "Page"]

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running server on an empty database with units and people of every role."""
    path = tmp_path_factory.mktemp("site") / "duban.db"
    shutil.copyfile(sqlite_template, path)
    with serving(f"sqlite:///{path.as_posix()}", data_dir=path.parent) as site:
        yield site


@pytest.fixture
def signed_in(browser: Browser, site: Site) -> Iterator[SignIn]:
    """``signed_in("li")`` is a page on which that person has signed in; scripts that raise an error, and addresses that
    the page's own rules refuse, fail the test."""
    opened = []
    errors: list[str] = []

    def sign_in(
        name: str, *, width: int = 1366, height: int = 768, lang: str | None = None, scripts: bool = True
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, locale="zh-CN", timezone_id="Asia/Shanghai",
            base_url=site.address, java_script_enabled=scripts,
        )  # fmt: skip
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None,
        )
        # The form is sent without a page for it: test_signing_in has the page, and this is done a hundred times.
        if lang:
            context.request.get(f"/signin?lang={lang}")
        answer = context.request.post("/signin", form={"name": name, "password": PASSWORD}, max_redirects=0)
        assert answer.status == 303, answer.text()
        page.goto("/")
        return page

    yield sign_in
    for context in opened:
        context.close()
    assert errors == [], f"scripts on a page raised {errors}"
