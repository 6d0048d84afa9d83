"""What endpoints ask for: the runtime, who is calling, the version in ``If-Match``, a place in a list."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from app import clock
from app.domain.errors import BadRequest, Forbidden, Unauthorized
from app.runtime import Runtime
from app.security.principal import Principal, RoleName
from app.security.sessions import SESSION_COOKIE
from app.services import accounts


def runtime(request: Request) -> Runtime:
    """The runtime of this process."""
    found: Runtime = request.app.state.duban
    return found


def bearer_token(request: Request) -> str:
    """The token of the request: ``Authorization: Bearer …``, or the console's session cookie for reading.

    A request that changes something must bring the header (or go through the console's forms): a cookie alone would
    let another site act in the user's name."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie and request.method in ("GET", "HEAD"):
        return cookie
    raise Unauthorized(
        "需要凭据：请在 Authorization 头中以 Bearer 方式提供密钥或会话令牌",
        "a credential is needed: `Authorization: Bearer` with a key or a session token",
    )


def principal(request: Request) -> Principal:
    """Who is calling; raises Unauthorized."""
    token = bearer_token(request)
    with runtime(request).database.read() as session:
        return accounts.authenticate(session, token, clock.now())


Run = Annotated[Runtime, Depends(runtime)]
Who = Annotated[Principal, Depends(principal)]


def need_role(who: Principal, *roles: RoleName) -> None:
    """Refuse with 403 unless ``who`` has one of ``roles`` (an administrator always has)."""
    if who.role != "admin" and who.role not in roles:
        raise Forbidden(
            f"需要以下角色之一：{'、'.join(('admin', *roles))}",
            f"one of these roles is needed: {', '.join(('admin', *roles))}",
        )


def if_match(
    if_match: Annotated[str | None, Header(description='the version read, such as `"3"`')] = None,
) -> int | None:
    """The version in ``If-Match``; none where there is no header, or ``*``."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal():
        raise BadRequest('If-Match 应为工单版本号，例如 "3"', 'If-Match must be a ticket version, such as "3"')
    return int(text)


IfMatch = Annotated[int | None, Depends(if_match)]
Limit = Annotated[int, Query(ge=1, le=500, description="rows at most")]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]


def encode_cursor(key: int) -> str:
    """A cursor that stands after the row with this key."""
    return base64.urlsafe_b64encode(f"k{key}".encode()).decode().rstrip("=")


def decode_cursor(text: str | None) -> int | None:
    """The key in a cursor; raises BadRequest for one that this service did not make."""
    if text is None or text == "":
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raw = ""
    if not raw.startswith("k") or not raw[1:].isdecimal() or len(raw) > 20:
        raise BadRequest(
            "cursor 无效：请使用上一页返回的 next", "the cursor is not valid: use `next` of the page before"
        )
    return int(raw[1:])
