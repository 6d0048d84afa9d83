"""The specification of a feed: where to ask, how to page, how to sign, how to read a record.

What a protocol adds to it, or requires of it, is the ``spec_type`` of its connector; ``ingest.connectors.registry`` reads
a definition by its ``kind``. It never holds a secret: ``secret`` is ``env:NAME`` or ``file:PATH``, read at each pull.
``docs/intake.md`` describes the format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.config import variable
from app.errors import Conflict, Invalid
from app.validation import TimeZone, nested, objection
from ingest.rows.profile import Profile, SourceNamed, Wording, check_profile

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MIB = 1024 * 1024
DottedPath = Annotated[str, Field(pattern=r"^[^\s.]+(\.[^\s.]+)*$", max_length=200)]


class SpecPart(BaseModel):
    """One table of a definition: unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestLimits(SpecPart):
    """How long and how hard an upstream is asked. Seconds, bytes, requests a minute; ``attempts`` of one request."""

    every_seconds: Annotated[int, Field(ge=5, le=86_400)] = 300
    connect_seconds: Annotated[float, Field(gt=0, le=120)] = 10
    read_seconds: Annotated[float, Field(gt=0, le=300)] = 30
    total_seconds: Annotated[float, Field(gt=0, le=600)] = 120
    attempts: Annotated[int, Field(ge=1, le=10)] = 5
    backoff_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5
    longest_wait_seconds: Annotated[float, Field(ge=0, le=600)] = 60
    per_minute: Annotated[int, Field(ge=1, le=100_000)] = 120
    body_bytes: Annotated[int, Field(ge=1024, le=256 * _MIB)] = 16 * _MIB
    breaker_failures: Annotated[int, Field(ge=1, le=100)] = 3
    breaker_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60


class RequestSpec(SpecPart):
    """What is asked for. ``items`` is the path of the records in the answer (empty: the answer is their array);
    ``success``: a member that must have one of these values, where the upstream answers errors with status 200."""

    path: str = ""
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    items: str = ""
    success: dict[DottedPath, tuple[str, ...]] = {}
    encoding: Literal["json", "xml"] = "json"


class Paging(SpecPart):
    """``number``: pages counted from ``first``. ``token``: each answer names the next at ``next``, kept as the cursor
    for good. ``none``: one answer holds all. ``total``: path of the number of records."""

    style: Literal["number", "token", "none"] = "none"
    param: str = "page"
    first: int = 1
    size_param: str | None = None
    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    next: DottedPath | None = None
    total: DottedPath | None = None

    @model_validator(mode="after")
    def _has_next(self) -> Paging:
        if self.style == "token" and self.next is None:
            raise objection(
                "style = token 须给出 next（下一游标的路径）", "style = token needs next, the cursor's path"
            )
        return self


class ChangeWindow(SpecPart):
    """The span of changes asked for. Each begins ``overlap_minutes`` before the end of the one before, which must be
    more than the upstream's clock can be off and its writes late; the first reaches ``first_days`` back."""

    since: str
    until: str | None = None
    format: str = "iso"
    time_zone: TimeZone = "UTC"
    overlap_minutes: Annotated[int, Field(ge=0, le=366 * 1440)] = 30
    first_days: Annotated[float, Field(gt=0, le=3660)] = 30
    longest_days: Annotated[float, Field(gt=0, le=3660)] = 30
    most_rows: Annotated[int, Field(ge=1)] | None = None
    """An answer with so many rows is cut off: the window is halved and asked for again."""


class Signature(SpecPart):
    """``hmac``: HMAC-SHA256, in hex, over ``METHOD\\npath?query\\ntimestamp\\nnonce\\nbody``. ``header``: the secret in
    a header after ``prefix``. ``query``: the secret as the parameter ``header``."""

    kind: Literal["none", "hmac", "header", "query"] = "none"
    secret: Annotated[str, Field(pattern=r"^(env:DUBAN_FEED_[A-Z0-9_]+|file:.+)$")] | None = None
    header: str = "X-Signature"
    prefix: str = ""
    timestamp_header: str = "X-Timestamp"
    nonce_header: str = "X-Nonce"
    key_header: str = "X-App-Key"
    key: str | None = None

    @model_validator(mode="after")
    def _needs_secret(self) -> Signature:
        if self.kind != "none" and self.secret is None:
            raise objection(
                '须给出 secret = "env:DUBAN_FEED_…" 或 "file:路径"，密钥本身不写入 TOML',
                'needs secret = "env:DUBAN_FEED_…" or "file:PATH"; the secret itself is never written into the TOML',
            )
        return self

    def reveal(self) -> str:
        """The secret, from where it is kept. Raises ``Conflict`` naming that place where there is none."""
        assert self.secret is not None, "checked when the spec was read"
        kind, _, name = self.secret.partition(":")
        try:
            found = variable(name) if kind == "env" else Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            found = ""
        if not found.strip():
            raise Conflict(f"接入源的密钥不在 {self.secret}", f"the feed's secret is not at {self.secret}")
        return found.strip()


class Reconcile(SpecPart):
    """The upstream's own list of a day. ``ids``: path of the array of ids (or of objects, whose id is at ``id``);
    ``total``: of their number. ``detail``: path of one record (with ``{id}`` in it), its record at ``detail_item``.
    ``format``: how the day is written."""

    path: str
    date_param: str = "date"
    until_param: str | None = None
    format: str = "%Y-%m-%d"
    ids: str = ""
    id: DottedPath | None = None
    total: DottedPath | None = None
    detail: str
    detail_item: str = ""


class FeedSpec(SpecPart):
    """One feed. ``mapping`` is a mapping profile without its name, title and source; record members are its columns,
    nested ones by dotted names. ``updated`` is the member with the time of the record's last change."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,57}$")]
    title: Wording
    kind: str
    source: SourceNamed
    base_url: str = ""
    plain_http: bool = False
    limits: RequestLimits = RequestLimits()
    request: RequestSpec = RequestSpec()
    paging: Paging = Paging()
    window: ChangeWindow | None = None
    signature: Signature = Signature()
    reconcile: Reconcile | None = None
    updated: DottedPath | None = None
    mapping: dict[str, Any] = {}
    jurisdiction: str | None = None

    def profile(self) -> Profile:
        """The mapping as a profile. Raises ``Invalid`` with pointers into the profile for a mistake in it."""
        title, source = self.title.model_dump(), self.source.model_dump()
        return check_profile({**self.mapping, "name": self.name, "title": title, "source": source})


class HttpSpec(FeedSpec):
    """A feed whose records come over HTTP and are read by its ``mapping``."""

    @model_validator(mode="after")
    def _has_address_and_mapping(self) -> HttpSpec:
        _check_url(self.base_url, plain=self.plain_http)
        try:
            self.profile()
        except Invalid as wrong:
            raise nested(wrong.under("/mapping")) from wrong
        return self


def _check_url(url: str, *, plain: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise objection(
            f"base_url 应形如 https://主机/路径，现为 {url!r}", f"base_url must be like https://host/path, not {url!r}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise objection(
            "base_url 不能含账号、查询参数或片段", "base_url must not hold credentials, a query or a fragment"
        )
    if parts.scheme == "http" and not plain and parts.hostname not in _LOOPBACK:
        raise objection(
            "base_url 应使用 https；确在内网时写 plain_http = true",
            "base_url must be https; within a closed network say plain_http = true",
        )
