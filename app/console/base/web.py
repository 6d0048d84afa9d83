"""Shared by all pages: the visitor, the language, form tokens, templates and headers."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app import clock
from app.console.base import wording
from app.console.base.i18n import LANGUAGES, Lang, Texts, as_lang, texts
from app.errors import Busy, DubanError, Forbidden, TooLarge, Unauthorized
from app.logging import bind, get_logger
from app.runtime import Runtime
from app.security import tokens
from app.security.permissions import may
from app.security.principal import Principal
from app.security.sessions import SESSION_COOKIE
from app.services.access import accounts
from app.services.intake import rejects
from app.store import db_errors

log = get_logger("duban.console")
HERE = Path(__file__).resolve().parents[1]
"""The console's folder: its templates are named from here, as in ``tickets/list.html``."""
STATIC = HERE / "static"
LANG_COOKIE = "duban_lang"
LONGEST_FORM = 256 * 1024
MOST_COUNTED = 999
"""What the menu counts up to."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Nothing from elsewhere, no script or style inside a page, and no page kept by a shared machine's browser."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The visitor of a page: the person, the session's token and the secret of its forms."""

    who: Principal
    user_id: int
    lang: str | None
    must_change_password: bool
    token: str
    csrf: str


class PasswordFirst(Exception):
    """The one-time password must be changed before anything else."""


# ------------------------------------------------------------------------------------------------- who, and language


def runtime(request: Request) -> Runtime:
    """The runtime of this process."""
    found: Runtime = request.app.state.duban
    return found


def any_visitor(request: Request) -> Visitor:
    """Return the visitor, also before the one-time password has been changed; raises Unauthorized."""
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise Unauthorized("请先登录", "sign in first")
    with runtime(request).database.read() as session:
        signed = accounts.session_of(session, token, clock.now())
        user = signed.user
        assert user.id is not None
        found = Visitor(signed.principal, user.id, user.lang, user.must_change_password, token, signed.csrf)
    request.state.visitor = found
    bind(actor=found.who.actor)
    return found


def visitor(found: Annotated[Visitor, Depends(any_visitor)]) -> Visitor:
    """Return the visitor; redirect one with a one-time password to change it first."""
    if found.must_change_password:
        raise PasswordFirst
    return found


def known_visitor(request: Request) -> Visitor | None:
    """Return the visitor, if one has been identified for this request."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    return found


def language(request: Request) -> Lang:
    """Return the language of the response; ``app.console.base.i18n`` defines the order of precedence."""
    found = known_visitor(request)
    choices = (request.query_params.get("lang"), request.cookies.get(LANG_COOKIE), found.lang if found else None)
    return next((lang for lang in map(as_lang, choices) if lang), runtime(request).settings.lang)


Run = Annotated[Runtime, Depends(runtime)]
Looking = Annotated[Visitor, Depends(visitor)]
AnyLooking = Annotated[Visitor, Depends(any_visitor)]
Form = Mapping[str, str]


# ------------------------------------------------------------------------------------------------------------- forms


def require_same_site(request: Request) -> None:
    """Refuse a form of another site, by ``Sec-Fetch-Site``, or else by ``Origin`` or ``Referer``; raises Forbidden."""
    site = request.headers.get("sec-fetch-site")
    sender = request.headers.get("origin") or request.headers.get("referer")
    own = site in ("same-origin", "none") if site else sender is None or _host_of(sender) == request.headers.get("host")
    if not own:
        raise Forbidden("表单来自其他网站，已拒绝", "the form comes from another site")


def _host_of(address: str) -> str:
    """Host and port of an address as a browser puts them into ``Host``; empty for none (``null``)."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2]
    except ValueError:
        return ""


async def posted(request: Request) -> AsyncIterator[Form]:
    """Return the text fields of a form; refuse a cross-site or oversized one.

    Its uploaded files exist as long as the request.
    """
    require_same_site(request)
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LONGEST_FORM:
        raise TooLarge("表单内容过大", "the form is too large")
    async with request.form() as fields:
        yield {name: value for name, value in fields.items() if isinstance(value, str)}


Posted = Annotated[Form, Depends(posted)]


def _checked(found: Visitor, fields: Form) -> Form:
    if not tokens.same(fields.get("csrf", ""), found.csrf):
        raise Forbidden(
            "表单已失效，请返回刷新页面后重试", "the form is out of date; go back, reload the page and try again"
        )
    return fields


def checked(found: Looking, fields: Posted) -> Form:
    """Return the fields of a form issued for this session; raises Forbidden otherwise."""
    return _checked(found, fields)


def any_checked(found: AnyLooking, fields: Posted) -> Form:
    """Like ``checked``, also before the one-time password has been changed."""
    return _checked(found, fields)


Checked = Annotated[Form, Depends(checked)]
AnyChecked = Annotated[Form, Depends(any_checked)]


# --------------------------------------------------------------------------------------------------------- answering


@lru_cache(maxsize=64)
def asset(name: str) -> str:
    """Return the address of a static file with a content hash, so that a new version is fetched at once."""
    mark = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={mark}"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment: undefined names are errors, and every value is escaped."""
    found = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals.update(asset=asset, may=may, languages=LANGUAGES)
    return found


