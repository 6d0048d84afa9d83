"""The pages, one module each, as one router."""

from __future__ import annotations

from fastapi import APIRouter

from app.console.pages import (
    account,
    board,
    calendar,
    clear_out,
    feeds,
    missing,
    policies,
    receipt,
    replay,
    reports,
    ticket,
    ticket_actions,
    tickets,
)

router = APIRouter(include_in_schema=False)
for _page in (
    account, board, tickets, ticket, ticket_actions, reports, clear_out, calendar, receipt, replay, policies, feeds,
):  # fmt: skip
    router.include_router(_page.router)
fallback = missing.router

__all__ = ["fallback", "router"]
