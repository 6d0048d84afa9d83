"""Bytes that chance has made or damaged, at every door: rows, rejects or a refusal in words, never anything else."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import BadRequest, DubanError, Invalid, TooLarge
from ingest.batch.service import MAX_ROWS
from ingest.connectors.http import UnreadableBody
from ingest.connectors.open311 import read_requests
from ingest.connectors.rest import read_json
from ingest.files.multipart import receive
from ingest.files.uploads import LIMITS, Uploads
from ingest.formats.split import array_elements, split_lines
from ingest.profile_wizard.preview import preview
from ingest.profile_wizard.proposal import propose
from ingest.profile_wizard.sampling import read_sample
from ingest.rows.profile import load_profile
from ingest.rows.row import raw_of
from ingest.rows.ticket_in import validate_ticket

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PROFILE = load_profile("duban", ())
ROWS = [
    ["编号", "标题", "受理时间", "备注"],
    ["1", "路灯不亮", "2026-01-05 09:00", 'a "b", c'],
    ["2", "井盖\n破损", "-", ""],
]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SLOW = settings(QUICK, max_examples=12)
"""Each example of a spreadsheet starts the process that reads it."""


@cache
def good() -> dict[str, bytes]:
    """A file of each kind, as it should be."""
    table = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in ROWS)
    items = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]
    book, archive = io.BytesIO(), io.BytesIO()
    with xlsxwriter.Workbook(book) as made:
        page = made.add_worksheet()
        for n, row in enumerate(ROWS):
            page.write_row(n, 0, row)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.csv", table)
    return {
        "csv": table.encode(),
        "csv in GB18030": table.encode("gb18030"),
        "csv in UTF-16": table.encode("utf-16"),
        "ndjson": "\n".join(json.dumps(item, ensure_ascii=False) for item in items).encode(),
        "json": json.dumps(items).encode(),
        "gzip": gzip.compress(table.encode()),
        "zip": archive.getvalue(),
        "xlsx": book.getvalue(),
    }


ODD = st.sampled_from([b"\0", b'"', b"[" * 3_000, b"{", b",", b"\n" * 50, b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06",
                       b"\xed\xa0\x80", b"9" * 5_000, b"1e999", b"NaN", b"\\ud800", b"<!DOCTYPE a>"])  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` with some of its bytes changed, left out, doubled or put in, or cut off."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        until = min(len(found), at + draw(st.integers(0, 40)))
        found[at:until] = draw(st.one_of(ODD, st.binary(max_size=20), st.just(bytes(found[at:until] * 2))))
    return bytes(found[: draw(st.integers(0, len(found)))] if draw(st.booleans()) else found)


def read_as_file(content: bytes) -> None:
    """What the page does with a file: looks, proposes, previews; what the import reads is what the preview reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        with suppress(DubanError):
            propose(read_sample(path, limits=LIMITS), "Asia/Shanghai")
        with suppress(DubanError):
            found = preview(path, PROFILE, NOW, limits=LIMITS)
            assert found.rows == found.tickets + found.repeated + found.rejects


@given(st.data())
@pytest.mark.parametrize("kind", [kind for kind in good() if kind != "xlsx"])
@QUICK
def test_a_file_damaged_anyhow_is_rows_or_a_refusal(kind: str, data: st.DataObject) -> None:
    read_as_file(data.draw(damaged(good()[kind])))


@given(st.data())
@SLOW
def test_a_spreadsheet_damaged_anyhow_is_rows_or_a_refusal(data: st.DataObject) -> None:
    read_as_file(data.draw(damaged(good()["xlsx"])))


@given(st.binary(max_size=3_000))
@QUICK
def test_bytes_by_chance_are_rows_or_a_refusal(content: bytes) -> None:
    read_as_file(content)


@given(st.data())
@pytest.mark.parametrize("kind", ["ndjson", "json"])
@QUICK
def test_a_batch_damaged_anyhow_is_rows_or_a_refusal(kind: str, data: st.DataObject) -> None:
    body = data.draw(damaged(good()[kind]))
    with suppress(BadRequest, TooLarge):
        for begin, end in (split_lines if kind == "ndjson" else array_elements)(body, MAX_ROWS):
            with suppress(Invalid, BadRequest):
                validate_ticket(body[begin:end], now=NOW)
            raw_of(body[begin:end]).encode()


@given(st.data())
@QUICK
def test_a_push_damaged_anyhow_is_a_ticket_or_a_refusal(data: st.DataObject) -> None:
    body = '{"external_id": "1", "title": "路灯", "received_at": "2026-01-05T09:00:00+08:00", "attributes": {"a": [1]}}'
    with suppress(Invalid, BadRequest):
        validate_ticket(data.draw(damaged(body.encode())), now=NOW)


XML = b"""<?xml version="1.0" encoding="utf-8"?><service_requests><request><service_request_id>7</service_request_id>
<status>open</status><description>x &amp; y</description></request></service_requests>"""


@given(st.data())
@pytest.mark.parametrize(
    "body", [XML, b'[{"service_request_id": "7", "status": "open", "lat": 1.5}]'], ids=["xml", "json"]
)
@QUICK
def test_a_damaged_upstream_answer_gives_records_or_unreadable(body: bytes, data: st.DataObject) -> None:
    content = data.draw(damaged(body))
    for read in (read_requests, read_json):
        with suppress(UnreadableBody):
            read(content)


FORM = (b'--XX\r\nContent-Disposition: form-data; name="profile"\r\n\r\nduban\r\n--XX\r\nContent-Disposition: form-data; '
        b'name="file"; filename="a.csv"\r\n\r\n1,2\r\n--XX--\r\n')  # fmt: skip


@given(st.data())
@QUICK
def test_a_damaged_form_gives_a_file_or_a_clean_refusal(data: st.DataObject) -> None:
    body = data.draw(damaged(FORM))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50):
            yield body[start : start + 50]

    with tempfile.TemporaryDirectory() as folder:
        uploads = Uploads(Path(folder) / "uploads", 2**20)
        try:
            found = asyncio.run(receive("multipart/form-data; boundary=XX", pieces(), lambda: uploads.begin(NOW)))
            if found.file is not None:
                found.file.drop()
        except DubanError:
            pass
        assert not uploads.folder.is_dir() or not list(uploads.folder.iterdir())
