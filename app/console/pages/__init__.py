"""The pages, one module each, as one router."""

from __future__ import annotations

from fastapi import APIRouter

from app.console.pages import (
    account,
    board,
    calendar,
    clear_out,
    feed_form,
    feeds,
    imports,
    mapping,
    policies,
    receipt,
    reject_words,
    rejects,
    replay,
    reports,
    ticket,
    ticket_actions,
    tickets,
)
from app.console.pages.missing import missing_page

router = APIRouter(include_in_schema=False)
for _page in (
    account, board, tickets, ticket, ticket_actions, reports, clear_out, calendar, receipt, replay, policies, feed_form,
    feeds, imports, mapping, reject_words, rejects,
):  # fmt: skip
    router.include_router(_page.router)

__all__ = ["missing_page", "router"]
