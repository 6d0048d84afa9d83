"""Asking an upstream: bounded in time and size, signed, asked again where that may help, and never led elsewhere."""

from __future__ import annotations

import gzip
import json
import threading
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest

from ingest.connectors.http import RequestPace, UnreadableBody, Upstream, UpstreamError, hmac_of, plain_text
from ingest.connectors.open311 import Open311Feed, read_document
from ingest.connectors.registry import SpecOverrides, load_spec
from ingest.connectors.rest import RestFeed, read_json
from ingest.connectors.spec import FeedSpec, Signature
from tests.answering import answering, send

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
SECRET = "s3cret-of-the-feed"


class Clock:
    """A clock that sleeping moves; what was slept is kept."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.at = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.at += seconds

    def pace(self, chance: float = 0.5) -> RequestPace:
        return RequestPace(lambda: NOW + timedelta(seconds=self.at), self.sleep, lambda: self.at, lambda: chance)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("DUBAN_FEED_SULAIBAN_TOKEN", SECRET)
    return Clock()


def spec_at(address: str, **limits: float) -> FeedSpec:
    spec = load_spec("sulaiban", changes=SpecOverrides(base_url=address))
    given = {"per_minute": 100_000, "attempts": 4, **limits}
    return spec.model_copy(update={"limits": spec.limits.model_copy(update=given)})


def ask(spec: FeedSpec, time: Clock, pace: RequestPace | None = None) -> object:
    with Upstream(spec, pace or time.pace(), explain=plain_text) as upstream:
        return upstream.get("/x", {"q": "路 灯"}, read_json)


def in_turn(*answers: tuple[int, bytes, dict[str, str]]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Each request gets the next answer, the last one for ever."""
    number = count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status, body, headers = answers[min(next(number), len(answers) - 1)]
        send(handler, status, body, **headers)

    return answer


@pytest.mark.parametrize(
    "bad",
    [(500, b"", {}), (503, b"busy", {}), (429, b"", {}), (200, b'{"cut": "of', {}), (200, b"\xff\xfe\x00", {}),
     (200, b"<html>busy</html>", {})],
    ids=["500", "503", "429", "cut off", "not utf-8", "html"],
)  # fmt: skip
def test_what_may_pass_is_asked_again_with_growing_waits(bad: tuple[int, bytes, dict[str, str]], time: Clock) -> None:
    with answering(in_turn(bad, bad, bad, (200, b'{"a": 1}', {}))) as address:
        assert ask(spec_at(address, backoff_seconds=1), time) == {"a": 1}
    assert time.slept == [0.5, 1.0, 2.0], "half of 1, 2 and 4 seconds: the chance is a half"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_permanent_error_is_not_retried_and_hides_the_secret(status: int, time: Clock) -> None:
    with (
        answering(in_turn((status, f"no: {SECRET} is wrong".encode(), {}))) as address,
        pytest.raises(UpstreamError, match=f"{status}: no: \\*\\*\\* is wrong"),
    ):
        ask(spec_at(address), time)
    assert time.slept == []


@pytest.mark.parametrize(
    ("asked", "least"), [("7", 7.0), ("Mon, 02 Mar 2026 02:00:09 GMT", 9.0), ("soon", 0.0), ("-5", 0.0)]
)
def test_retry_after_is_heeded_as_seconds_or_as_a_date(asked: str, least: float, time: Clock) -> None:
    with answering(in_turn((429, b"", {"Retry_After": asked}), (200, b"{}", {}))) as address:
        ask(spec_at(address, backoff_seconds=1), time)
    assert least <= time.slept[0] <= least + 1


def test_a_wait_beyond_the_longest_ends_the_pull_and_is_returned(time: Clock) -> None:
    with answering(in_turn((503, b"", {"Retry_After": "3600"}))) as address, pytest.raises(UpstreamError) as failed:
        ask(spec_at(address), time)
    assert (failed.value.wait, time.slept) == (3600.0, [])


