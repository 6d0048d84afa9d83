"""Per request: an id, the log context, one access event, and a response if the code fails."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import internal_error
from app.logging import context, get_logger
from app.metrics import Metrics

log = get_logger("duban.http")
HEADER: Final = "x-request-id"
UNMATCHED: Final = "(none)"
"""The route of a request that no route matches."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are shown by name; a client may send any word."""
_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id(proposed: str | None) -> str:
    """Return ``proposed`` if it is 1 to 64 letters, digits or ``._:-``; else a new id."""
    return proposed if proposed and _ACCEPTED.fullmatch(proposed) else secrets.token_urlsafe(12)


def route_template(scope: Scope) -> str:
    """Return the path template of the matched route, never the request's path, which may contain anything."""
    selected = scope.get("fastapi", {}).get("effective_route_context")  # of a router that is included with a prefix
    path: str | None = getattr(selected or scope.get("route"), "path", None)
    return path or scope.get("root_path") or UNMATCHED


class RequestContext:
    """The outermost layer of the service.

    Accepts or creates the request id and returns it in ``X-Request-ID``; logs ``request served`` with method, route template,
    status, milliseconds, request id, actor and ticket; turns an unexpected error into a problem document.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        ident = request_id(Headers(scope=scope).get(HEADER))
        scope.setdefault("state", {})["request_id"] = ident
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = ident
            await send(message)

        with context(request_id=ident):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception as error:
                answer = internal_error(Request(scope), error)
                if status is not None:
                    raise  # the response has begun: the server closes the connection
                await answer(scope, receive, send_with_id)
            finally:
                self._served(scope, status, time.perf_counter() - begun)

    def _served(self, scope: Scope, status: int | None, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        fields: dict[str, Any] = {"method": method, "route": route_template(scope), "status": status}
        self._metrics.served(**fields, seconds=seconds)
        ticket = scope.get("path_params", {}).get("ticket_id")
        if ticket is not None:
            fields["ticket"] = ticket
        log.info("request served", **fields, ms=round(seconds * 1000, 1))