def link(path: str, query: Mapping[str, object]) -> str:
    """Return an address with the non-empty parts of ``query``."""
    said = {k: v for k, v in query.items() if v not in (None, "", False)}
    return f"{path}?{urlencode(said)}" if said else path


def here(request: Request, **changes: object) -> str:
    """Return the address of this page with some query parameters changed, or removed by None."""
    return link(request.url.path, {**request.query_params, "lang": None, **changes})


def local_path(target: str | None, otherwise: str = "/") -> str:
    """Return ``target`` if it is an address on this site, so that a sign-in never redirects elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or "\\" in target:
        return otherwise
    parts = urlsplit(target)
    return target if not parts.netloc and not parts.scheme and target.isprintable() else otherwise


def context(request: Request, now: datetime) -> dict[str, Any]:
    """Return the variables available to every template."""
    zone = runtime(request).settings.zone
    t: Texts = texts(language(request))
    return {
        "request": request,
        "visitor": known_visitor(request),
        "lang": t.lang,
        "t": t,
        "word": t.word,
        "now": now,
        "zone": str(zone),
        "here": lambda **changes: here(request, **changes),
        "link": lambda path, **query: link(path, query),
        "when": lambda moment: wording.when(moment, zone, now),
        "stamp": lambda moment: wording.stamp(moment, zone),
        "iso": lambda moment: moment.astimezone(zone).isoformat(timespec="seconds"),
        "ago": lambda moment: wording.ago(moment, now, t),
        "until": lambda moment: wording.until(moment, now, t),
        "span": lambda length: wording.span(length, t),
        "length": lambda seconds: wording.length(seconds, t),
        "open_rejects": lambda: _open_rejects(runtime(request), known_visitor(request)),
    }


def _open_rejects(run: Runtime, visitor: Visitor | None) -> str:
    """Return the number of open rejects, for the menu of those who may settle them; empty for none."""
    if visitor is None:
        return ""
    try:
        with run.database.read() as session:
            found = rejects.count_open(session, visitor.who, most=MOST_COUNTED + 1)
    except DBAPIError:
        return ""  # the page that reports a lost database must render without one
    return f"{MOST_COUNTED}+" if found > MOST_COUNTED else str(found or "")


def page(
    request: Request, template: str, *, status: int = 200, now: datetime | None = None, **values: Any
) -> HTMLResponse:
    """Render ``template`` in the visitor's language, with the headers of all pages."""
    html = environment().get_template(template).render(**context(request, now or clock.now()), **values)
    answer = HTMLResponse(html, status_code=status, headers=HEADERS)
    chosen = as_lang(request.query_params.get("lang"))
    if chosen:
        keep_language(request, answer, chosen)
    return answer


def keep_language(request: Request, answer: Response, lang: Lang) -> None:
    """Store the chosen language in a cookie, for a year."""
    secure = runtime(request).settings.secure_cookies
    answer.set_cookie(LANG_COOKIE, lang, max_age=365 * 86_400, httponly=True, samesite="lax", secure=secure)


def go(target: str) -> RedirectResponse:
    """Redirect the browser with a GET (303), after a form."""
    return RedirectResponse(target, status_code=303, headers=HEADERS)


def wants_fragment(request: Request) -> bool:
    """Return whether the request comes from the board's script rather than from navigation."""
    return request.headers.get("x-duban-fragment") == "1"


# ------------------------------------------------------------------------------------------------------------ errors


def refused_page(request: Request, status: int, title: str, detail: str) -> Response:
    """Return a refusal as a page, or as plain text for the board's script. A busy service's refusal offers a retry."""
    if wants_fragment(request):
        return Response(detail, status_code=status, media_type="text/plain; charset=utf-8", headers=HEADERS)
    again = here(request) if status == Busy.status and request.method == "GET" else None
    return page(request, "base/error.html", status=status, title=title, detail=detail, code=status, again=again)


def _to_sign_in(request: Request) -> Response:
    if wants_fragment(request):
        return Response("", status_code=401, headers=HEADERS)
    wish = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = wish if request.method == "GET" and wish != "/" else None
    return go(link("/signin", {"next": target}))


class PageRoute(APIRoute):
    """A route whose errors are pages: 401 redirects to the sign-in, any other error is shown as text."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Return the handler with its errors turned into pages."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except Unauthorized:
                return _to_sign_in(request)
            except PasswordFirst:
                return go("/password")
            except DubanError as error:
                return _refused(request, error)
            except DBAPIError as error:
                refusal = db_errors.refusal_of(error)
                if refusal is None:
                    log.exception("unexpected error", method=request.method)
                    return _bug(request)
                log.warning("database refused the request", error=type(error.orig).__name__)
                return _refused(request, refusal)
            except RequestValidationError:
                t = texts(language(request))
                return refused_page(request, 422, t("error.bad_address"), t("error.bad_address_detail"))
            except (HTTPException, ClientDisconnect):
                raise
            except Exception:
                log.exception("unexpected error", method=request.method)
                return _bug(request)

        return handler


def _refused(request: Request, error: DubanError) -> Response:
    lang = language(request)
    answer = refused_page(request, error.status, error.title.to(lang), error.text(lang))
    if isinstance(error, Busy):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _bug(request: Request) -> Response:
    t = texts(language(request))
    return refused_page(request, 500, t("error.internal"), t("error.internal_detail"))