def test_an_unchanged_resource_is_answered_without_its_body(time: Clock) -> None:
    asked: list[tuple[str | None, str | None]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.headers["If-None-Match"], handler.headers["If-Modified-Since"]))
        if asked[-1][0] == '"1"':
            send(handler, 304, b"")
        else:
            send(handler, 200, b"[1]", ETag='"1"', Last_Modified="Mon, 02 Mar 2026 02:00:00 GMT")

    with answering(answer) as address, Upstream(spec_at(address), time.pace()) as upstream:
        first = upstream.get_changed("/x", {}, read_json, {})
        assert first == ([1], {"ETag": '"1"', "Last-Modified": "Mon, 02 Mar 2026 02:00:00 GMT"})
        assert upstream.get_changed("/x", {}, read_json, first[1]) is None
    assert asked == [(None, None), ('"1"', "Mon, 02 Mar 2026 02:00:00 GMT")]


def test_not_modified_is_an_error_unless_it_was_asked_for(time: Clock) -> None:
    with answering(in_turn((304, b"", {}))) as address, pytest.raises(UpstreamError, match="304"):
        ask(spec_at(address), time)


def test_no_redirect_is_followed(time: Clock) -> None:
    with (
        answering(in_turn((200, b"{}", {}))) as other,
        answering(in_turn((302, b"", {"Location": other}))) as address,
        pytest.raises(UpstreamError, match="redirects"),
    ):
        ask(spec_at(address), time)


def test_an_answer_longer_than_agreed_is_cut_off_packed_or_not(time: Clock) -> None:
    for body, headers in ((b"[" + b"1," * 4000, {}), (gzip.compress(b" " * 10_000_000), {"Content_Encoding": "gzip"})):
        with (
            answering(in_turn((200, body, headers))) as address,
            pytest.raises(UpstreamError, match="longer than 4096"),
        ):
            ask(spec_at(address, body_bytes=4096), time)
    assert time.slept == [], "asking again would not make it shorter"


def test_an_answer_is_unpacked_once_and_a_little_at_a_time(time: Clock) -> None:
    good = gzip.compress(b"[1, 2]")
    bomb = gzip.compress(b" " * 200_000_000, 1)
    with answering(in_turn((200, good, {"Content_Encoding": "gzip"}))) as address:
        assert ask(spec_at(address), time) == [1, 2]
    tracemalloc.start()
    for body, packing, says in (
        (bomb, "gzip", "longer than"),
        (gzip.compress(bomb), "gzip, gzip", "only gzip is taken"),
        (good, "br", "only gzip is taken"),
        (good[:-4], "gzip", "breaks off"),
        (b"[1, 2]", "gzip", "cannot be unpacked"),
    ):
        answer = in_turn((200, body, {"Content_Encoding": packing}))
        with answering(answer) as address, pytest.raises(UpstreamError, match=says):
            ask(spec_at(address, body_bytes=4 * 2**20), time)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20


def test_an_answer_of_a_million_nothings_is_unreadable() -> None:
    for body in (b"[" + b"[]," * 2_000_000 + b"[]]", b"<a>" + b"<b/>" * 2_100_000 + b"</a>"):
        with pytest.raises(UnreadableBody, match="more than 1000000"):
            read_document(body)


def test_an_answer_that_drips_is_given_up_by_its_whole_time(time: Clock) -> None:
    """Each drop comes well within the time for one; all of them together do not."""
    ended = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not ended.is_set():
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.at += 30
            ended.wait(0.01)

    with answering(drip) as address:
        with pytest.raises(UpstreamError, match="too slowly"):
            ask(spec_at(address, attempts=1), time)
        ended.set()


def test_a_dropped_connection_is_retried_and_then_reported(time: Clock) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.close_connection = True

    with answering(hang_up) as address, pytest.raises(UpstreamError, match="broke"):
        ask(spec_at(address, attempts=2), time)
    with pytest.raises(UpstreamError, match="cannot be reached"):
        ask(spec_at("http://127.0.0.1:9", attempts=2), time)
    assert len(time.slept) == 2


