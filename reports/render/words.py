"""Labels of the renderers, in Chinese and English; labels of figures and codes are in the registry and the glossary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.words import CLEAR_OUT_STATE
from app.text import Text

WORDS: Mapping[str, Text] = {
    "daily": Text("督办日报", "Daily supervision report"),
    "weekly": Text("督办周报", "Weekly supervision report"),
    "monthly": Text("督办月报", "Monthly supervision report"),
    "range": Text("督办统计报告", "Supervision report"),
    "clear-out": Text("清零清单", "Clear-out list"),
    "summary": Text("概览", "Summary"),
    "charts": Text("图表", "Charts"),
    "unit": Text("按责任单位", "By unit"),
    "category": Text("按分类", "By category"),
    "source": Text("按来源", "By source"),
    "kind": Text("按类型", "By kind"),
    "grid": Text("按网格", "By grid"),
    "priority": Text("按紧急程度", "By priority"),
    "series": Text("趋势", "Series"),
    "definitions": Text("指标说明", "Definitions"),
    "tickets": Text("工单清单", "Tickets"),
    "chart_data": Text("图表数据", "Chart data"),
    "whole": Text("全部", "Whole"),
    "scope": Text("范围", "Scope"),
    "period": Text("统计期间", "Period"),
    "as_of": Text("统计时点", "As of"),
    "edition": Text("版次", "Edition"),
    "draft": Text("未封存", "not sealed"),
    "hash": Text("校验码", "Hash"),
    "definitions_version": Text("指标口径版本", "Definitions' version"),
    "verdicts": Text("其中依据来源结论", "Based on the source's verdict"),
    "figure": Text("指标", "Figure"),
    "value": Text("数值", "Value"),
    "numerator": Text("分子", "Numerator"),
    "denominator": Text("分母", "Denominator"),
    "previous": Text("上期", "Previous period"),
    "change": Text("环比", "Change"),
    "last_year": Text("去年同期", "A year before"),
    "change_year": Text("同比", "Change on the year"),
    "unchanged": Text("持平", "unchanged"),
    "points": Text("百分点", "pp"),
    "about": Text("口径", "What it counts"),
    "key": Text("键", "Key"),
    "code": Text("代码", "Code"),
    "name": Text("名称", "Name"),
    "section": Text("部分", "Section"),
    "tier": Text("层级", "Tier"),
    "rank": Text("按期率排名", "Rank, on time"),
    "interval": Text("按期率 95% 区间", "On time, 95 % interval"),
    "balance": Text("平衡式", "Balance"),
    "sum": Text("合计", "Sum"),
    "number": Text("工单编号", "Number"),
    "title": Text("标题", "Title"),
    "of_source": Text("来源", "Source"),
    "of_kind": Text("类型", "Kind"),
    "of_category": Text("分类", "Category"),
    "of_unit": Text("责任单位", "Unit"),
    "of_grid": Text("网格", "Grid"),
    "of_priority": Text("紧急程度", "Priority"),
    "status": Text("状态", "Status"),
    "received_at": Text("受理时间", "Received"),
    "dispatched_at": Text("派单时间", "Dispatched"),
    "due_at": Text("办结时限", "Due"),
    "completed_at": Text("办结时间", "Completed"),
    "verdict": Text("时限结论", "Verdict"),
    "on_time": Text("按期", "On time"),
    "late": Text("超期", "Late"),
    "satisfaction": Text("满意度", "Satisfaction"),
    "yes": Text("是", "Yes"),
    "practical": Text("实事类", "Practical"),
    "in_received": Text("计入受理", "In received"),
    "in_completed_in_period": Text("计入当期办结", "Completed in period"),
    "in_open": Text("计入在办", "In open"),
    "in_voided": Text("计入作废", "In voided"),
    "supervised": Text("督办", "Supervised"),
    "reopened": Text("重办次数", "Times reopened"),
    "page": Text("第 &P 页，共 &N 页", "Page &P of &N"),
    "reasons": Text("列入原因", "Reasons"),
    "reason": Text("原因", "Reason"),
    "count": Text("件数", "Tickets"),
    "stage": Text("办理环节", "Stage"),
    "unit_days": Text("在办工时", "Open, working hours"),
    "citizen_days": Text("群众等待天数", "Citizen's days"),
    "lists": Text("第几次列入", "Times listed"),
    "leader": Text("包案领导", "Responsible leader"),
    "measures": Text("化解措施", "Measures"),
    "condition": Text("销号条件", "Clearing condition"),
    "state": Text("销号状态", "State"),
    "last_list": Text("上期清单结果", "Outcome of the last list"),
    "listed": Text("列入", "Listed"),
    "clearing_rate": Text("清零率", "Clearing rate"),
    "by_reason": Text("按原因", "By reason"),
}


def word(key: str, lang: str) -> str:
    """Return the label of ``key`` in ``lang``; the key itself if it has none."""
    found = WORDS.get(key) or CLEAR_OUT_STATE.get(key)
    return key if found is None else found.to(lang)


def name_of(row: dict[str, Any], lang: str) -> str:
    """Return the name of a report's row in ``lang``; the code if it has none."""
    return str((row.get("name_en") if lang == "en" else None) or row.get("name") or row["code"])


def title_of(document: dict[str, Any], lang: str) -> str:
    """Return a document's title: its kind and period."""
    return f"{word(document['kind'], lang)} {document['period']}"


def scope_of(document: dict[str, Any], lang: str) -> str:
    """Return the scope of a document: the unit's name if it appears in the document, or the whole."""
    code = (document.get("scope") or {}).get("unit")
    if not code:
        return word("whole", lang)
    return next((name_of(row, lang) for row in document.get("by_unit", []) if row["code"] == code), str(code))
