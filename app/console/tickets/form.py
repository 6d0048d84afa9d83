"""The forms of a ticket's page: which are available to a visitor, and their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.tickets.lifecycle import OFFICE, allowed_actions
from app.domain.words import KIND, OUTCOME, PRIORITY, SATISFACTION, SEVERITY, TRIGGER
from app.errors import BadRequest
from app.models import Extension, SupervisionOrder, Ticket
from app.security.permissions import may
from app.security.principal import Principal
from app.services.orders.actions import NO_ORDER_IN

Kind = Literal["text", "line", "unit", "category", "days", "moment", "choice", "score"]
Tone = Literal["main", "plain", "danger"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in the contract, its input type, and for a choice, the group of labels and its codes."""

    name: str
    kind: Kind
    required: bool = False
    group: str = ""
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """One form: ``key`` names it on the page, ``path`` is its address below the ticket, ``group`` and ``code`` give its label."""

    key: str
    path: str
    group: str
    code: str
    fields: tuple[Field, ...] = ()
    tone: Tone = "plain"


UNIT = Field("unit", "unit", required=True)
REASON = Field("reason", "text", required=True)
NOTE = Field("note", "text")
AT = Field("at", "moment")
TOLD_LATER = ("suspend", "resume")
"""Actions whose forms let the command centre say when it happened: time suspended is often told of later."""
YES_NO = ("true", "false")

ACTION_FIELDS: Mapping[str, tuple[Field, ...]] = {
    "dispatch": (UNIT,),
    "accept": (),
    "return": (REASON,),
    "reassign": (UNIT, REASON),
    "contact": (NOTE,),
    "suspend": (REASON, Field("until", "moment")),
    "resume": (),
    "extend": (Field("days", "days", required=True), REASON),
    "complete": (Field("result", "text", required=True),),
    "urge": (NOTE,),
    "reopen": (REASON,),
    "void": (REASON,),
    "correct": (
        Field("priority", "choice", group="priority", codes=tuple(PRIORITY)),
        Field("kind", "choice", group="kind", codes=tuple(KIND)),
        Field("severity", "choice", group="severity", codes=tuple(SEVERITY)),
        Field("category", "category"),
    ),
    "callback": (
        Field("outcome", "choice", required=True, group="outcome", codes=tuple(OUTCOME)),
        Field("satisfaction", "choice", group="satisfaction", codes=tuple(SATISFACTION)),
        Field("resolved", "choice", group="yes_no", codes=YES_NO),
        Field("speed", "score"),
        Field("attitude", "score"),
        Field("result_score", "score"),
        Field("remark", "text"),
    ),
}
TONES: Mapping[str, Tone] = {
    "dispatch": "main", "accept": "main", "complete": "main", "resume": "main", "callback": "main",
    "return": "danger", "void": "danger",
}  # fmt: skip


def action_form(action: str, role: str | None = None) -> Form:
    """Return the form of one life-cycle action (callbacks included) for ``role``."""
    fields = ACTION_FIELDS[action]
    if action in TOLD_LATER and role in OFFICE:
        fields = (*fields, AT)
    return Form(action, f"act/{action}", "action", action, fields, TONES.get(action, "plain"))


def _extension_forms(who: Principal, extensions: Sequence[Extension]) -> list[Form]:
    pending = [e for e in extensions if e.state == "pending"]
    if not pending or not may(who, "extensions.rule") or pending[-1].asked_by == who.actor:
        return []
    base = f"extensions/{pending[-1].id}"
    return [
        Form("extension-approve", f"{base}/approve", "ruling", "extension_approve", (NOTE,), "main"),
        Form("extension-refuse", f"{base}/refuse", "ruling", "extension_refuse", (NOTE,), "danger"),
    ]


def _order_forms(who: Principal, ticket: Ticket, orders: Sequence[SupervisionOrder]) -> list[Form]:
    live = next((order for order in orders if order.live), None)
    found: list[Form] = []
    if live is not None and live.state == "issued" and may(who, "orders.reply"):
        reply = (Field("reply", "text", required=True),)
        found.append(Form("order-reply", f"orders/{live.id}/reply", "ruling", "order_reply", reply, "main"))
    if live is not None and live.state == "replied" and may(who, "orders.rule"):
        accept, refuse = Field("ruling", "text"), Field("ruling", "text", required=True)
        base = f"orders/{live.id}"
        found.append(Form("order-accept", f"{base}/accept-reply", "ruling", "order_accept", (accept,), "main"))
        found.append(Form("order-refuse", f"{base}/refuse-reply", "ruling", "order_refuse", (refuse,), "danger"))
    if ticket.status not in NO_ORDER_IN and may(who, "orders.issue"):
        fields = (
            Field("trigger", "choice", required=True, group="trigger", codes=tuple(reversed(tuple(TRIGGER)))),
            Field("demand", "text", required=True),
            Field("signatory", "line"),
        )
        found.append(Form("order-issue", "orders", "ruling", "order_issue", fields))
    return found


def forms_for(
    who: Principal, ticket: Ticket, orders: Sequence[SupervisionOrder], extensions: Sequence[Extension]
) -> list[Form]:
    """Return the forms that ``who`` may use on ``ticket`` in its current state: pending rulings first, then life-cycle
    steps, dangerous ones last.
    """
    found = _extension_forms(who, extensions) + _order_forms(who, ticket, orders)
    steps = [action_form(a, who.role) for a in allowed_actions(ticket.status, who.role) if a in ACTION_FIELDS]
    waited = [form for form in found if form.key != "order-issue"]
    order = {"main": 0, "plain": 1, "danger": 2}
    return waited + sorted(steps + [f for f in found if f.key == "order-issue"], key=lambda form: order[form.tone])


def version_of(fields: Mapping[str, str]) -> int:
    """Return the version of the ticket, or of the row, that a form was made from. Raises BadRequest."""
    text = fields.get("version", "")
    if not text.isdecimal() or len(text) > 9:
        raise BadRequest("表单缺少版本号，请刷新页面后重试", "the form lacks a version; reload the page")
    return int(text)
