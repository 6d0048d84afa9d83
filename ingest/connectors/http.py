"""Asking an upstream over HTTP: bounded in time and size, signed, retried with full jitter, and no faster than agreed.

An answer counts only once it is whole and can be read: a truncated body, or one that is no JSON, is asked for again
like a 500. A redirect is refused, since a signed request must not be led elsewhere. No message holds a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import httpx

from app.errors import DubanError
from app.text import Text
from ingest.connectors.spec import FeedSpec

T = TypeVar("T")
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_CUT = 300
_PIECE = 1024 * 1024
"""Bytes that are unpacked at a time."""
_CONDITIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""The validators of an answer, each with the header that makes the next request conditional on it."""
USER_AGENT = "duban"


class UpstreamError(DubanError):
    """The upstream did not give what was asked for. ``again``: another try may succeed; ``wait`` seconds at least."""

    status = 502
    code = "upstream"
    title = Text("上游接口异常", "The upstream failed")

    def __init__(self, zh: str, en: str, *, again: bool = False, wait: float | None = None, http: int = 0) -> None:
        super().__init__(zh, en)
        self.again = again
        self.wait = wait
        self.http = http


class UnreadableBody(ValueError):
    """A body that cannot be read; raised by the reader that ``Upstream.get`` is given."""


@dataclass
class RequestPace:
    """The clocks and chances of a client; tests give their own."""

    now: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.SystemRandom().random


@lru_cache(maxsize=1)
def _authorities() -> ssl.SSLContext:
    """Whom an upstream's certificate may be signed by. Read once: it takes longer than a pull that finds nothing."""
    return httpx.create_ssl_context()


def plain_text(body: bytes) -> str:
    """Return the text of an error response unchanged."""
    return body[:_CUT].decode("utf-8", "replace").strip()


