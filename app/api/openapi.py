"""What ``/openapi.json`` says beyond what the endpoints' signatures do: how to sign in, what a refusal looks like, and an
example of every request and answer. The examples stand in ``examples.json``; a test holds their fields to the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from app.api.problems import MEDIA_TYPE, TYPE_BASE

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"
SHAPES: Final = Path(__file__).parent / "examples.json"

PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal (RFC 9457). `errors` comes with 422, `state` and `allowed` with a step that the life cycle "
    "does not have, `fields` with content that differs from what is there.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "reason": {"type": "string", "description": "a word for the cause, of a file that is refused"},
        "state": {"type": "string"},
        "allowed": {"type": "array", "items": {"type": "string"}},
        "fields": {"type": "array", "items": {"type": "string"}},
    },
}
REFUSALS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "401": ("No valid credential.", {
        "type": TYPE_BASE + "unauthorized", "title": "未登录或凭据无效", "status": 401, "detail": "密钥已吊销",
        "instance": "/api/v1/tickets"}),
    "409": ("The present state does not allow it.", {
        "type": TYPE_BASE + "transition-not-allowed", "title": "与当前状态冲突", "status": 409,
        "detail": "工单处于“已受理”，不能签收；当前可执行：派单、催单、作废、更正",
        "instance": "/api/v1/tickets/4711/accept", "state": "received",
        "allowed": ["dispatch", "urge", "void", "correct"]}),
    "412": ("It has moved on since the version in `If-Match`.", {
        "type": TYPE_BASE + "stale", "title": "工单已被更新", "status": 412,
        "detail": "工单已更新到版本 5，请求依据的是版本 3，请重新读取", "instance": "/api/v1/tickets/4711/accept"}),
    "422": ("Refused; `errors` names each place.", {
        "type": TYPE_BASE + "invalid", "title": "内容不符合要求", "status": 422,
        "detail": "/at：时间没有时区偏移，请写成 2026-03-02T09:30:00+08:00 或以 Z 结尾",
        "instance": "/api/v1/tickets/4711/accept",
        "errors": [{"pointer": "/at", "detail": "时间没有时区偏移，请写成 2026-03-02T09:30:00+08:00 或以 Z 结尾"}]}),
    "default": ("Any other refusal.", {
        "type": TYPE_BASE + "not-found", "title": "不存在", "status": 404, "detail": "没有编号为 4711 的工单",
        "instance": "/api/v1/tickets/4711"}),
}  # fmt: skip

ANSWERS: Final[Mapping[str, str]] = {
    "post /tickets": "ticket",
    "get /tickets": "[ticket]",
    "get /tickets/{ticket_id}": "ticket",
    "patch /tickets/by-external/{source}/{external_id}": "ticket",
    "post /tickets/{ticket_id}/{action}": "ticket",
    "post /tickets/{ticket_id}/callbacks": "ticket",
    "get /tickets/{ticket_id}/callbacks": "[callback]",
    "get /tickets/{ticket_id}/events": "[event]",
    "get /tickets/{ticket_id}/deadlines": "[deadline]",
    "get /tickets/{ticket_id}/deadlines/{target}/receipt": "receipt",
    "get /tickets/{ticket_id}/clocks": "clocks",
    "post /tickets/{ticket_id}/supervision-orders": "order",
    "get /supervision-orders": "[order]",
    "get /supervision-orders/{order_id}": "order",
    "post /supervision-orders/{order_id}/reply": "order",
    "post /supervision-orders/{order_id}/accept-reply": "order",
    "post /supervision-orders/{order_id}/refuse-reply": "order",
    "get /alerts": "[alert]",
    "post /alerts/{alert_id}/ack": "alert",
    "get /extensions": "[extension]",
    "post /extensions/{extension_id}/{ruling}": "extension&.ticket",
    "get /rejects": "[reject]",
    "get /rejects/{reject_id}": "reject",
    "delete /rejects/{reject_id}": "reject",
    "post /rejects/retry": "retried_many",
    "post /rejects/{reject_id}/retry": "retried",
    "get /disclosures": "[disclosure]",
    "get /units": "[unit]",
    "post /units": "unit",
    "patch /units/{code}": "unit",
    "get /grids": "[grid]",
    "post /grids": "grid",
    "patch /grids/{code}": "grid",
    "get /categories": "[category]",
    "post /categories": "category",
    "patch /categories/{code}": "category",
    "get /sources": "[source]",
    "post /sources": "source",
    "patch /sources/{code}": "source",
    "get /calendars": "[calendar_listed]",
    "get /calendars/{code}": "calendar",
    "get /calendars/{code}/versions": "[calendar_version]",
    "put /calendars/{code}": "calendar&moves",
    "put /calendars/{code}/years/{year}": "calendar&moves",
    "post /deadlines/preview": "preview",
    "post /deadlines/elapsed": "elapsed",
    "get /policies": "[policy]",
    "post /policies": "policy&moves",
    "patch /policies/{code}": "policy&moves",
    "post /policies/preview": "policy_preview",
    "post /policies/replay": "replay",
    "post /policies/import": "policies_imported&moves",
    "get /ladders": "[ladder]",
    "post /ladders": "ladder",
    "patch /ladders/{code}": "ladder",
    "get /keys": "[key]",
    "post /keys": "key_made",
    "patch /keys/{key_id}": "key_ended",
    "get /users": "[user]",
    "post /users": "user_made",
    "patch /users/{user_id}": "user_changed",
    "get /reports": "[report_listed]",
    "post /reports": "report",
    "get /reports/{report_id}": "report",
    "get /reports/{report_id}/figures": "figures",
    "get /reports/{report_id}/tickets": "[ticket]&total",
    "get /clear-out/{month}": "clear_out",
    "patch /clear-out/{month}/{ticket_id}": "clear_out_row",
    "get /metrics/definitions": "definitions",
    "get /feed-templates": "[feed_template]",
}
"""Of each answer its shape in ``examples.json``: ``[x]`` is a list of them, ``x&y`` has the fields of both, ``.x`` has
it under its name."""
REQUESTS: Final[Mapping[str, Any]] = {
    "post /units": {"code": "GA-03", "name": "城南派出所", "parent": "GA", "tier": "派出所"},
    "patch /units/{code}": {"name": "城南派出所", "active": True},
    "post /grids": {"code": "CN-1", "name": "城南第一片", "parent": "CN"},
    "patch /grids/{code}": {"name": "城南第一片"},
    "post /categories": {"code": "noise-night", "name": "夜间噪声", "parent": "noise", "practical": True},
    "patch /categories/{code}": {"practical": False},
    "post /sources": {"code": "12345", "name": "12345 热线", "binds_due": False},
    "patch /sources/{code}": {"binds_due": True},
    "post /keys": {"role": "integrator", "source": "12345", "name": "热线平台"},
    "patch /keys/{key_id}": {"revoked": True},
    "post /users": {"name": "li", "display_name": "李敏", "role": "unit", "unit": "GA-01"},
    "patch /users/{user_id}": {"active": False},
    "post /extensions/{extension_id}/{ruling}": {"note": "情况属实，同意延期"},
    "post /supervision-orders/{order_id}/accept-reply": {"ruling": "处置到位"},
    "post /rejects/retry": {"reason": "unit_unknown", "source": "12345"},
    "post /rejects/{reject_id}/retry": {"row": {"external_id": "12345-20260213-0042", "title": "噪声扰民"}},
    "put /calendars/{code}": {"week": {"mon": [["09:00", "12:00"], ["13:30", "17:30"]], "sun": []}},
    "post /ladders": {"code": "shandong", "rungs": [
        {"code": "due", "target": "complete", "card": "yellow", "notify": ["unit"], "name": "到期", "name_en": "Due"}]},
    "patch /ladders/{code}": {"rungs": [
        {"code": "due", "target": "complete", "card": "red", "notify": ["unit"], "name": "到期", "name_en": "Due"}]},
    "post /policies/import": '[[policy]]\ncode = "noise"\nname_zh = "噪声投诉"\nmatch = { kind = ["complaint"] }\n'
                             'limits = { complete = { unit = "working_days", amount = 3 } }\n',
}  # fmt: skip
_IF_MATCH: Final = "If-Match"


def install(app: FastAPI) -> None:
    """Let ``app.openapi()``, which ``/openapi.json``, ``/docs`` and ``duban openapi`` show, say all of it."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        return plain()  # kept by the framework, and completed in place

    app.openapi = document  # type: ignore[method-assign]  # the framework's own way to do this


