"""HEAD is answered as GET without the body. Load balancers use it to check availability, download managers for file sizes."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Every route that accepts GET accepts HEAD (RFC 9110, 9.3.2), without declaring it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as a GET and end the response after its headers, so that a stream ends too."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            await self.app(asked, receive, send_head)
        finally:  # the layers around this one read from the scope which route was selected
            scope.update({**asked, "method": scope["method"]})
