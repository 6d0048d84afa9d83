"""A record of the simulated world in the format of each kind of upstream."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from ingest.devtools.simulator.world import KINDS, MATTERS, Item

BEIJING = ZoneInfo("Asia/Shanghai")


def _local(moment: datetime) -> str:
    return moment.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def hotline_form(item: Item) -> dict[str, Any]:
    """Return a record in the format of a 12345 hotline."""
    state = ("待派单", "办理中", "已办结")[item.state]
    found = {
        "orderNo": item.id, "title": item.title, "content": f"{item.title}。{item.note}",
        "orderType": KINDS[item.kind][0], "createTime": _local(item.created), "updateTime": _local(item.updated),
        "status": state, "caller": {"name": "测试人", "phone": f"1390000{item.number % 10000:04d}"},
        "address": f"幸福路{item.number % 200 + 1}号",
    }  # fmt: skip
    return found | ({"finishTime": _local(item.updated), "result": "已处理"} if item.state == 2 else {})


def platform_form(item: Item) -> dict[str, Any]:
    """Return a record in the format of a 速来办 platform."""
    found = {
        "id": item.id, "subject": item.title, "detail": f"{item.title}。{item.note}", "type": KINDS[item.kind][1],
        "reported": item.created.isoformat(), "modified": item.updated.isoformat(),
        "state": ("new", "handling", "done")[item.state], "reporter": {"name": "测试人", "mobile": "13900000000"},
        "location": {"text": f"幸福路{item.number % 200 + 1}号", "lat": 22.6, "lng": 114.3},
    }  # fmt: skip
    return found | ({"finished": item.updated.isoformat(), "reply": "已处理"} if item.state == 2 else {})


def open311_form(item: Item) -> dict[str, Any]:
    """Return a record in the format of a GeoReport server."""
    return {
        "service_request_id": item.id, "status": "closed" if item.state == 2 else "open",
        "status_notes": "done" if item.state == 2 else None, "service_name": item.title,
        "service_code": f"SV{MATTERS.index(item.title)}", "description": f"{item.title}。{item.note}",
        "requested_datetime": item.created.isoformat(), "updated_datetime": item.updated.isoformat(),
        "address": f"幸福路{item.number % 200 + 1}号", "lat": "22.6", "long": "114.3",
    }  # fmt: skip