def _complete(document: dict[str, Any]) -> None:
    shapes = json.loads(SHAPES.read_text("utf-8"))
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`dbk_…`) or a session (`dbs_…`)."}
    }
    for path, operations in document["paths"].items():
        if not path.startswith(PREFIX):
            continue
        for method, operation in operations.items():
            name = f"{method} {path.removeprefix(PREFIX)}"
            operation["security"] = [{"bearer": []}]
            _refusals(operation)
            if name in ANSWERS:
                _answer(operation, shape_of(ANSWERS[name], shapes))
            if name in REQUESTS:
                for body in operation["requestBody"]["content"].values():
                    body.setdefault("example", REQUESTS[name])


def shape_of(name: str, shapes: Mapping[str, Any]) -> Any:
    """The example that ``name`` stands for (see ``ANSWERS``)."""
    found: dict[str, Any] = {}
    for part in name.split("&"):
        if part.startswith("["):
            found |= {"items": [shapes[part[1:-1]]], "next": "azE3ODY"}
        elif part.startswith("."):
            found[part[1:]] = shapes[part[1:]]
        else:
            found |= shapes[part]
    return found


def _answer(operation: dict[str, Any], example: Any) -> None:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("content", {}).setdefault(JSON, {}).setdefault("example", example)


def _refusals(operation: dict[str, Any]) -> None:
    """Every refusal is a problem document; those that an operation describes itself keep their words."""
    conditional = any(one.get("name", "").lower() == _IF_MATCH.lower() for one in operation.get("parameters", ()))
    changes = "requestBody" in operation or conditional
    for status, (description, example) in REFUSALS.items():
        if (status == "412" and not conditional) or (status == "409" and not changes):
            continue
        response = operation["responses"].setdefault(status, {"description": description})
        if response["description"] == "Validation Error":
            response["description"] = description
        response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
