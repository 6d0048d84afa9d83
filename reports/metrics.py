"""The only registry of figures: the name, count and meaning of each. No figure is computed from anything else.

A definition names two conditions over the facts (``reports.facts.frame``), in the small language of ``reports.expr``;
``reports.figures.body`` answers them over a frame, and ``as_sql`` writes the same definition for a database. R, "received",
are the tickets received in the period, excluding void ones. Long because it is one table.

The documentation (docs/metrics.md), the API (GET /metrics/definitions), the console and the spreadsheets read it here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from app.text import Text
from reports.expr import parse, sql

Kind = Literal["count", "ratio", "mean", "percentile"]
Better = Literal["more", "less", ""]

CONDITIONS: dict[str, str] = {
    "in_period": "received_at >= :start AND received_at < :end",
    "received": "in_period AND NOT void",
    "is_completed": "status IN ('completed', 'closed')",
    "completed": "received AND is_completed",
    # A source's own verdict counts where there are no moments to judge by. A completed ticket that has neither a
    # verdict nor a deadline and a moment of completion is neither on time nor late: it is counted apart (unjudged).
    "by_source": "received AND source_verdict IS NOT NULL",
    "by_time": "received AND source_verdict IS NULL AND complete_due_at IS NOT NULL",
    "completed_by_time": "by_time AND is_completed AND completed_at IS NOT NULL",
    "passed_by_time": "by_time AND NOT is_completed AND complete_due_at <= :as_of",
    "due": "by_source OR completed_by_time OR passed_by_time",
    "on_time": "(by_source AND source_verdict = 'on_time') OR (completed_by_time AND completed_at <= complete_due_at)",
    "overdue": "due AND NOT on_time",
    "accept_due": "received AND accept_due_at IS NOT NULL AND (accepted_at IS NOT NULL OR accept_due_at <= :as_of)",
    "called_back": "received AND callback_attempts >= 1",
    "reached": "called_back AND callback_reached",
    "rated": "received AND satisfaction IS NOT NULL",
    "ever_completed": "received AND (is_completed OR first_completed_at IS NOT NULL)",
    "relapse_over": "received AND status = 'closed' AND relapse_until <= :as_of",
    "mediated": "received AND mediation_ended",
    "voided": "end_state = 'void' AND voided_at >= :start AND voided_at < :end",
    "completed_in_period": "end_state = 'completed' AND end_completed_at >= :start AND end_completed_at < :end",
}
"""Conditions that several definitions share, by name."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One figure.

    ``numerator`` is the condition of the tickets counted (for a mean or percentile: of those whose ``column`` is
    taken); ``denominator`` that of a ratio. ``of_whole``: the denominator is the whole's, not the group's.
    ``headline``: shown first, and compared with earlier periods in each row of a breakdown. ``better`` says which
    direction is good news, so that a page can colour a change.
    """

    key: str
    group: str
    zh: str
    en: str
    about_zh: str
    about_en: str
    numerator: str
    kind: Kind = "count"
    denominator: str = ""
    column: str = ""
    quantile: float = 0.0
    of_whole: bool = False
    headline: bool = False
    better: Better = ""

    @property
    def unit(self) -> str:
        """tickets, percent, points (1–5) or hours."""
        return {"count": "tickets", "ratio": "percent", "mean": "points", "percentile": "hours"}[self.kind]

    @property
    def format(self) -> str:
        """Return the number format of a spreadsheet; a percentage is stored as a fraction."""
        return {"count": "#,##0", "ratio": "0.00%", "mean": "0.00", "percentile": "#,##0.00"}[self.kind]

    def label(self, lang: str) -> str:
        """Return the name of the figure in ``lang``."""
        return self.en if lang == "en" else self.zh

    def about(self, lang: str) -> str:
        """Return what the figure counts, in ``lang``."""
        return self.about_en if lang == "en" else self.about_zh


GROUPS: Mapping[str, Text] = {
    "volume": Text("受理与办结", "Received and completed"),
    "deadline": Text("时限", "Deadlines"),
    "callback": Text("回访与满意度", "Callbacks and satisfaction"),
    "quality": Text("督办与质量", "Supervision and quality"),
    "time": Text("办理时长", "Time taken"),
    "balance": Text("平衡项", "Terms of the balance"),
}


def _count(key: str, group: str, zh: str, en: str, about: tuple[str, str], numerator: str, **more: Any) -> Definition:
    return Definition(key, group, zh, en, *about, numerator, **more)


def _ratio(
    key: str, group: str, zh: str, en: str, about: tuple[str, str], numerator: str, denominator: str, **more: Any
) -> Definition:
    return Definition(key, group, zh, en, *about, numerator, kind="ratio", denominator=denominator, **more)


def _score(what: str, zh: str, en: str) -> Definition:
    about = (
        f"回访中{zh}评分（1–5）的平均值，只计给出评分的工单",
        f"mean score (1–5) for {en.lower()}, over those who gave one",
    )
    condition = f"received AND score_{what} IS NOT NULL"
    return Definition(f"score_{what}", "callback", f"{zh}评分", f"Score: {en.lower()}", *about, condition, kind="mean",
                      column=f"score_{what}", better="more")  # fmt: skip


def _hours(what: str, zh: str, en: str, about: tuple[str, str], percent: int) -> Definition:
    rank = (f"第 {percent} 百分位", f"{percent}th percentile")
    return Definition(f"{what}_hours_p{percent}", "time", f"{zh} P{percent}", f"{en}, P{percent}", f"{about[0]}；{rank[0]}",
                      f"{about[1]}; {rank[1]}", f"completed AND {what}_seconds IS NOT NULL", kind="percentile",
                      column=f"{what}_seconds", quantile=percent / 100, better="less")  # fmt: skip


_HANDLING = (
    "从派单到办结的工作小时数（单位时钟，扣除挂起）",
    "working hours from dispatch to completion, on the unit clock",
)
_CITIZEN = (
    "从首次反映到真正办结的自然小时数（群众时钟）",
    "natural hours from the first report to the true end, on the citizen clock",
)

# fmt: off
REGISTRY: tuple[Definition, ...] = (
    _count("carried_in", "volume", "上期结转", "Carried in",
           ("期初之前受理，期初时尚未办结也未作废", "received before the period, not completed and not void at its start"),
           "start_state = 'open'"),
    _count("received", "volume", "受理量", "Received",
           ("期内受理的工单，不含已作废的（记作 R）", "tickets received in the period, excluding void ones (R)"),
           "received", headline=True),
    _count("dispatched", "volume", "派单量", "Dispatched",
           ("R 中已派单的", "of R, dispatched"), "received AND dispatched_at IS NOT NULL"),
    _count("accepted", "volume", "签收量", "Accepted",
           ("R 中已签收的", "of R, accepted by the unit"), "received AND accepted_at IS NOT NULL"),
    _count("completed", "volume", "办结量", "Completed",
           ("R 中截至统计时点已办结或已归档的", "of R, completed or closed at as_of"), "completed", headline=True),
    _ratio("completion_rate", "volume", "办结率", "Completion rate",
           ("办结量 ÷ 受理量", "completed / received"), "completed", "received", headline=True, better="more"),
    _count("completed_in_period", "volume", "当期办结", "Completed in the period",
           ("期内办结且期末仍为办结的，不论何时受理",
            "completed in the period and still completed at its end, regardless of when received"),
           "completed_in_period"),
    _count("open", "volume", "在办量", "Open",
           ("期末（或更早的统计时点）既未办结也未作废的，不论何时受理",
            "at the period's end (or as_of, if earlier) neither completed nor void, regardless of when received"),
           "end_state = 'open'", better="less"),
    _count("voided", "volume", "作废量", "Voided",
           ("期内作废的，不论何时受理", "voided in the period, regardless of when received"), "voided"),
    _ratio("share", "volume", "占比", "Share",
           ("该组受理量 ÷ 全部受理量", "received of the group / received of the whole"), "received", "received", of_whole=True),
    _count("practical", "volume", "实事类", "Practical matters",
           ("R 中分类属于实事类的", "of R, in a category that counts as a practical matter"), "received AND practical"),
    _ratio("practical_share", "volume", "实事类占比", "Share of practical matters",
           ("实事类 ÷ 受理量", "practical / received"), "received AND practical", "received"),

    _count("due", "deadline", "应结量", "Due",
           ("R 中已办结的，或办结时限不晚于统计时点的；来源只给出结论的按其结论计入；无法判定的不计入",
            ("of R, completed, or with a complete-deadline at or before as_of; a ticket with only its source's verdict counts "
             "by that; one that cannot be judged does not count")), "due"),
    _count("on_time", "deadline", "按期办结量", "On time",
           ("R 中不晚于办结时限办结的，或来源判为按期的",
            "of R, completed at or before its complete-deadline, or on time by its source's verdict"),
           "on_time"),
    _ratio("on_time_rate", "deadline", "按期办结率", "On-time rate",
           ("按期办结量 ÷ 应结量", "on_time / due"), "on_time", "due", headline=True, better="more"),
    _count("overdue", "deadline", "超期量", "Overdue",
           ("应结量 − 按期办结量", "due − on_time"), "overdue", headline=True, better="less"),
    _count("overdue_open", "deadline", "超期未结", "Overdue and open",
           ("超期量中仍未办结的", "of overdue, not completed"), "overdue AND NOT is_completed", better="less"),
    _count("unjudged", "deadline", "无法判定", "Cannot be judged",
           ("R 中已办结，但没有时限或办结时刻、来源也未给结论的",
            "of R, completed, but with no deadline or no moment of completion, and no verdict from the source"),
           "completed AND NOT due"),
    _count("verdicts_from_source", "deadline", "依据来源结论", "Verdicts from the source",
           ("R 中没有办结时刻可判、只按来源结论计入按期或超期的",
            "of R, on time or late by the source's own verdict, because times are missing"), "by_source"),
    _ratio("accept_on_time_rate", "deadline", "及时签收率", "Accepted on time",
           ("签收时限内签收的 ÷ 已签收或签收时限已过的（R 中有签收时限的）",
            "accepted by the accept-deadline / accepted, or accept-deadline passed (of R, with an accept-deadline)"),
           "accept_due AND accepted_at <= accept_due_at", "accept_due", better="more"),
    _ratio("response_rate", "deadline", "响应率", "Response rate",
           ("应结量中在联系时限内联系过群众的 ÷ 应结量", "of due, the unit contacted the citizen by the contact-deadline / due"),
           "due AND contacted_at <= contact_due_at", "due", better="more"),

    _count("called_back", "callback", "回访量", "Called back",
           ("R 中至少回访过一次的", "of R, with at least one callback attempt"), "called_back"),
    _ratio("contact_rate", "callback", "回访接通率", "Contact rate",
           ("接通的 ÷ 回访量", "reached / called_back"), "reached", "called_back", better="more"),
    _ratio("resolution_rate", "callback", "解决率", "Resolution rate",
           ("群众表示已解决的 ÷ 接通的", "the citizen says resolved / reached"), "reached AND resolved", "reached",
           better="more"),
    _ratio("satisfaction_rate", "callback", "满意率", "Satisfaction rate",
           ("非常满意、满意或基本满意 ÷ 作出评价的", "very satisfied, satisfied or basically satisfied / rated"),
           "rated AND satisfaction IN ('very_satisfied', 'satisfied', 'basically_satisfied')", "rated", headline=True,
           better="more"),
    _ratio("satisfaction_rate_strict", "callback", "满意率（严格）", "Satisfaction rate, strict",
           ("非常满意或满意 ÷ 作出评价的", "very satisfied or satisfied / rated"),
           "rated AND satisfaction IN ('very_satisfied', 'satisfied')", "rated", better="more"),
    _score("speed", "速度", "Speed"),
    _score("attitude", "态度", "Attitude"),
    _score("outcome", "结果", "Outcome"),

    _count("supervised", "quality", "督办量", "Supervised",
           ("R 中发过督办单的", "of R, with a supervision order"), "received AND supervised", better="less"),
    _ratio("supervision_rate", "quality", "督办率", "Supervision rate",
           ("督办量 ÷ 受理量", "supervised / received"), "received AND supervised", "received", better="less"),
    _ratio("reopen_rate", "quality", "重办率", "Reopening rate",
           ("重办过的 ÷ 已办结或曾经办结的（R 中）", "reopened / completed or once completed (of R)"),
           "ever_completed AND reopened >= 1", "ever_completed", better="less"),
    _ratio("repeat_rate", "quality", "重复诉求率", "Repeat rate",
           ("关联到更早工单的 ÷ 受理量", "linked to an earlier ticket / received"), "received AND repeated", "received",
           better="less"),
    _ratio("true_resolution_rate", "quality", "真实解决率", "True resolution rate",
           ("归档后复发观察期内未再反映的 ÷ 已归档且观察期已满的（R 中）",
            "closed and not reported again within the relapse window / closed with that window over (of R)"),
           "relapse_over AND NOT relapsed", "relapse_over", better="more"),
    _ratio("extension_rate", "quality", "延期率", "Extension rate",
           ("获准延期的 ÷ 受理量", "granted an extension / received"), "received AND extended", "received", better="less"),
    _ratio("return_rate", "quality", "退单率", "Return rate",
           ("退过单的 ÷ 受理量", "returned by a unit / received"), "received AND returned >= 1", "received", better="less"),
    _ratio("mediation_success_rate", "quality", "调解成功率", "Mediation success rate",
           ("达成协议的 ÷ 已结束的调解（R 中）", "mediation cases agreed / ended (of R)"),
           "mediated AND mediation_agreed", "mediated", better="more"),

    _hours("handling", "办理时长", "Handling hours", _HANDLING, 50),
    _hours("handling", "办理时长", "Handling hours", _HANDLING, 90),
    _hours("citizen", "群众等待时长", "Citizen's hours", _CITIZEN, 50),
    _hours("citizen", "群众等待时长", "Citizen's hours", _CITIZEN, 90),

    _count("received_and_voided", "balance", "期内受理、已作废", "Received, since voided",
           ("期内受理、截至统计时点已作废的：不在受理量内，补计于平衡式左边",
            "received in the period and void at as_of: not in R, so added on the left of the balance"), "in_period AND void"),
    _count("reopened_in_period", "balance", "期内重办", "Reopened in the period",
           ("期初已办结、期内重办，期末在办或再次办结的",
            "completed at the start, reopened in the period, open or completed again at its end"),
           "start_state = 'completed' AND (end_state = 'open' OR completed_in_period)"),
    _count("completed_then_voided", "balance", "办结后作废", "Completed, then voided",
           ("期初已办结、期内作废的", "completed at the start, voided in the period"), "start_state = 'completed' AND voided"),
    _count("completed_undated", "balance", "办结时刻不详", "Completed, time unknown",
           ("期末已办结、来源未给出办结时刻的：不在当期办结内，补计于平衡式右边",
            "completed at the end, at a time the source does not give: not in completed_in_period, so added on the right"),
           "end_state = 'completed' AND end_completed_at IS NULL AND start_state IN ('absent', 'open')"),
)
# fmt: on

BY_KEY: dict[str, Definition] = {definition.key: definition for definition in REGISTRY}
HEADLINES: tuple[str, ...] = tuple(definition.key for definition in REGISTRY if definition.headline)

BALANCE_LEFT = ("carried_in", "received", "received_and_voided", "reopened_in_period", "completed_then_voided")
BALANCE_RIGHT = ("completed_in_period", "completed_undated", "voided", "open")
"""carried_in + received = completed_in_period + voided + open, once the named terms are counted with their side."""


def as_sql(definition: Definition) -> dict[str, str]:
    """Return the two conditions as portable SQL over a table of facts; parameters stay ``:name``."""
    return {
        part: sql(parse(text), CONDITIONS)
        for part, text in (("numerator", definition.numerator), ("denominator", definition.denominator))
        if text
    }


@cache
def definitions_version() -> str:
    """Return a hash of all that determines a figure: registry, shared conditions, balance terms (16 hex digits)."""
    content = [[asdict(definition) for definition in REGISTRY], CONDITIONS, BALANCE_LEFT, BALANCE_RIGHT]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def definitions() -> dict[str, Any]:
    """Return the registry as JSON, as served by ``GET /metrics/definitions``."""
    items = []
    for each in REGISTRY:
        item: dict[str, Any] = {
            "key": each.key,
            "label": {"zh": each.zh, "en": each.en},
            "description": {"zh": each.about_zh, "en": each.about_en},
            "group": each.group,
            "kind": each.kind,
            "unit": each.unit,
            "format": each.format,
            "better": each.better or None,
            "numerator": each.numerator,
            "denominator": each.denominator or None,
            "sql": as_sql(each),
        }
        if each.column:
            item["column"] = each.column
        if each.kind == "percentile":
            item["quantile"] = each.quantile
        items.append(item)
    return {
        "version": definitions_version(),
        "groups": {key: {"zh": zh, "en": en} for key, (zh, en) in GROUPS.items()},
        "conditions": CONDITIONS,
        "items": items,
    }


def documentation() -> str:
    """Return the complete text of docs/metrics.md."""
    lines = [
        "# The figures 指标",
        "",
        "Generated by `python -m reports.metrics` from the registry in `reports/metrics.py`; a test fails if it is outdated.",
        "",
        f"Definitions' version: `{definitions_version()}`. R is `received`: tickets received in the period, excluding void",
        "ones. A ratio carries its numerator and denominator; a zero denominator gives `null`. Percentages are rounded half up",
        "to two places, once, at the end. A percentile is interpolated between neighbours, as `PERCENTILE_CONT` does.",
    ]
    for group, (zh, en) in GROUPS.items():
        lines += ["", f"## {en} {zh}", "", "| key | 中文 | English | counts |", "|---|---|---|---|"]
        for each in REGISTRY:
            if each.group == group:
                lines.append(
                    f"| `{each.key}` | {each.zh} | {each.en} | {each.about_zh}<br>{each.about_en}<br>{_code(each)} |"
                )
    left, right = (" + ".join(f"`{key}`" for key in side) for side in (BALANCE_LEFT, BALANCE_RIGHT))
    lines += ["", "## The balance 平衡式", "", f"{left} = {right}", ""]
    lines += [
        "A report whose balance does not close is not created: the error names the terms and the tickets in conflict.",
        "",
    ]
    lines += ["## Shared conditions", "", "| name | condition |", "|---|---|"]
    lines += [f"| `{name}` | `{text}` |" for name, text in CONDITIONS.items()]
    return "\n".join(lines) + "\n"


def _code(each: Definition) -> str:
    if each.kind in {"mean", "percentile"}:
        how = "mean" if each.kind == "mean" else f"percentile {each.quantile:g}"
        return f"{how} of `{each.column}` where `{each.numerator}`"
    whole = " of the whole" if each.of_whole else ""
    return f"`{each.numerator}`" + (f" / `{each.denominator}`{whole}" if each.denominator else "")


if __name__ == "__main__":
    print(documentation(), end="")  # noqa: T201
