"""Addresses that lead nowhere: a page for a person, the problem document for a program."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from app.console.i18n import texts
from app.console.web import any_visitor, language, refused_page
from app.domain.errors import Unauthorized

router = APIRouter(include_in_schema=False)
MACHINES = ("api/", "open311/", "static/", "healthz", "readyz", "metrics")


@router.get("/{path:path}")
def no_such_page(request: Request, path: str) -> Response:
    """Say that there is no such page."""
    if path.startswith(MACHINES) or "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404)
    try:
        any_visitor(request)
    except Unauthorized:
        request.state.visitor = None
    t = texts(language(request))
    return refused_page(request, 404, t("error.no_page"), t("error.no_page_detail"))
