"""Dependencies of endpoints: the runtime, the principal, the version in ``If-Match``, pagination cursors."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from fastapi.dependencies.models import Dependant
from pydantic import BeforeValidator

from app import clock
from app.errors import BadRequest, FieldProblem, Invalid, NotFound, Unauthorized
from app.logging import bind
from app.runtime import Runtime
from app.schemas.moment import Moment
from app.security.principal import Principal
from app.security.sessions import SESSION_COOKIE
from app.services.access import accounts

LONGEST_NUMBER = 18
"""Digits of a number that a caller may send: what every database holds."""


def runtime(request: Request) -> Runtime:
    """The runtime of this process."""
    found: Runtime = request.app.state.duban
    return found


def bearer_token(request: Request) -> str:
    """Return the request's token: ``Authorization: Bearer …``, or for reads the console's session cookie.

    A request that changes something needs the header (or the console's forms): with a cookie alone, another site could
    act in the user's name.
    """
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
    """Return the caller; raises Unauthorized."""
    token = bearer_token(request)
    with runtime(request).database.read() as session:
        who = accounts.authenticate(session, token, clock.now())
    bind(actor=who.actor)
    return who


Run = Annotated[Runtime, Depends(runtime)]
Who = Annotated[Principal, Depends(principal)]


def _query_names(dependant: Dependant) -> set[str]:
    """Return the query parameters of an endpoint and its dependencies."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_query_names(inner) for inner in dependant.dependencies))


async def known_query(request: Request) -> None:
    """Refuse unknown or repeated query parameters, which would otherwise be ignored, and NUL characters, which no database
    stores. Raises Invalid, NotFound.
    """
    if "\0" in request.url.path:
        raise NotFound("地址中不能有空字符（NUL）", "no address has a NUL character")
    known = {"lang", *_query_names(request.scope["route"].dependant)}
    problems = []
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name not in known:
            problems.append(FieldProblem(f"/{name}", "没有这个参数；可用：" + "、".join(sorted(known)),
                                         "no such parameter; there are: " + ", ".join(sorted(known))))  # fmt: skip
        elif len(values) > 1:
            problems.append(FieldProblem(f"/{name}", "只能给出一次", "may be given once"))
        elif "\0" in values[0]:
            problems.append(FieldProblem(f"/{name}", "不能有空字符（NUL）", "must not contain a NUL character"))
    if problems:
        raise Invalid(problems)


def if_match(
    if_match: Annotated[str | None, Header(description='the version read, such as `"3"`')] = None,
) -> int | None:
    """Return the version in ``If-Match``; None without a header, or for ``*``."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > LONGEST_NUMBER:
        raise BadRequest('If-Match 应为工单版本号，例如 "3"', 'If-Match must be a ticket version, such as "3"')
    return int(text)


IfMatch = Annotated[int | None, Depends(if_match)]


def _plus(value: object) -> object:
    return _LOST_PLUS.sub(r"+\1", value) if isinstance(value, str) else value


_LOST_PLUS = re.compile(r" (\d\d:?\d\d)$")
"""The ``+`` of an offset that an address was given as it is: it stands for a space there."""
QueryMoment = Annotated[Moment, BeforeValidator(_plus)]
Id = Annotated[int, Path(ge=1, le=2**62, description="id, as answered by the service")]
TicketQuery = Annotated[int | None, Query(ge=1, le=2**62, description="id of a ticket")]
UnitQuery = Annotated[str | None, Query(description="code of a unit; its whole subtree counts")]
Limit = Annotated[int, Query(ge=1, le=500, description="rows at most")]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]


def encode_cursor(key: int) -> str:
    """Return a cursor positioned after the row with this key."""
    return base64.urlsafe_b64encode(f"k{key}".encode()).decode().rstrip("=")


def decode_cursor(text: str | None) -> int | None:
    """Return the key in a cursor; raises BadRequest for one not issued by this service."""
    if text is None or text == "":
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raw = ""
    if not raw.startswith("k") or not raw[1:].isdecimal() or len(raw) > 1 + LONGEST_NUMBER:
        raise BadRequest(
            "cursor 无效：请使用上一页返回的 next", "the cursor is not valid: use `next` of the page before"
        )
    return int(raw[1:])
