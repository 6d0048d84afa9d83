"""Data of the sample upstreams: orders of a city hotline, and the weekly list of a street office. Pure, by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from app.demo.people import Citizen, citizen
from app.demo.places import place

ZONE = ZoneInfo("Asia/Shanghai")
COUNT = 34
CALLED_BACK = timedelta(hours=3)
MATTERS = (
    ("路灯连续三晚不亮", "路灯不亮，老人夜间出行不便，请尽快修复。", "投诉"),
    ("小区二次供水水压不足", "晚高峰高层基本没有水，物业答复要等水务部门。", "求助"),
    ("夜间施工噪音扰民", "工地凌晨仍在浇筑混凝土，影响学生休息。", "投诉"),
    ("共享单车堵塞盲道", "地铁口单车堆放，盲道无法通行。", "举报"),
    ("老旧小区加装电梯政策咨询", "想了解加装电梯的补贴标准和办理流程。", "咨询"),
    ("沿街商铺油烟直排", "餐馆油烟直排到住户窗口，多次反映未整改。", "投诉"),
    ("人行道地砖破损", "地砖松动积水，雨天多人滑倒。", "求助"),
    ("建议增设学校路口护学岗", "上下学时段车流大，建议增设护学岗和限速标志。", "建议"),
    ("物业费收取标准不公示", "物业涨价没有公示，业主要求说明。", "投诉"),
    ("社区医生上门服务很及时", "感谢社区卫生服务站医生连续上门换药。", "表扬"),
)
REPORTED = ("编号", "标题", "内容", "类型", "紧急程度", "姓名", "联系电话", "事发地址", "受理时间", "状态", "办结时间")
"""The columns of the street office's list."""


def _written(moment: datetime) -> str:
    return moment.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Order:
    """One order of the hotline, with its content and the moments of its lifecycle. ``flaw``: the kind of error in its
    record; ``forgotten``: the hotline lists it but does not send it in a page."""

    number: str
    matter: tuple[str, str, str]
    who: Citizen
    address: str
    unit: str
    received: datetime
    accepted: datetime
    finished: datetime | None
    flaw: str = ""
    forgotten: bool = False

    def moved(self, since: datetime, until: datetime) -> bool:
        """Return whether it was created or changed in the span; ``since`` is excluded, ``until`` included."""
        moments = (self.received, self.accepted, self.finished, self.closed)
        return any(since < at <= until for at in moments if at)

    @property
    def closed(self) -> datetime | None:
        """When the hotline closed it, after its callback."""
        return self.finished and self.finished + CALLED_BACK

    def record(self, at: datetime) -> dict[str, Any]:
        """Return its record in the hotline at ``at``."""
        title, content, kind = self.matter
        done = self.finished is not None and self.finished <= at
        taken = self.accepted <= at
        filed = self.closed is not None and self.closed <= at
        moments = (self.received, self.accepted, self.finished, self.closed)
        changed = max(x for x in moments if x and (x <= at or x == self.received))
        record: dict[str, Any] = {
            "orderNo": self.number, "title": title, "content": content, "orderType": kind, "urgency": "一般",
            "createTime": _written(self.received), "updateTime": _written(changed), "address": self.address,
            "unitCode": self.unit, "caller": {"name": self.who.name, "phone": self.who.phone},
            "status": "已归档" if filed else "已办结" if done else "办理中" if taken else "已派单",
        }  # fmt: skip
        if taken:
            record["acceptTime"] = _written(self.accepted)
        if done and self.finished is not None:
            record |= {"finishTime": _written(self.finished), "result": "已到现场处置并回复诉求人。"}
        if filed and self.closed is not None:
            record["closeTime"] = _written(self.closed)
        flaws = {"time": {"createTime": "昨日下午"}, "status": {"status": "转市直部门"}, "title": {"title": ""}}
        return record | flaws.get(self.flaw, {})


def orders(now: datetime, seed: int) -> list[Order]:
    """Return the orders of the six days before ``now``, by time of receipt."""
    rng = Random(f"duban-demo-feed-{seed}")  # noqa: S311 - a story, no secret
    moments = sorted(now - timedelta(minutes=rng.randrange(90, 6 * 1440 - 500)) for _ in range(COUNT))
    yesterday = (now - timedelta(days=1)).astimezone(ZONE).replace(hour=10, minute=12, second=0, microsecond=0)
    found = []
    for n, received in enumerate(moments):
        flaw = {5: "time", 13: "status", 21: "status", 27: "title"}.get(n, "")
        found.append(_order(rng, n, received, now, flaw=flaw))
    found += [_order(rng, COUNT, yesterday, now, forgotten=True),
              _order(rng, COUNT + 1, yesterday + timedelta(minutes=95), now, flaw="time", forgotten=True)]  # fmt: skip
    return sorted(found, key=lambda order: order.received)


def _order(rng: Random, n: int, received: datetime, now: datetime, *, flaw: str = "", forgotten: bool = False) -> Order:
    accepted = received + timedelta(minutes=rng.randrange(20, 240))
    finished = accepted + timedelta(hours=rng.randrange(5, 70))
    number = f"{received.astimezone(ZONE):%Y%m%d}{1001 + 7 * n}"
    where = place(rng, urban=True)
    return Order(
        number, rng.choice(MATTERS), citizen(rng), where.address, where.town.code, received.replace(microsecond=0),
        accepted.replace(microsecond=0), finished.replace(microsecond=0) if finished < now else None, flaw, forgotten,
    )  # fmt: skip


def street_rows(at: datetime, zone: tzinfo, seed: int) -> list[dict[str, str]]:
    """Return the street office's list at ``at``: eighteen rows, four of them invalid."""
    rng = Random(f"duban-demo-street-{seed}")  # noqa: S311
    rows = []
    for n in range(18):
        title, content, kind = rng.choice(MATTERS)
        who = citizen(rng)
        received = at.astimezone(zone) - timedelta(minutes=rng.randrange(600, 7 * 1440))
        done = received + timedelta(hours=rng.randrange(2, 60))
        settled = done < at
        values = (
            f"YC-{at.astimezone(zone):%m%d}-{n + 1:02d}", title, content, kind, rng.choice(("一般", "一般", "紧急")),
            who.name or "", who.phone or "", f"云城街道{place(rng, urban=True).quarter}", f"{received:%Y-%m-%d %H:%M}",
            "已办结" if settled else "办理中", f"{done:%Y-%m-%d %H:%M}" if settled else "",
        )  # fmt: skip
        rows.append(dict(zip(REPORTED, values, strict=True)))
    rows[3]["紧急程度"] = "特别急"
    rows[7]["受理时间"] = "上周三下午"
    rows[11]["编号"] = ""
    rows[15]["紧急程度"] = "特别急"
    return rows
