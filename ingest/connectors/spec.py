"""What a feed is: one TOML file, checked. Where to ask, how to page, how to sign, how to read a record.

The file never holds a secret: ``secret`` is ``env:NAME`` or ``file:PATH``, looked up at each pull. ``docs/intake.md``
describes the format; what is pulled is done in ``ingest.feeds.pull``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.config import variable
from app.errors import Conflict, Invalid, NotFound
from app.validation import TimeZone, nested, objection, validated
from ingest.rows.profile import Profile, SourceNamed, Wording, check_profile
from ingest.rows.toml_text import read_toml

BUNDLED = Path(__file__).resolve().parents[1] / "feeds" / "templates"
_SIZE = 256 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MIB = 1024 * 1024
DottedPath = Annotated[str, Field(pattern=r"^[^\s.]+(\.[^\s.]+)*$", max_length=200)]


class _SpecPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestLimits(_SpecPart):
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


class RequestSpec(_SpecPart):
    """What is asked for. ``items`` is the path of the records in the answer (empty: the answer is their array);
    ``success``: a member that must have one of these values, where the upstream answers errors with status 200."""

    path: str = ""
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    items: str = ""
    success: dict[DottedPath, tuple[str, ...]] = {}
    encoding: Literal["json", "xml"] = "json"


class Paging(_SpecPart):
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


class ChangeWindow(_SpecPart):
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


class Signature(_SpecPart):
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


class Reconcile(_SpecPart):
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


class Folder(_SpecPart):
    """A folder watched for files: those that match and have not changed for ``quiet_seconds`` are imported by
    ``profile``, and then moved into ``done`` (or ``failed``) below it."""

    path: str
    pattern: str = "*"
    profile: str
    quiet_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    live: bool = True


class FeedSpec(_SpecPart):
    """One feed. ``mapping`` is a mapping profile without its name, title and source; record members are its columns,
    nested ones by dotted names. ``updated`` is the member that tells when the record was last changed."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,57}$")]
    title: Wording
    kind: Literal["rest", "open311", "folder"]
    source: SourceNamed
    base_url: str = ""
    plain_http: bool = False
    limits: RequestLimits = RequestLimits()
    request: RequestSpec = RequestSpec()
    paging: Paging = Paging()
    window: ChangeWindow | None = None
    signature: Signature = Signature()
    reconcile: Reconcile | None = None
    folder: Folder | None = None
    updated: DottedPath | None = None
    mapping: dict[str, Any] = {}
    jurisdiction: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> FeedSpec:
        if self.kind == "folder":
            if self.folder is None:
                raise objection("kind = folder 须有 [folder]", "kind = folder needs [folder]")
            return self
        _check_url(self.base_url, plain=self.plain_http)
        try:
            self.profile()
        except Invalid as wrong:
            raise nested(wrong.under("/mapping")) from wrong
        if self.paging.style == "none" and self.window is None:
            raise objection("[paging] 与 [window] 至少要有一个", "needs [paging] or [window], or both")
        if self.paging.style == "token" and self.window is not None:
            raise objection(
                "style = token 的游标自带进度，不能再有 [window]", "a token is a cursor: no [window] beside it"
            )
        if self.kind == "open311" and self.window is None:
            raise objection("kind = open311 须有 [window]", "kind = open311 needs [window]")
        return self

    def profile(self) -> Profile:
        """The mapping as a profile. Raises ``Invalid`` with pointers into the profile for a mistake in it."""
        title, source = self.title.model_dump(), self.source.model_dump()
        return check_profile({**self.mapping, "name": self.name, "title": title, "source": source})


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


@dataclass(frozen=True, slots=True)
class SpecOverrides:
    """What of a template is replaced: its name, the code of its source, its upstream's address, its folder."""

    name: str | None = None
    source: str | None = None
    base_url: str | None = None
    folder: str | None = None


AS_IT_IS = SpecOverrides()


def parse_spec(text: str, changes: SpecOverrides = AS_IT_IS) -> FeedSpec:
    """The feed in the TOML ``text``, with ``changes``. Raises ``Invalid`` with a pointer for each mistake."""
    content = read_toml(text)
    if changes.name is not None:
        content["name"] = changes.name
    if changes.source is not None:
        content["source"] = {**_table(content.get("source")), "code": changes.source}
    if changes.base_url is not None:
        content["base_url"] = changes.base_url.rstrip("/")
    if changes.folder is not None:
        content["folder"] = {**_table(content.get("folder")), "path": changes.folder}
    return spec_of(content)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def spec_of(content: Mapping[str, Any]) -> FeedSpec:
    """The feed kept as ``content``. Raises ``Invalid``."""
    return validated(FeedSpec.model_validate, content, FeedSpec.model_fields)


def template_names(folders: Iterable[Path] = ()) -> list[str]:
    """The names of the templates in ``folders`` and of the bundled ones."""
    return sorted({path.stem for place in (*folders, BUNDLED) for path in place.glob("*.toml")})


def template_text(name: str, folders: Iterable[Path] = ()) -> str:
    """The TOML of the template called ``name``. Raises ``NotFound``, naming those there are, and ``Invalid``."""
    places = [*folders]
    known = template_names(places)
    if name not in known:
        raise NotFound(
            f"没有名为 {name} 的接入源模板，现有：{'、'.join(known)}",
            f"no feed template {name!r}; there are: {', '.join(known)}",
        )
    return read_file(next(found for place in (*places, BUNDLED) if (found := place / f"{name}.toml").is_file()))


def read_file(path: Path) -> str:
    """The text of a feed file. Raises ``NotFound``, and ``Invalid`` for what is no feed file at all."""
    if not path.is_file():
        raise NotFound(f"没有文件 {path}", f"there is no file {path}")
    if path.stat().st_size > _SIZE:
        raise Invalid.at("", "接入源配置文件过大", "the feed file is too large")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid.at("", "接入源配置应为 UTF-8 编码", "a feed file must be UTF-8") from error


def load_spec(name: str, folders: Iterable[Path] = (), changes: SpecOverrides = AS_IT_IS) -> FeedSpec:
    """The feed of the template called ``name``, or of the file ``name`` where that ends in ``.toml``, with ``changes``.
    Raises ``NotFound`` and ``Invalid``."""
    return parse_spec(read_file(Path(name)) if name.endswith(".toml") else template_text(name, folders), changes)
