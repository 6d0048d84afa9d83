"""A CSV file at an HTTP address: rows become tickets, an unchanged file is not read again, bad rows are kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest

from app.errors import Invalid
from ingest.connectors import csv_http
from ingest.connectors.base import Page, Position
from ingest.connectors.http import RequestPace, UpstreamError
from ingest.connectors.registry import connected, parse_spec
from ingest.connectors.spec import FeedSpec
from ingest.feeds.records import RecordReader
from tests.answering import answering, send

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
DEFINITION = """
name = "streets"
kind = "csv_http"
title = { zh = "街道台账", en = "Streets" }
source = { code = "streets", zh = "街道", en = "Streets" }
base_url = "ADDRESS"
updated = "更新时间"
[limits]
attempts = 1
[request]
path = "/cases.csv"
[mapping]
time_zone = "Asia/Shanghai"
times = ["%Y-%m-%d %H:%M"]
[mapping.fields]
external_id = "编号"
title = "标题"
received_at = "受理时间"
"""
HEADER = "编号,标题,受理时间,更新时间\r\n"


class CsvFile:
    """A file that a test changes; it answers conditional requests by its ``ETag``."""

    def __init__(self) -> None:
        self.body = b""
        self.etag = '"1"'
        self.answers: list[int] = []

    def write(self, text: str, encoding: str = "utf-8") -> None:
        self.body = text.encode(encoding)
        self.etag = f'"{len(self.answers)}-{len(self.body)}"'

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        unchanged = handler.headers["If-None-Match"] == self.etag
        self.answers.append(304 if unchanged else 200)
        send(handler, self.answers[-1], b"" if unchanged else self.body, ETag=self.etag)


@pytest.fixture
def file() -> CsvFile:
    return CsvFile()


@pytest.fixture
def spec(file: CsvFile) -> Iterator[FeedSpec]:
    with answering(file.answer) as address:
        yield parse_spec(DEFINITION.replace("ADDRESS", address))


def pages(spec: FeedSpec, position: Position) -> list[Page]:
    with connected(spec, RequestPace(lambda: NOW)) as source:
        return list(source.pages(position, NOW))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_rows_are_read_by_the_mapping(spec: FeedSpec, file: CsvFile, encoding: str) -> None:
    file.write(HEADER + "A1,路灯不亮,2026-03-01 09:00,2026-03-01 10:00\r\n", encoding)
    (page,) = pages(spec, {})
    (one,) = RecordReader(spec).page(page.records, NOW)
    assert one.ticket is not None
    assert (one.ticket.external_id, one.ticket.title) == ("A1", "路灯不亮")
    assert one.updated_at == datetime(2026, 3, 1, 2, tzinfo=UTC)


def test_an_unchanged_file_is_not_read_again(spec: FeedSpec, file: CsvFile) -> None:
    file.write(HEADER + "A1,路灯不亮,,\r\n")
    position = pages(spec, {})[-1].position
    assert pages(spec, position) == []
    file.write(HEADER + "A1,路灯不亮,,\r\nA2,井盖破损,,\r\n")
    assert [len(page.records) for page in pages(spec, position)] == [2]
    assert file.answers == [200, 304, 200]


@pytest.mark.parametrize(("rows", "sizes"), [(0, [0]), (1, [1]), (4, [2, 2]), (5, [2, 2, 1])])
def test_the_position_moves_with_the_last_page(
    spec: FeedSpec, file: CsvFile, monkeypatch: pytest.MonkeyPatch, rows: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(csv_http, "PAGE", 2)
    file.write(HEADER + "".join(f"A{n},路灯,,\r\n" for n in range(rows)))
    before = {"ETag": '"old"'}
    found = pages(spec, before)
    assert [len(page.records) for page in found] == sizes
    assert [page.position for page in found] == [before] * (len(sizes) - 1) + [{"ETag": file.etag}]


def test_a_bad_row_is_a_reject_and_its_neighbours_are_read(spec: FeedSpec, file: CsvFile) -> None:
    file.write(HEADER + 'A1,路灯,,\r\nA2,"未闭合,,\r\nA3,井盖,,\r\nA4,多,出,一,列\r\n')
    (page,) = pages(spec, {})
    read = {one.raw: one.ticket for one in RecordReader(spec).page(page.records, NOW)}
    assert sorted(one.external_id for one in read.values() if one is not None) == ["A1", "A3"]
    assert sum(one is None for one in read.values()) == 2
    assert any("未闭合" in raw for raw, one in read.items() if one is None)


@pytest.mark.parametrize("body", ["", "<html>维护中</html>", "a,b\r\n1,2\r\n"])
def test_a_body_without_the_id_column_is_an_upstream_error(spec: FeedSpec, file: CsvFile, body: str) -> None:
    file.write(body)
    with pytest.raises(UpstreamError):
        pages(spec, {})


@pytest.mark.parametrize("table", ['[window]\nsince = "from"', '[paging]\nstyle = "number"'])
def test_tables_of_paged_upstreams_are_refused(table: str) -> None:
    with pytest.raises(Invalid):
        parse_spec(DEFINITION.replace("ADDRESS", "https://example.org") + table)


def test_a_csv_feed_cannot_be_reconciled(spec: FeedSpec) -> None:
    with connected(spec, RequestPace(lambda: NOW)) as source, pytest.raises(Invalid):
        source.ids_between(NOW, NOW)