class Upstream:
    """One upstream, as a context manager. ``before_each`` is called before every request: to renew a lease. ``explain``
    makes a message of the body of a refusal, for a trial by an administrator; without it, the body is not quoted."""

    def __init__(
        self,
        spec: FeedSpec,
        pace: RequestPace,
        before_each: Callable[[], None] = lambda: None,
        explain: Callable[[bytes], str] | None = None,
    ) -> None:
        self.spec = spec
        self._explain = explain
        self.retries = 0
        self.skew_seconds: int | None = None
        self._pace = pace
        self._before_each = before_each
        self._secret = spec.signature.reveal() if spec.signature.kind != "none" else ""
        self._last = -1e9
        limits = spec.limits
        timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds)
        self._client = httpx.Client(
            timeout=timeout, follow_redirects=False, verify=_authorities(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
        )  # fmt: skip

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, str], read: Callable[[bytes], T]) -> T:
        """What ``read`` makes of the answer to GET ``path``; it raises ``UnreadableBody`` for what must be asked again.

        Raises ``UpstreamError`` once every attempt has failed, or at once where another cannot help.
        """
        return self._repeated(path, params, lambda _, body: read(body), {})

    def get_changed(
        self, path: str, params: Mapping[str, str], read: Callable[[bytes], T], validators: Mapping[str, str]
    ) -> tuple[T, dict[str, str]] | None:
        """As ``get``, with the answer's validators (``ETag``, ``Last-Modified``), to be given the next time; None where
        the upstream answers that nothing has changed since ``validators``."""

        def changed(answer: httpx.Response, body: bytes) -> tuple[T, dict[str, str]] | None:
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return None
            return read(body), {name: answer.headers[name] for name in _CONDITIONS if name in answer.headers}

        conditions = {header: validators[name] for name, header in _CONDITIONS.items() if name in validators}
        return self._repeated(path, params, changed, conditions)

    def _repeated(
        self, path: str, params: Mapping[str, str], read: Callable[[httpx.Response, bytes], T],
        conditions: Mapping[str, str],
    ) -> T:  # fmt: skip
        limits = self.spec.limits
        for attempt in range(limits.attempts):
            self._before_each()
            self._keep_pace()
            try:
                return self._once(path, params, read, conditions)
            except UpstreamError as error:
                wait = self._wait(attempt, error.wait)
                if not error.again or attempt + 1 == limits.attempts or wait > limits.longest_wait_seconds:
                    raise
                self.retries += 1
                self._pace.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, attempt: int, asked: float | None) -> float:
        """Full jitter: anything from nothing to the doubled step, on top of what the upstream asked for."""
        limits = self.spec.limits
        step = min(limits.longest_wait_seconds, limits.backoff_seconds * 2**attempt)
        jitter: float = self._pace.random() * step
        return jitter if asked is None else asked + min(jitter, 1.0)

    def _keep_pace(self) -> None:
        due = self._last + 60 / self.spec.limits.per_minute
        ahead = due - self._pace.monotonic()
        if ahead > 0:
            self._pace.sleep(ahead)
        self._last = self._pace.monotonic()

    def _once(
        self, path: str, params: Mapping[str, str], read: Callable[[httpx.Response, bytes], T],
        conditions: Mapping[str, str],
    ) -> T:  # fmt: skip
        url, headers = self._signed(path, params)
        try:
            with self._client.stream("GET", url, headers={**headers, **conditions}) as answer:
                self._note_skew(answer)
                body = self._body(answer)
        except httpx.ConnectError as error:
            raise UpstreamError("无法连接上游", "the upstream cannot be reached", again=True) from error
        except httpx.TimeoutException as error:
            raise UpstreamError("上游没有及时应答", "the upstream did not answer in time", again=True) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            kind = type(error).__name__
            raise UpstreamError(
                f"与上游的连接中断（{kind}）", f"the connection to the upstream broke ({kind})", again=True
            ) from error
        if not (conditions and answer.status_code == httpx.codes.NOT_MODIFIED):
            self._check_status(answer, body)
        try:
            return read(answer, body)
        except UnreadableBody as error:
            raise UpstreamError(
                f"上游的应答无法读取：{error}", f"the upstream's answer cannot be read: {error}", again=True
            ) from error

    def _body(self, answer: httpx.Response) -> bytes:
        """The whole body, unpacked; no more than the limit of bytes and seconds of it."""
        limits = self.spec.limits
        ends = self._pace.monotonic() + limits.total_seconds
        parts: list[bytes] = []
        size = 0
        for part in _unpacked(answer):
            size += len(part)
            if size > limits.body_bytes:
                raise UpstreamError(
                    f"上游的应答超过 {limits.body_bytes} 字节",
                    f"the upstream's answer is longer than {limits.body_bytes} bytes",
                )
            if self._pace.monotonic() > ends:
                raise UpstreamError("上游的应答太慢", "the upstream's answer came too slowly", again=True)
            parts.append(part)
        return b"".join(parts)

    def _check_status(self, answer: httpx.Response, body: bytes) -> None:
        status = answer.status_code
        if status == httpx.codes.OK:
            return
        if 300 <= status < 400:
            raise UpstreamError(
                f"上游要求转到别处（{status}），请更正 base_url",
                f"the upstream redirects ({status}): correct base_url",
                http=status,
            )
        detail = "" if self._explain is None else self._explain(body)[:_CUT].replace("\0", "")
        if self._secret:
            detail = detail.replace(self._secret, "***")
        raise UpstreamError(
            f"上游应答 {status}：{detail}" if detail else f"上游应答 {status}",
            f"the upstream answered {status}: {detail}" if detail else f"the upstream answered {status}",
            again=status in _AGAIN,
            wait=self._retry_after(answer.headers.get("Retry-After")),
            http=status,
        )

    def _retry_after(self, text: str | None) -> float | None:
        """Seconds to wait: as a number, or until a date; None where the upstream asks for nothing that can be read."""
        if text is None:
            return None
        if text.strip().isdecimal():
            return float(text)
        try:
            when = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
        return max(0.0, (when - self._pace.now()).total_seconds()) if when.tzinfo else None

    def _note_skew(self, answer: httpx.Response) -> None:
        try:
            there = parsedate_to_datetime(answer.headers["Date"])
            self.skew_seconds = round((there - self._pace.now()).total_seconds())
        except (KeyError, TypeError, ValueError):
            self.skew_seconds = None

    def _signed(self, path: str, params: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        signature = self.spec.signature
        headers = dict(self.spec.request.headers)
        asked = {**self.spec.request.params, **params}
        if signature.kind == "query":
            asked[signature.header] = self._secret
        url = self.spec.base_url.rstrip("/") + path
        if asked:
            url += "?" + urlencode(asked)
        if signature.kind == "header":
            headers[signature.header] = signature.prefix + self._secret
        elif signature.kind == "hmac":
            stamp, nonce = str(int(self._pace.now().timestamp())), secrets.token_hex(16)
            parts = urlsplit(url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            headers[signature.timestamp_header], headers[signature.nonce_header] = stamp, nonce
            headers[signature.header] = signature.prefix + hmac_of(self._secret, "GET", target, stamp, nonce, b"")
            if signature.key is not None:
                headers[signature.key_header] = signature.key
        return url, headers


def _unpacked(answer: httpx.Response) -> Iterator[bytes]:
    """The body as it arrives, unpacked a little at a time: a bomb is noticed before it has filled memory, and a body that
    drips by its first drops. Raises ``UpstreamError`` for what is packed otherwise than was asked for, or twice."""
    packing = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if packing in ("identity", ""):
        yield from answer.iter_raw()
        return
    if packing not in ("gzip", "x-gzip"):
        raise UpstreamError(
            f"上游的应答以 {packing[:40]!r} 压缩，只接受 gzip",
            f"the answer is packed as {packing[:40]!r}: only gzip is taken",
        )
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for packed in answer.iter_raw():
            yield unpacker.decompress(packed, _PIECE)
            while unpacker.unconsumed_tail:
                yield unpacker.decompress(unpacker.unconsumed_tail, _PIECE)
    except zlib.error as error:
        raise UpstreamError("上游的应答解压失败", "the answer cannot be unpacked", again=True) from error
    if not unpacker.eof:
        raise UpstreamError("上游的应答不完整", "the answer breaks off", again=True)


def hmac_of(secret: str, method: str, target: str, stamp: str, nonce: str, body: bytes) -> str:
    """The signature of a request: HMAC-SHA256, in hex, over its method, target, time stamp, nonce and body."""
    signed = f"{method}\n{target}\n{stamp}\n{nonce}\n".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
