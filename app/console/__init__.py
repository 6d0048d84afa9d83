"""The console: server-rendered pages, with a small script for the live board.

``router`` holds the pages, ``STATIC`` is the folder of style sheets and scripts (mounted at ``/static``), and
``missing_page`` answers unknown addresses opened in a browser.
"""

from __future__ import annotations

from app.console.base.missing import missing_page
from app.console.base.web import STATIC
from app.console.routes import router

__all__ = ["STATIC", "missing_page", "router"]
