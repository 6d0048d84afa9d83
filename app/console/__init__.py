"""The console: pages made on the server, with a little script of its own for the live board.

``router`` holds the pages, ``STATIC`` is the folder of style sheets and scripts (mounted at ``/static``), and
``fallback``, to be included after everything else, answers a person's wrong address with a page.
"""

from __future__ import annotations

from app.console.pages import fallback, router
from app.console.web import STATIC

__all__ = ["STATIC", "fallback", "router"]
