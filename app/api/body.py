"""Reading a request body: content type and size limits, and text that the database cannot store."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from app.errors import TooLarge, UnsupportedMedia


def check_content_type(request: Request, *allowed: str) -> str:
    """Return the body's media type, in lower case and without parameters; raises UnsupportedMedia unless it is ``allowed``.

    A body without ``Content-Type`` counts as the first of them.
    """
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
    """Return the whole body, of ``limit`` bytes at most; raises TooLarge as soon as it exceeds that, whatever its
    ``Content-Length``.
    """
    return b"".join([part async for part in _parts(request, limit)])


@asynccontextmanager
async def body_on_disk(request: Request, limit: int) -> AsyncIterator[bytes | mmap.mmap]:
    """Like ``read_body``, for long bodies: the body is spooled to a file, so slow and waiting clients use no memory."""
    with tempfile.TemporaryFile() as file:
        async for part in _parts(request, limit):
            file.write(part)
        file.flush()
        if not file.tell():
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            yield body


async def _parts(request: Request, limit: int) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        yield part


def too_large(limit: int) -> TooLarge:
    """Return the refusal of a body of more than ``limit`` bytes."""
    shown = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 1024} KiB"
    return TooLarge(f"请求体最大 {shown}", f"the body may have at most {shown}")
