"""Reading a request's body: of a kind that the door reads, and no longer than it takes."""

from __future__ import annotations

from fastapi import Request

from app.domain.errors import TooLarge, UnsupportedMedia


def check_content_type(request: Request, *allowed: str) -> str:
    """The body's media type, in lower case and without parameters; raises UnsupportedMedia unless it is of ``allowed``.

    A body without ``Content-Type`` counts as the first of them."""
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise UnsupportedMedia(
            f"不接受压缩的请求体（Content-Encoding: {packed[:40]!r}），请原样发送",
            f"a packed body is not taken (Content-Encoding: {packed[:40]!r}): send it as it is",
        )
    given = request.headers.get("content-type")
    if given is None:
        return allowed[0]
    kind = given.partition(";")[0].strip().lower()
    if kind not in allowed:
        raise UnsupportedMedia(
            f"Content-Type 应为 {' 或 '.join(allowed)}，而不是 {kind[:100]!r}",
            f"Content-Type must be {' or '.join(allowed)}, not {kind[:100]!r}",
        )
    return kind


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, of ``limit`` bytes at most; raises TooLarge as soon as it is known to be longer, whatever it
    says of its own length."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    shown = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 1024} KiB"
    return TooLarge(f"请求体最大 {shown}", f"the body may have at most {shown}")
