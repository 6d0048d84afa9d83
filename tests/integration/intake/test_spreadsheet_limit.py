"""A spreadsheet takes much memory: so many are read at once, further ones are answered Retry-After, and no file is lost."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import xlsxwriter

from app.runtime import Runtime
from app.turns import Turns
from ingest.connectors.registry import spec_of
from ingest.feeds.pull import FOLDER_LIMITS, pull
from ingest.files.uploads import LIMITS
from tests.integration.upstream import Moving, add
from tests.support import Service


def workbook() -> bytes:
    """A table of one ticket."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["编号", "标题"])
        sheet.write_row(1, 0, ["A1", "路灯不亮"])
    return made.getvalue()


@contextmanager
def all_taken(turns: Turns | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every turn is taken, and a wait for one ends at once."""
    assert turns is not None
    monkeypatch.setattr(turns, "patience", 0.01)
    with ExitStack() as stack:
        for _ in range(turns.places):
            stack.enter_context(turns)
        yield


def test_the_api_answers_retry_after_past_the_limit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def propose(content: bytes) -> tuple[int, str | None, str]:
        answer = service.call("POST", "/profiles/propose", files={"file": ("a.xlsx", content)})
        return answer.status_code, answer.headers.get("retry-after"), answer.text

    with all_taken(LIMITS.turns, monkeypatch):
        status, after, said = propose(workbook())
        assert (status, after) == (503, "5")
        assert "2 spreadsheets are being read, which is the most at a time" in said
        assert not list((service.runtime.settings.data_dir / "uploads").iterdir())
        assert propose("编号,标题\nA1,路灯不亮\n".encode())[0] == 200, "text takes no memory, and no turn"
    assert [propose(content)[0] for content in [workbook(), workbook()[:700]] * 3] == [200, 400] * 3, (
        "turns are given back"
    )


def test_a_page_keeps_the_file_and_offers_to_retry(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    headers, csrf = service.person()
    with all_taken(LIMITS.turns, monkeypatch):
        came = service.client.post(
            "/imports", headers=headers, data={"csrf": csrf}, files={"file": ("a.xlsx", workbook())},
            follow_redirects=False,
        )  # fmt: skip
        assert came.status_code == 303, came.text
        there = came.headers["location"]
        answer = service.client.get(there, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "2 spreadsheets are being read" in answer.text
        assert f'href="{there}">Try again' in answer.text
    answer = service.client.get(there, headers=headers)
    assert answer.status_code == 200
    assert "路灯不亮" in answer.text


def test_a_watched_file_stays_for_the_next_pull(
    feed_runtime: Runtime, moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.xlsx").write_bytes(workbook())
    os.utime(folder / "a.xlsx", (1, 1))
    add(feed_runtime, spec_of({
        "name": "drop", "kind": "folder", "title": {"zh": "文件夹", "en": "Folder"},
        "source": {"code": "drop", "zh": "文件夹", "en": "Folder"},
        "folder": {"path": str(folder), "profile": "duban"},
    }))  # fmt: skip
    with all_taken(FOLDER_LIMITS.turns, monkeypatch):
        assert pull(feed_runtime, "drop", pace=moving.pace()).tally.created == 0
        assert (folder / "a.xlsx").is_file()
    assert pull(feed_runtime, "drop", pace=moving.pace()).tally.created == 1
    assert (folder / "done" / "a.xlsx").is_file()
