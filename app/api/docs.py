"""``/docs``: interactive API documentation from an installed package, never from a CDN."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)
ASSETS = Path(fastapi_offline.__file__).parent / "static"
MOUNT = "/docs-assets"


@router.get("/docs", response_class=HTMLResponse)
def docs() -> HTMLResponse:
    """Serve the interactive API documentation."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Duban 督办 API",
        swagger_js_url=f"{MOUNT}/swagger-ui-bundle.js",
        swagger_css_url=f"{MOUNT}/swagger-ui.css",
        swagger_favicon_url=f"{MOUNT}/favicon.png",
    )


def install(app: FastAPI) -> None:
    """Add the page and its files to ``app``."""
    app.include_router(router)
    app.mount(MOUNT, StaticFiles(directory=ASSETS), name="docs-assets")
