"""Unknown addresses: a page for a browser, the problem document for a program."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from app.console.base.i18n import texts
from app.console.base.web import any_visitor, language, refused_page
from app.errors import Unauthorized

MACHINES = ("/api/", "/open311/", "/static/", "/healthz", "/readyz", "/metrics")


def missing_page(request: Request, refusal: HTTPException) -> Response | None:
    """Return the "page not found" page; None if the client is no browser or the error is another one."""
    path = request.url.path
    if refusal.status_code != 404 or path.startswith(MACHINES) or "text/html" not in request.headers.get("accept", ""):
        return None
    try:
        any_visitor(request)
    except Unauthorized:
        request.state.visitor = None
    t = texts(language(request))
    return refused_page(request, 404, t("error.no_page"), t("error.no_page_detail"))
