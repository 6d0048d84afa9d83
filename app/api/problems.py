"""The only place that turns errors of the API into ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app.errors import BadRequest, Busy, Conflict, DubanError, Invalid, NotAllowed
from app.logging import get_logger
from app.store import db_errors
from app.validation import problems_of

log = get_logger("duban.api")
MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:duban:problem:"


def language(request: Request) -> str:
    """Return the language of messages to a client: ``Accept-Language``, Chinese unless it prefers English."""
    wanted = request.query_params.get("lang") or request.headers.get("accept-language", "")
    return "en" if wanted.strip().lower().startswith("en") else "zh"


def problem(
    request: Request,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Return one problem document, with the id of its request if it has one."""
    body = {"type": TYPE_BASE + code, "title": title, "status": status, "detail": detail, "instance": request.url.path}
    ident = request.scope.get("state", {}).get("request_id")
    if ident is not None:
        more["request_id"] = ident
    return JSONResponse({**body, **more}, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def of_error(request: Request, error: DubanError) -> JSONResponse:
    """Return the problem document of a refusal."""
    lang = language(request)
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, Invalid):
        more["errors"] = [{"pointer": p.pointer, "detail": p.text(lang)} for p in error.problems]
    if isinstance(error, NotAllowed):
        more["state"] = error.state
        more["allowed"] = list(error.allowed)
    if error.reason is not None:
        more["reason"] = error.reason
    if isinstance(error, Conflict) and error.fields:
        more["fields"] = list(error.fields)
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, error.status, error.code, error.title.to(lang), error.text(lang), headers, **more)


PageOf = Callable[[Request, HTTPException], Response | None]


def install(app: FastAPI, page_of: PageOf | None = None) -> None:
    """Register the error handlers. ``page_of`` returns the page shown instead of the framework's own refusal, None for a
    client that is not a browser.
    """

    @app.exception_handler(DubanError)
    async def _on_refusal(request: Request, error: DubanError) -> JSONResponse:
        return of_error(request, error)

    @app.exception_handler(DBAPIError)
    async def _on_database(request: Request, error: DBAPIError) -> JSONResponse:
        refusal = db_errors.refusal_of(error)
        if refusal is not None:
            log.warning("database refused the request", error=type(error.orig).__name__)
            return of_error(request, refusal)
        return internal_error(request, error)

    @app.exception_handler(RequestValidationError)
    async def _on_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if any(e["type"] == "json_invalid" for e in errors):
            lang = language(request)
            title = "Bad request" if lang == "en" else "请求无法解析"
            detail = "the body is not valid JSON" if lang == "en" else "请求体不是合法的 JSON"
            return problem(request, 400, "bad-request", title, detail)
        for name in [str(e["loc"][1]) for e in errors if e["loc"][0] == "path"]:
            if methods := _literal_methods(request, name):
                return _of_http(request, HTTPException(405), methods)
        # a location begins with the part of the request: body, query, path, header, cookie
        return of_error(request, Invalid(problems_of({**e, "loc": e["loc"][1:]} for e in errors)))

    @app.exception_handler(ClientDisconnect)
    async def _on_disconnect(request: Request, error: ClientDisconnect) -> JSONResponse:
        log.info("client disconnected before the body was complete")
        return of_error(request, BadRequest("请求体中断，不完整", "the body broke off"))  # usually nobody receives it

    @app.exception_handler(HTTPException)
    def _on_http(request: Request, error: HTTPException) -> Response:  # in a thread: a page reads the session
        return (page_of(request, error) if page_of else None) or _of_http(request, error)


_HTTP: Mapping[int, tuple[str, str, str, str]] = {
    400: ("请求无法解析", "请求体无法读取", "Bad request", "the body cannot be read"),
    404: ("不存在", "没有这个地址；有哪些地址见 /docs", "Not found", "nothing is at this address; /docs lists what there is"),
    405: ("不支持的方法", "这个地址只接受 {allow}", "Method not allowed", "this address takes {allow} only"),
    413: ("内容过大", "请求体过大", "Too large", "the body is too large"),
}  # fmt: skip
"""Title and detail of the framework's own errors, in Chinese and English."""


def _of_http(request: Request, error: HTTPException, methods: Sequence[str] | None = None) -> JSONResponse:
    """Return the problem document of the framework's own refusal; ``methods``: those that a 405 allows, where known."""
    status, headers = error.status_code, dict(error.headers or {})
    if status == 405:
        taken = _methods(request, request.scope["path"]) if methods is None else methods
        headers = {"Allow": ", ".join(each for m in taken for each in ((m, "HEAD") if m == "GET" else (m,)))}
    fallback = str(error.detail)
    title_zh, zh, title_en, en = _HTTP.get(status, (fallback,) * 4)
    english = language(request) == "en"
    detail = (en if english else zh).format(allow=headers.get("Allow"))
    return problem(request, status, f"http-{status}", title_en if english else title_zh, detail, headers)


def _literal_methods(request: Request, parameter: str) -> list[str]:
    """Return the methods of the routes that have the value of a path parameter as a segment of their own: it was matched as a
    value only because the method is another."""
    path = request.scope["path"]
    value = request.path_params.get(parameter, "")
    others = _methods(request, path.replace(f"/{value}", "/~", 1))
    return [method for method in _methods(request, path) if method not in others]


def _methods(request: Request, path: str) -> list[str]:
    """Return the methods that any route allows at ``path``: the framework names those of one of its routes alone."""
    routes, scope = request.app.router.routes, {**request.scope, "path": path}
    asked = ("GET", "POST", "PUT", "PATCH", "DELETE")
    return [m for m in asked if any(r.matches({**scope, "method": m})[0] is Match.FULL for r in routes)]


def internal_error(request: Request, error: Exception) -> JSONResponse:
    """Log an unexpected error, and respond 500 without its content."""
    log.error("unexpected error", exc_info=error, method=request.method)
    lang = language(request)
    title = "Internal error" if lang == "en" else "内部错误"
    detail = (
        "An unexpected error; nothing was changed. It has been logged."
        if lang == "en"
        else "发生了意外错误，未作任何更改，已记录日志。"
    )
    return problem(request, 500, "internal", title, detail)
