"""The pages, one module each, as one router."""

from __future__ import annotations

from fastapi import APIRouter

from app.console.account import routes as account
from app.console.board import routes as board
from app.console.feeds import form as feed_form
from app.console.feeds import routes as feeds
from app.console.glossary import routes as glossary
from app.console.imports import mapping
from app.console.imports import routes as imports
from app.console.rejects import routes as rejects
from app.console.rejects import words as reject_words
from app.console.reports import clear_out
from app.console.reports import routes as reports
from app.console.rules import calendar, policies, replay
from app.console.tickets import actions as ticket_actions
from app.console.tickets import page, receipt
from app.console.tickets import routes as tickets

router = APIRouter(include_in_schema=False)
for _page in (
    account, board, tickets, page, ticket_actions, reports, clear_out, calendar, receipt, replay, policies, feed_form,
    feeds, imports, mapping, reject_words, rejects, glossary,
):  # fmt: skip
    router.include_router(_page.router)