def test_requests_keep_the_pace_that_was_agreed(time: Clock) -> None:
    with (
        answering(in_turn((200, b"{}", {}))) as address,
        Upstream(spec_at(address, per_minute=60), time.pace()) as upstream,
    ):
        for _ in range(3):
            upstream.get("/x", {}, read_json)
    assert time.slept == [1.0, 1.0]


def test_each_way_of_signing_is_what_it_says(time: Clock) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, dict(handler.headers)))
        send(handler, 200, b"{}")

    secret = "env:DUBAN_FEED_SULAIBAN_TOKEN"
    ways = (
        Signature(kind="header", secret=secret, header="Authorization", prefix="Bearer "),
        Signature(kind="query", secret=secret, header="api_key"),
        Signature(kind="hmac", secret=secret, key="duban"),
        Signature(),
    )
    with answering(answer) as address:
        for signature in ways:
            ask(spec_at(address).model_copy(update={"signature": signature}), time)
    (_, bearer), (path, _), (target, signed), (_, bare) = seen
    assert bearer["Authorization"] == f"Bearer {SECRET}"
    assert parse_qs(urlsplit(path).query) == {"api_key": [SECRET], "q": ["路 灯"]}
    stamp, nonce = signed["X-Timestamp"], signed["X-Nonce"]
    assert signed["X-Signature"] == hmac_of(SECRET, "GET", target, stamp, nonce, b"")
    assert (signed["X-App-Key"], int(stamp), len(nonce)) == ("duban", int(NOW.timestamp()), 32)
    assert SECRET not in str(bare)


def pages(address: str, time: Clock, name: str = "sulaiban") -> list[int]:
    """How many records each page brought."""
    spec = spec_at(address)
    if name == "numbered":
        paging = load_spec("hotline12345").paging.model_copy(update={"size": 2, "total": None})
        spec = spec.model_copy(update={"paging": paging})
    with Upstream(spec, time.pace()) as upstream:
        return [len(page.records) for page in RestFeed(spec, upstream).pages({}, NOW)]


def test_a_repeated_cursor_ends_the_pull(time: Clock) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        at = parse_qs(urlsplit(handler.path).query).get("cursor", ["0"])[0]
        send(handler, 200, json.dumps({"list": [{"id": at}], "next": str((int(at) + 1) % 4)}).encode())

    with answering(answer) as address, pytest.raises(UpstreamError, match="pagination loop"):
        pages(address, time)


def test_an_upstream_ignoring_the_page_parameter_ends_the_pull(time: Clock) -> None:
    body = json.dumps({"list": [{"id": 1}, {"id": 2}]}).encode()
    with answering(in_turn((200, body, {}))) as address, pytest.raises(UpstreamError, match="the same page again"):
        pages(address, time, "numbered")


@pytest.mark.parametrize("body", [b'{"list": {}, "next": "1"}', b'{"list": "x"}', b'{"list": 7}'])
def test_records_that_are_no_array_are_an_error_and_not_an_end(body: bytes, time: Clock) -> None:
    with answering(in_turn((200, body, {}))) as address, pytest.raises(UpstreamError, match="not an array"):
        pages(address, time)


def test_an_open311_server_with_day_precision_ends_the_pull(time: Clock) -> None:
    """It gives fifty requests whatever the hour: that may be chance, and is not halved down to the second."""
    asked = count()
    body = json.dumps([{"service_request_id": str(n), "service_code": "1"} for n in range(50)]).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        next(asked)
        send(handler, 200, b"[]" if "/services" in handler.path else body)

    with answering(answer) as address:
        spec = load_spec("open311", changes=SpecOverrides(base_url=address))
        spec = spec.model_copy(update={"request": spec.request.model_copy(update={"encoding": "json"})})
        with Upstream(spec, time.pace()) as upstream:
            found = list(Open311Feed(spec, upstream).pages({}, NOW))
    assert [len(page.records) for page in found] == [50]
    assert next(asked) == 4, "the span, its halves, and the services"
