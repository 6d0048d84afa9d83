"""Reading a request body: content type and size limits, and text that the database cannot store."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from app.errors import Invalid, TooLarge, UnsupportedMedia
from app.validation import problem, refusal


class JsonBody(BaseModel):
    """What every JSON body of the API keeps to: no field that it does not know, no text that no database keeps."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        if not storable(value):
            raise refusal("unstorable")
        return value


def storable(value: Any) -> bool:
    """Whether every text in ``value``, however deep, can be kept: no NUL, no lone surrogate."""
    return unstorable_at(value) is None


def unstorable_at(value: Any) -> tuple[str | int, ...] | None:
    """Where in ``value``, however deep, a text stands that cannot be kept (of a name that cannot, in what); none where all
    can."""
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while todo:
        where, one = todo.pop()
        if isinstance(one, str):
            if not _is_kept(one):
                return where
        elif isinstance(one, dict):
            if not all(_is_kept(key) for key in one if isinstance(key, str)):
                return where
            todo += [((*where, key), inner) for key, inner in one.items()]
        elif isinstance(one, list):
            todo += [((*where, index), inner) for index, inner in enumerate(one)]
    return None


def _is_kept(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kept(document: dict[str, Any]) -> dict[str, Any]:
    where = unstorable_at(document)
    if where is not None:
        raise Invalid([problem("unstorable", where)])
    return document


Document = Annotated[dict[str, Any], AfterValidator(_kept)]
"""A JSON body that is read by a rule of its own: what no database keeps is refused before, with its place."""


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
    return b"".join([part async for part in _parts(request, limit)])


@asynccontextmanager
async def body_on_disk(request: Request, limit: int) -> AsyncIterator[bytes | mmap.mmap]:
    """The same for a body that may be long: it comes into a file, and is given as what that holds, so that those who
    send slowly, and those who wait, take no memory."""
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
    """The refusal of a body of more than ``limit`` bytes."""
    shown = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 1024} KiB"
    return TooLarge(f"请求体最大 {shown}", f"the body may have at most {shown}")
