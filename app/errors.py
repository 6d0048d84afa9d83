"""Every refusal Duban makes, as one tree.

    DubanError                    what is wrong, where, and what would be right, in Chinese and English
    ├── Invalid            422    content that cannot be taken; carries one FieldProblem per place
    ├── BadRequest         400    a request that cannot be read at all (broken JSON, a naive time in a query)
    ├── Unauthorized       401    no credential, or one that is unknown, expired or revoked
    ├── Forbidden          403    the caller is known, and may not do this
    ├── NotFound           404    no such thing, or none that the caller may see
    ├── Conflict           409    the state of the thing does not allow it
    │   └── NotAllowed     409    a transition outside the life-cycle table; names the state and what is allowed
    ├── Stale              412    the ticket has moved on since the version in If-Match
    ├── TooLarge           413    more rows or bytes than an endpoint accepts at once
    ├── UnsupportedMedia   415    a content type not supported by this endpoint
    └── Busy               503    the intake queue is full; says when to retry

The HTTP status is defined here because it is part of each error's meaning in the contract; ``app.api.problems`` renders
an error as ``application/problem+json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from app.text import Text


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong at one place: a JSON pointer (RFC 6901), and the reason in both languages.

    ``code`` names the kind of problem where problems are grouped by it, as rejects are.
    """

    pointer: str
    zh: str
    en: str
    code: str = "invalid"

    def text(self, lang: str) -> str:
        """The reason in ``lang`` (``zh`` unless ``en``)."""
        return self.en if lang == "en" else self.zh


class DubanError(Exception):
    """The root: an error with its message in both languages (``message``); ``reason``: a machine-readable word that
    distinguishes it within its class."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"
    title: ClassVar[Text] = Text("无法处理", "Cannot be done")

    def __init__(self, zh: str, en: str, *, reason: str | None = None) -> None:
        super().__init__(en)
        self.message = Text(zh, en)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)  # errors cross from process to process

    def text(self, lang: str) -> str:
        """The reason in ``lang`` (``zh`` unless ``en``)."""
        return self.message.to(lang)


def _rebuild(kind: type[DubanError], args: tuple[Any, ...], state: dict[str, Any]) -> DubanError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class Invalid(DubanError):
    """The content breaks a rule; ``problems`` names each place."""

    status = 422
    code = "invalid"
    title = Text("内容不符合要求", "Invalid content")

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems: Sequence[FieldProblem] = tuple(problems)
        zh = "；".join(f"{p.pointer or '/'}：{p.zh}" for p in self.problems[:5])
        en = "; ".join(f"{p.pointer or '/'}: {p.en}" for p in self.problems[:5])
        super().__init__(zh, en)

    @classmethod
    def at(cls, pointer: str, zh: str, en: str) -> Invalid:
        """The common case: one thing wrong at one place."""
        return cls([FieldProblem(pointer, zh, en)])

    def under(self, pointer: str) -> Invalid:
        """The same error for a part at ``pointer`` of the whole."""
        return Invalid(FieldProblem(pointer + p.pointer, p.zh, p.en, p.code) for p in self.problems)


class BadRequest(DubanError):
    """The request cannot be read."""

    status = 400
    code = "bad-request"
    title = Text("请求无法解析", "Bad request")


class Unauthorized(DubanError):
    """No valid credential came with the request."""

    status = 401
    code = "unauthorized"
    title = Text("未登录或凭据无效", "Unauthorized")


class Forbidden(DubanError):
    """The caller's role or scope does not allow this."""

    status = 403
    code = "forbidden"
    title = Text("没有权限", "Forbidden")


class NotFound(DubanError):
    """No such thing, or none that the caller may see."""

    status = 404
    code = "not-found"
    title = Text("不存在", "Not found")


class Conflict(DubanError):
    """The thing's present state does not allow this; ``fields`` names what differs, where that is the reason."""

    status = 409
    code = "conflict"
    title = Text("与当前状态冲突", "Conflict")

    def __init__(self, zh: str, en: str, *, fields: Sequence[str] = ()) -> None:
        super().__init__(zh, en)
        self.fields = tuple(fields)


class NotAllowed(Conflict):
    """The life cycle has no such step from this state."""

    code = "transition-not-allowed"

    def __init__(self, zh: str, en: str, *, state: str, allowed: Sequence[str]) -> None:
        super().__init__(zh, en)
        self.state = state
        self.allowed = tuple(allowed)


class Stale(DubanError):
    """The ticket has moved on since the version the caller read."""

    status = 412
    code = "stale"
    title = Text("工单已被更新", "The ticket has moved on")


class TooLarge(DubanError):
    """More rows or bytes than this endpoint accepts at once."""

    status = 413
    code = "too-large"
    title = Text("内容过大", "Too large")


class UnsupportedMedia(DubanError):
    """The content type is not supported by this endpoint."""

    status = 415
    code = "unsupported-media-type"
    title = Text("不支持的内容类型", "Unsupported media type")


class Busy(DubanError):
    """The intake queue is full; ``retry_after`` is in seconds."""

    status = 503
    code = "busy"
    title = Text("系统繁忙", "Busy")

    def __init__(self, zh: str, en: str, *, retry_after: int = 1) -> None:
        super().__init__(zh, en)
        self.retry_after = retry_after


def documentation() -> str:
    """docs/errors.md, whole."""
    lines = [
        "# Errors 错误",
        "",
        "Generated by `python -m app.errors`; a test fails when it is out of date. Every refusal is answered as",
        "`application/problem+json` (RFC 9457): `type` is `urn:duban:problem:` and the code; `title` and `detail` are in the",
        "language of the request; `request_id` is the one in `X-Request-ID` and in the log.",
        "",
        "| status | code | 中文 | English | meaning |",
        "|---|---|---|---|---|",
    ]
    kinds = [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, DubanError)]
    for kind in sorted(kinds[1:], key=lambda kind: (kind.status, kind.code)):
        meaning = (kind.__doc__ or "").split("\n")[0]
        lines.append(f"| {kind.status} | `{kind.code}` | {kind.title.zh} | {kind.title.en} | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(documentation(), end="")  # noqa: T201
