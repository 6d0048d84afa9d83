"""What the renderers call things, in Chinese and English; figures and codes have their words elsewhere."""

from __future__ import annotations

from typing import Any

WORDS: dict[str, tuple[str, str]] = {
    "daily": ("督办日报", "Daily supervision report"),
    "weekly": ("督办周报", "Weekly supervision report"),
    "monthly": ("督办月报", "Monthly supervision report"),
    "range": ("督办统计报告", "Supervision report"),
    "clear-out": ("清零清单", "Clear-out list"),
    "summary": ("概览", "Summary"),
    "charts": ("图表", "Charts"),
    "unit": ("按责任单位", "By unit"),
    "category": ("按分类", "By category"),
    "source": ("按来源", "By source"),
    "kind": ("按类型", "By kind"),
    "grid": ("按网格", "By grid"),
    "priority": ("按紧急程度", "By priority"),
    "series": ("趋势", "Series"),
    "definitions": ("指标说明", "Definitions"),
    "tickets": ("工单清单", "Tickets"),
    "chart_data": ("图表数据", "Chart data"),
    "whole": ("全部", "Whole"),
    "scope": ("范围", "Scope"),
    "period": ("统计期间", "Period"),
    "as_of": ("统计时点", "As of"),
    "edition": ("版次", "Edition"),
    "draft": ("未封存", "not sealed"),
    "hash": ("校验码", "Hash"),
    "definitions_version": ("指标口径版本", "Definitions' version"),
    "verdicts": ("其中依据来源结论", "Resting on the source's verdict"),
    "figure": ("指标", "Figure"),
    "value": ("数值", "Value"),
    "numerator": ("分子", "Numerator"),
    "denominator": ("分母", "Denominator"),
    "previous": ("上期", "Previous period"),
    "change": ("环比", "Change"),
    "last_year": ("去年同期", "A year before"),
    "change_year": ("同比", "Change on the year"),
    "unchanged": ("持平", "unchanged"),
    "points": ("百分点", "pp"),
    "about": ("口径", "What it counts"),
    "key": ("键", "Key"),
    "code": ("代码", "Code"),
    "name": ("名称", "Name"),
    "section": ("部分", "Section"),
    "tier": ("层级", "Tier"),
    "rank": ("按期率排名", "Rank, on time"),
    "interval": ("按期率 95% 区间", "On time, 95 % interval"),
    "balance": ("平衡式", "Balance"),
    "sum": ("合计", "Sum"),
    "number": ("工单编号", "Number"),
    "title": ("标题", "Title"),
    "of_source": ("来源", "Source"),
    "of_kind": ("类型", "Kind"),
    "of_category": ("分类", "Category"),
    "of_unit": ("责任单位", "Unit"),
    "of_grid": ("网格", "Grid"),
    "of_priority": ("紧急程度", "Priority"),
    "status": ("状态", "Status"),
    "received_at": ("受理时间", "Received"),
    "dispatched_at": ("派单时间", "Dispatched"),
    "due_at": ("办结时限", "Due"),
    "completed_at": ("办结时间", "Completed"),
    "verdict": ("时限结论", "Verdict"),
    "on_time": ("按期", "On time"),
    "late": ("超期", "Late"),
    "satisfaction": ("满意度", "Satisfaction"),
    "yes": ("是", "Yes"),
    "practical": ("实事类", "Practical"),
    "in_received": ("计入受理", "In received"),
    "in_completed_in_period": ("计入当期办结", "Completed in period"),
    "in_open": ("计入在办", "In open"),
    "in_voided": ("计入作废", "In voided"),
    "supervised": ("督办", "Supervised"),
    "reopened": ("重办次数", "Times reopened"),
    "page": ("第 &P 页，共 &N 页", "Page &P of &N"),
    "reasons": ("列入原因", "Reasons"),
    "reason": ("原因", "Reason"),
    "count": ("件数", "Tickets"),
    "stage": ("办理环节", "Stage"),
    "unit_days": ("在办工时", "Open, working hours"),
    "citizen_days": ("群众等待天数", "Citizen's days"),
    "lists": ("第几次列入", "Lists stood on"),
    "leader": ("包案领导", "Responsible leader"),
    "measures": ("化解措施", "Measures"),
    "condition": ("销号条件", "Clearing condition"),
    "state": ("销号状态", "State"),
    "open": ("未清", "Open"),
    "cleared": ("已清", "Cleared"),
    "carried_over": ("结转", "Carried over"),
    "put_back": ("回列", "Put back"),
    "last_list": ("上期清单结果", "What became of the last list"),
    "listed": ("列入", "Listed"),
    "clearing_rate": ("清零率", "Clearing rate"),
    "by_reason": ("按原因", "By reason"),
}


def word(key: str, lang: str) -> str:
    """What ``key`` is called in ``lang``; the key itself where there is no word."""
    found = WORDS.get(key)
    return key if found is None else found[1 if lang == "en" else 0]


def name_of(row: dict[str, Any], lang: str) -> str:
    """The name of a report's row in ``lang``; the code where it has none."""
    return str((row.get("name_en") if lang == "en" else None) or row.get("name") or row["code"])


def title_of(document: dict[str, Any], lang: str) -> str:
    """A document's title: what it is, and of which period."""
    return f"{word(document['kind'], lang)} {document['period']}"


def scope_of(document: dict[str, Any], lang: str) -> str:
    """What a document covers: the unit it was made for, by name where one stands in it, or the whole."""
    code = (document.get("scope") or {}).get("unit")
    if not code:
        return word("whole", lang)
    return next((name_of(row, lang) for row in document.get("by_unit", []) if row["code"] == code), str(code))
