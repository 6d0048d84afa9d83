"""Files brought by a form: streamed to their place, bounded, whole or not at all, and gone in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import BadRequest, DubanError, NotFound, TooLarge, UnsupportedMedia
from ingest.files.multipart import MOST_TEXT, MultipartForm, receive
from ingest.files.uploads import RECORD_RETENTION, RETENTION, Uploads

NOW = datetime(2026, 3, 2, tzinfo=UTC)
KIND = "multipart/form-data; boundary=XX"


def part(name: str, content: bytes, file: str | None = None) -> bytes:
    """One part of a form."""
    named = f'; filename="{file}"' if file is not None else ""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


def bring(uploads: Uploads, body: bytes, kind: str = KIND, step: int = 7) -> MultipartForm:
    """Send a body in small pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    return asyncio.run(receive(kind, pieces(), lambda: uploads.begin(NOW)))


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    """An empty folder of uploads that takes a mebibyte."""
    return Uploads(tmp_path / "uploads", 2**20)


def left(uploads: Uploads) -> list[str]:
    return sorted(path.name for path in uploads.folder.iterdir()) if uploads.folder.is_dir() else []


def test_a_file_comes_whole_whatever_pieces_it_comes_in(uploads: Uploads) -> None:
    content = "编号,标题\r\n--X\r\n1,甲\r\n".encode() * 50
    body = (
        part("csrf", b"secret") + part("file", content, "工单 1月.csv") + part("note", "备注".encode()) + b"--XX--\r\n"
    )
    for step in (1, 7, 4096):
        found = bring(uploads, body, step=step)
        assert (found.fields, found.file_name) == ({"csrf": "secret", "note": "备注"}, "工单 1月.csv")
        assert found.file is not None
        upload = found.file.keep(found.file_name, "user:li", NOW)
        assert uploads.get(upload.token) == upload
        assert uploads.file_of(upload).read_bytes() == content


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (part("file", b"x" * (2**20 + 1), "big.csv") + b"--XX--\r\n", KIND, TooLarge),
        (part("file", b"1,2", "a.csv"), KIND, BadRequest),
        (part("file", b"1,2", "a.csv") + part("file", b"3", "b.csv") + b"--XX--\r\n", KIND, BadRequest),
        (part("note", b"x" * (MOST_TEXT + 1)) + b"--XX--\r\n", KIND, TooLarge),
        (b"".join(part(f"n{n}", b"") for n in range(80)) + b"--XX--\r\n", KIND, TooLarge),
        (b"no form at all", KIND, BadRequest),
        (b"a=b", "application/x-www-form-urlencoded", UnsupportedMedia),
        (b"a=b", "", UnsupportedMedia),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    uploads: Uploads, body: bytes, kind: str, error: type[DubanError]
) -> None:
    with pytest.raises(error):
        bring(uploads, body, kind, step=4096)
    assert left(uploads) == []


def test_a_file_name_may_be_encoded_by_rfc_2231(uploads: Uploads) -> None:
    head = "--XX\r\nContent-Disposition: form-data; name=file; filename*=utf-8''%E4%B8%80%E6%9C%88.csv\r\n\r\n"
    found = bring(uploads, head.encode() + b"1,2\r\n--XX--\r\n")
    assert found.file_name == "一月.csv"
    assert found.file is not None
    found.file.close()
    assert found.file.path.read_bytes() == b"1,2"


def test_an_empty_file_is_refused(uploads: Uploads) -> None:
    found = bring(uploads, part("file", b"", "a.csv") + b"--XX--\r\n")
    assert found.file is not None
    with pytest.raises(BadRequest):
        found.file.keep("a.csv", "user:li", NOW)
    assert left(uploads) == []


def test_a_name_from_elsewhere_is_a_name_and_no_path(uploads: Uploads) -> None:
    for said, kept in (
        ("C:\\data\\一月.csv", "一月.csv"),
        ("../../etc/x.csv", "x.csv"),
        ("", "file"),
        ("a\x00b\n.csv", "ab.csv"),
    ):
        incoming = uploads.begin(NOW)
        incoming.write(b"1")
        assert incoming.keep(said, "user:li", NOW).name == kept


@pytest.mark.parametrize("token", ["", "..", "../../x", "x" * 16, "a/b" * 5])
def test_an_address_that_nobody_was_given_leads_nowhere(uploads: Uploads, token: str) -> None:
    with pytest.raises(NotFound):
        uploads.get(token)


def test_an_unused_upload_expires_after_a_day_unless_running(uploads: Uploads) -> None:
    kept = {}
    for state in ("ready", "importing", "done", "failed"):
        incoming = uploads.begin(NOW)
        incoming.write(b"1")
        kept[state] = uploads.change(incoming.keep("a.csv", "user:li", NOW), state=state)
    uploads.remove_file(kept["done"])
    with pytest.raises(NotFound):
        uploads.file_of(kept["done"])
    for later, states in (
        (RETENTION, ["done", "failed", "importing", "ready"]),
        (RETENTION * 1.1, ["done", "importing"]),
        (RECORD_RETENTION * 1.1, ["importing"]),
    ):
        uploads.sweep(NOW + later)
        assert sorted(upload.state for upload in uploads.all()) == states
