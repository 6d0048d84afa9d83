"""Limit of a request body's size, before anything reads it: no client, signed in or not, can exhaust the memory."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body import too_large
from app.api.problems import of_error

LONGEST: Final = 4 * 1024 * 1024
"""Bytes of any body of the API but those below."""
OWN_LIMIT: Final = frozenset({"/api/v1/tickets/batch", "/api/v1/profiles/propose", "/api/v1/profiles/preview"})
"""Paths that read their body piece by piece, and bound it themselves."""


class BodyLimit:
    """Refuses a longer body with 413: by its ``Content-Length``, or as soon as the limit is exceeded."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body bounded."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/") or scope["path"] in OWN_LIMIT:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > LONGEST):
            await of_error(Request(scope), too_large(LONGEST))(scope, receive, send)
            return
        counted = "transfer-encoding" in headers
        await self.app(scope, _bounded(receive) if counted else receive, send)


def _bounded(receive: Receive) -> Receive:
    size = 0

    async def read() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LONGEST:
            raise HTTPException(413)  # body parsers pass this type through; the handler produces the message
        return message

    return read
