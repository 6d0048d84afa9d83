"""The catalogue of the domain's terms: the Chinese and English name of each code, and its meaning.

Every surface takes its words from here: pages, messages, spreadsheets, the readers of files. ``GROUPS`` holds the coded
values (states, stages, kinds, roles …) by group; ``TERMS`` the nouns of the field. ``docs/glossary.md`` and the page
``/glossary`` are generated from both. Long, because it is one table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from app.text import Text

Words = Mapping[str, Text]
"""Code → its name in both languages."""


class Term(NamedTuple):
    """A term of the domain: its name and its meaning."""

    title: Text
    meaning: Text


class Group(NamedTuple):
    """A group of codes: its name, the meaning of the group, and the name of each code."""

    title: Text
    meaning: Text
    words: Words


STATUS: Final[Words] = {
    "received": Text("已受理", "Received"),
    "dispatched": Text("已派单", "Dispatched"),
    "accepted": Text("已签收", "Accepted"),
    "returned": Text("已退单", "Returned"),
    "suspended": Text("已挂起", "Suspended"),
    "completed": Text("已办结", "Completed"),
    "reopened": Text("重办中", "Reopened"),
    "closed": Text("已归档", "Closed"),
    "void": Text("已作废", "Void"),
}

STAGE: Final[Words] = {
    "assigned": Text("交办", "Assigned"),
    "urged": Text("督促办", "Urged"),
    "focused": Text("重点办", "Focused"),
    "in_depth": Text("深入办", "In depth"),
}

KIND: Final[Words] = {
    "consult": Text("咨询", "Consultation"),
    "help": Text("求助", "Request for help"),
    "complaint": Text("投诉", "Complaint"),
    "report": Text("举报", "Report"),
    "suggestion": Text("建议", "Suggestion"),
    "praise": Text("表扬", "Praise"),
    "dispute": Text("纠纷", "Dispute"),
}

PRIORITY: Final[Words] = {
    "normal": Text("一般", "Normal"),
    "urgent": Text("紧急", "Urgent"),
    "emergency": Text("特急", "Emergency"),
}

SEVERITY: Final[Words] = {
    "ordinary": Text("一般", "Ordinary"),
    "major": Text("较大", "Major"),
    "grave": Text("重大", "Grave"),
}

ACTION: Final[Words] = {
    "dispatch": Text("派单", "Dispatch"),
    "accept": Text("签收", "Accept"),
    "return": Text("退单", "Return"),
    "reassign": Text("改派", "Reassign"),
    "contact": Text("联系群众", "Contact"),
    "suspend": Text("挂起", "Suspend"),
    "resume": Text("恢复", "Resume"),
    "extend": Text("申请延期", "Ask for extension"),
    "complete": Text("办结", "Complete"),
    "urge": Text("催单", "Urge"),
    "reopen": Text("重办", "Reopen"),
    "void": Text("作废", "Void"),
    "callback": Text("回访", "Callback"),
    "correct": Text("更正", "Correct"),
}

EVENT: Final[Words] = {
    "deadline_moved": Text("时限变动", "Deadline moved"),
    "deadline_confirmed": Text("时限确认", "Deadline confirmed"),
    "received": Text("受理", "Received"),
    "imported": Text("历史数据导入", "Imported from history"),
    "dispatched": Text("派单", "Dispatched"),
    "accepted": Text("签收", "Accepted"),
    "returned": Text("退单", "Returned"),
    "return_refused": Text("退单被驳回", "Return refused"),
    "reassigned": Text("改派", "Reassigned"),
    "contacted": Text("联系群众", "Citizen contacted"),
    "suspended": Text("挂起", "Suspended"),
    "resumed": Text("恢复办理", "Resumed"),
    "deadline_mended": Text("时限修复", "Deadline repaired from the log"),
    "extension_asked": Text("申请延期", "Extension requested"),
    "extension_approved": Text("延期获批", "Extension approved"),
    "extension_refused": Text("延期未获批", "Extension refused"),
    "completed": Text("办结", "Completed"),
    "urged": Text("群众催单", "Urged by the citizen"),
    "reopened": Text("重办", "Reopened"),
    "voided": Text("作废", "Made void"),
    "called_back": Text("回访", "Callback"),
    "closed": Text("归档", "Closed"),
    "corrected": Text("更正", "Corrected"),
    "stage_raised": Text("办理环节升级", "Stage raised"),
    "alert_raised": Text("发出预警", "Alert raised"),
    "alert_acked": Text("确认预警", "Alert acknowledged"),
    "supervision_order_issued": Text("下发督办单", "Supervision order issued"),
    "supervision_order_advanced": Text("督办单升级", "Supervision order advanced"),
    "supervision_order_replied": Text("回复督办单", "Supervision order answered"),
    "supervision_order_refused": Text("督办回复被退回", "Reply to the order refused"),
    "supervision_order_closed": Text("督办单办结", "Supervision order closed"),
    "supervision_order_cancelled": Text("督办单撤销", "Supervision order cancelled"),
}

BECAUSE: Final[Words] = {
    "office": Text("指挥中心决定", "the office's decision"),
    "callback": Text("回访不满意", "dissatisfied at callback"),
    "unreachable": Text("多次回访未接通", "could not be reached"),
    "reached": Text("回访满意", "content at callback"),
    "refused": Text("拒绝回访", "callback refused"),
    "calendar": Text("工作日历变更", "the calendar changed"),
    "policy": Text("时限规则变更", "the policy changed"),
    "unit": Text("单位改用其他日历", "the unit came under another calendar"),
}

TARGET: Final[Words] = {
    "accept": Text("签收", "Accept"),
    "contact": Text("联系群众", "Contact"),
    "complete": Text("办结", "Complete"),
    "callback": Text("回访", "Callback"),
    "supervise": Text("督办", "Supervision"),
}

DEADLINE_STATE: Final[Words] = {
    "met": Text("按期完成", "Met"),
    "met_late": Text("超期完成", "Met late"),
    "cancelled": Text("不再计时", "No longer counted"),
    "suspended": Text("暂停计时", "Stopped"),
    "overdue": Text("已超期", "Overdue"),
    "pending": Text("计时中", "Running"),
}

EXTENSION_STATE: Final[Words] = {
    "pending": Text("待审批", "Waiting"),
    "approved": Text("已同意", "Approved"),
    "refused": Text("未同意", "Refused"),
    "withdrawn": Text("已撤回", "Withdrawn"),
}

CARD: Final[Words] = {
    "yellow": Text("黄牌", "Yellow card"),
    "red": Text("红牌", "Red card"),
}

ALERT_STATE: Final[Words] = {
    "open": Text("待确认", "not acknowledged"),
    "acked": Text("已确认", "acknowledged"),
    "resolved": Text("已解除", "resolved"),
}

TRIGGER: Final[Words] = {
    "overdue": Text("超期", "Overdue"),
    "dissatisfied": Text("回访不满意", "Dissatisfied at callback"),
    "repeated": Text("重复诉求", "Reported again"),
    "leader": Text("领导批示", "Leader's order"),
}

ORDER_STATE: Final[Words] = {
    "issued": Text("待回复", "Awaiting the reply"),
    "replied": Text("待审核", "Awaiting the ruling"),
    "closed": Text("已办结", "Closed"),
    "cancelled": Text("已撤销", "Cancelled"),
}

OUTCOME: Final[Words] = {
    "reached": Text("已接通", "Reached"),
    "no_answer": Text("无人接听", "No answer"),
    "refused": Text("拒绝回访", "Refused"),
}

SATISFACTION: Final[Words] = {
    "very_satisfied": Text("非常满意", "Very satisfied"),
    "satisfied": Text("满意", "Satisfied"),
    "basically_satisfied": Text("基本满意", "Basically satisfied"),
    "dissatisfied": Text("不满意", "Dissatisfied"),
    "very_dissatisfied": Text("非常不满意", "Very dissatisfied"),
}

CLEAR_OUT_REASON: Final[Words] = {
    "overdue": Text("超期较久", "Long overdue"),
    "repeated": Text("多次反映", "Reported repeatedly"),
    "dissatisfied": Text("两次不满意", "Twice dissatisfied"),
    "supervision": Text("督办进入第二期", "Supervision in its second term"),
    "suspended": Text("长期挂起", "Suspended for long"),
    "relapsed": Text("观察期内再次反映", "Reported again within the relapse window"),
    "carried_over": Text("上期未清", "Not cleared last time"),
}

CLEAR_OUT_STATE: Final[Words] = {
    "open": Text("未清", "Open"),
    "cleared": Text("已清", "Cleared"),
    "carried_over": Text("结转", "Carried over"),
    "put_back": Text("回列", "Put back"),
}

REPORT_KIND: Final[Words] = {
    "daily": Text("日报", "Daily report"),
    "weekly": Text("周报", "Weekly report"),
    "monthly": Text("月报", "Monthly report"),
    "range": Text("统计报告", "Report"),
    "clear-out": Text("清零清单", "Clear-out list"),
}

DAY_KIND: Final[Words] = {
    "workday": Text("工作日", "working day"),
    "weekend": Text("休息日", "day off"),
    "holiday": Text("放假", "holiday"),
    "makeup": Text("调休上班", "make-up workday"),
    "half": Text("缩短工时", "shorter hours"),
    "special": Text("当日工时另定", "other hours"),
}

FEED_STATE: Final[Words] = {
    "new": Text("未拉取", "not pulled yet"),
    "ok": Text("正常", "in order"),
    "pulling": Text("拉取中", "pulling"),
    "failing": Text("失败", "failing"),
    "waiting": Text("暂停重试", "waiting to retry"),
    "off": Text("已停用", "off"),
}

PULL_STATE: Final[Words] = {
    "running": Text("进行中", "under way"),
    "done": Text("完成", "done"),
    "failed": Text("失败", "failed"),
    "stopped": Text("中止", "stopped"),
}

ROLE: Final[Words] = {
    "admin": Text("管理员", "Administrator"),
    "dispatcher": Text("派单员", "Dispatcher"),
    "supervisor": Text("督办员", "Supervisor"),
    "caller": Text("回访员", "Caller"),
    "unit": Text("承办单位", "Unit"),
    "leader": Text("领导", "Leader"),
    "auditor": Text("审计员", "Auditor"),
    "integrator": Text("接入方", "Integrator"),
}


GROUPS: Final[Mapping[str, Group]] = {
    "status": Group(
        Text("工单状态", "Status of a ticket"),
        Text(
            "工单所处的状态；每次变化在事件记录中留一行",
            "The state a ticket is in; every change is one row of its event log",
        ),
        STATUS,
    ),
    "stage": Group(
        Text("办理环节", "Stage"),
        Text(
            "督办逐级加强的四个环节，只由督办阶梯或人工提升",
            "Four grades of supervision; raised by the ladder or by a person, never lowered",
        ),
        STAGE,
    ),
    "kind": Group(
        Text("类型", "Kind"),
        Text("群众诉求的性质", "What the citizen wants"),
        KIND,
    ),
    "priority": Group(
        Text("紧急程度", "Priority"),
        Text("决定适用的时限", "Selects the limits that apply"),
        PRIORITY,
    ),
    "severity": Group(
        Text("严重程度", "Severity"),
        Text("纠纷的等级，决定调解层级", "The grade of a dispute; selects the tier of mediation"),
        SEVERITY,
    ),
    "action": Group(
        Text("操作", "Action"),
        Text("对工单的一次操作，须为其状态所允许", "A step taken on a ticket; its state must allow it"),
        ACTION,
    ),
    "event": Group(
        Text("事件", "Event"),
        Text("事件记录中的一行", "One row of a ticket's event log"),
        EVENT,
    ),
    "because": Group(
        Text("事由", "Cause"),
        Text("事件发生的原因", "Why an event happened"),
        BECAUSE,
    ),
    "target": Group(
        Text("时限种类", "Target"),
        Text("一张工单上分别计时的各种时限", "The kinds of deadline a ticket has"),
        TARGET,
    ),
    "deadline_state": Group(
        Text("时限状态", "State of a deadline"),
        Text("一个时限在某一时刻的状态", "The state of a deadline at a moment"),
        DEADLINE_STATE,
    ),
    "extension_state": Group(
        Text("延期申请状态", "State of an extension"),
        Text("延期须由申请人以外的人审批", "An extension is ruled on by another person than the one who asked"),
        EXTENSION_STATE,
    ),
    "card": Group(
        Text("牌", "Card"),
        Text("黄牌为预警，红牌为超期", "Yellow: warned; red: overdue"),
        CARD,
    ),
    "alert_state": Group(
        Text("预警状态", "State of an alert"),
        Text(
            "预警由知情人确认，或随办结、延期自动解除",
            "An alert is acknowledged by a named person, or resolved by completion or extension",
        ),
        ALERT_STATE,
    ),
    "trigger": Group(
        Text("督办事由", "Trigger"),
        Text("下发或升级督办单的原因", "Why a supervision order is issued or advanced"),
        TRIGGER,
    ),
    "order_state": Group(
        Text("督办单状态", "State of a supervision order"),
        Text("一张工单同时只有一张有效督办单", "A ticket has one live order at most"),
        ORDER_STATE,
    ),
    "outcome": Group(
        Text("回访情况", "Outcome of a callback"),
        Text("一次回访是否接通", "Whether the citizen was reached"),
        OUTCOME,
    ),
    "satisfaction": Group(
        Text("满意度", "Satisfaction"),
        Text("群众在回访中的评价", "What the citizen says at the callback"),
        SATISFACTION,
    ),
    "clear_out_reason": Group(
        Text("列入清零清单的原因", "Reason on the clear-out list"),
        Text("工单列入月度清零清单的原因", "Why a ticket is on a month's clear-out list"),
        CLEAR_OUT_REASON,
    ),
    "clear_out_state": Group(
        Text("销号状态", "Clearing state"),
        Text("清零清单上一行的结果", "What became of a row of the clear-out list"),
        CLEAR_OUT_STATE,
    ),
    "report_kind": Group(
        Text("报表种类", "Kind of report"),
        Text("按统计期间区分", "By the period it covers"),
        REPORT_KIND,
    ),
    "day_kind": Group(
        Text("日期类别", "Kind of day"),
        Text("工作日历上的一天", "What a day of the working-day calendar is"),
        DAY_KIND,
    ),
    "feed_state": Group(
        Text("接入源状态", "State of a feed"),
        Text("拉取是否正常", "Whether pulling works"),
        FEED_STATE,
    ),
    "pull_state": Group(
        Text("拉取状态", "State of a pull"),
        Text("一次拉取的结果", "What became of one pull"),
        PULL_STATE,
    ),
    "role": Group(
        Text("角色", "Role"),
        Text("决定可以做什么、可以看到什么", "Decides what a person or key may do and see"),
        ROLE,
    ),
}
"""Every group of codes by its key."""

TERMS: Final[Mapping[str, Term]] = {
    "ticket": Term(
        Text("工单", "Ticket"),
        Text("群众的一件诉求或纠纷；一切计时和统计的单位", "One citizen request or dispute; the unit of everything"),
    ),
    "source": Term(Text("来源", "Source"), Text("工单从哪里来", "Where tickets come from")),
    "feed": Term(Text("接入源", "Feed"), Text("由系统主动拉取的来源", "A source that is pulled")),
    "unit": Term(
        Text("责任单位", "Responsible unit"),
        Text("负责办理的单位，单位构成一棵树", "Who handles a ticket; units form a tree"),
    ),
    "first_unit": Term(
        Text("首问单位", "First unit"), Text("最先接单的单位，改派后不变", "The first unit asked; never changes")
    ),
    "grid": Term(Text("网格", "Grid"), Text("区域树，层级不限", "The area tree, of any depth")),
    "category": Term(Text("分类", "Category"), Text("诉求分类树", "The tree of what tickets are about")),
    "practical": Term(
        Text("实事类", "Practical matter"), Text("计入实事类占比的分类", "Categories counted as practical matters")
    ),
    "dispatch": Term(
        Text("派单", "Dispatch"),
        Text(
            "指挥中心把工单交给责任单位，单位时钟由此起算", "The centre gives a ticket to a unit; the unit clock starts"
        ),
    ),
    "accept": Term(Text("签收", "Accept"), Text("责任单位确认收到", "The unit confirms receipt")),
    "return": Term(
        Text("退单", "Return"),
        Text("责任单位说明理由退回，由指挥中心裁定", "The unit sends a ticket back with a reason; the centre rules"),
    ),
    "reassign": Term(Text("改派", "Reassign"), Text("改由另一单位办理", "Another unit gets the ticket")),
    "suspend": Term(Text("挂起", "Suspension"), Text("单位时钟暂停", "The unit clock is paused")),
    "extension": Term(
        Text("延期", "Extension"),
        Text("到期前申请，由他人审批", "Requested before the deadline, decided by another person"),
    ),
    "complete": Term(
        Text("办结", "Completion"), Text("责任单位办理完毕，等待回访", "The unit is done; the callback follows")
    ),
    "close": Term(Text("归档", "Closing"), Text("回访之后结束", "After the callback")),
    "reopen": Term(Text("重办", "Reopening"), Text("重新办理，时限重新起算", "Handled again, with fresh deadlines")),
    "void": Term(Text("作废", "Void"), Text("误录等，不计入受理量", "Entered by mistake; not counted as received")),
    "deadline": Term(
        Text("时限", "Deadline"),
        Text("必须完成某事的时刻，附可核对的计算凭据", "When something must be done; it explains itself by a receipt"),
    ),
    "receipt": Term(
        Text("时限凭据", "Receipt"), Text("逐日说明时限如何算出", "Day by day, how a deadline was computed")
    ),
    "provisional": Term(
        Text("暂定", "Provisional"),
        Text("时限落在放假安排尚未公布的年份", "A deadline in a year whose holidays are not published"),
    ),
    "calendar": Term(
        Text("工作日历", "Working-day calendar"),
        Text("时区、每周工时、放假与调休", "Time zone, weekly hours, days off and make-up workdays"),
    ),
    "makeup": Term(Text("调休上班", "Make-up workday"), Text("周末上班的日子", "A weekend day that works")),
    "policy": Term(
        Text("时限规则", "Deadline policy"),
        Text(
            "按来源、类型、分类、紧急程度和单位匹配的时限",
            "Limits matched by source, kind, category, priority and unit",
        ),
    ),
    "ladder": Term(
        Text("督办阶梯", "Supervision ladder"),
        Text("预警、黄牌、红牌和督办单的触发规则", "The rungs: warnings, cards and orders, each with its trigger"),
    ),
    "rung": Term(Text("级别", "Rung"), Text("督办阶梯的一级", "One step of the ladder")),
    "alert": Term(
        Text("预警", "Alert"),
        Text("到达某一级别时发出，每个时限每级只发一次", "Raised when a rung is passed; once per deadline and rung"),
    ),
    "supervision_order": Term(
        Text("督办单", "Supervision order"),
        Text("编号的督办文书，限期办结并回复", "A numbered document that demands completion and a reply"),
    ),
    "callback": Term(
        Text("回访", "Callback"),
        Text("向群众核实办理情况和满意度", "The citizen is asked what was done and how satisfied they are"),
    ),
    "urge": Term(Text("催单", "Urge"), Text("群众就同一件事再次催促", "The citizen asks again about the same ticket")),
    "repeat": Term(
        Text("重复诉求", "Repeat"), Text("同一人就同一件事再次反映", "The same person, the same matter, again")
    ),
    "relapse": Term(
        Text("再次反映", "Relapse"), Text("在观察期内就已办结事项再次反映", "Reported again within the relapse window")
    ),
    "unit_clock": Term(
        Text("单位时钟", "Unit clock"), Text("自派单起计，可挂起、延期", "From dispatch; can be suspended and extended")
    ),
    "citizen_clock": Term(
        Text("群众时钟", "Citizen clock"),
        Text("自首次反映到真正办结，从不重置", "From the first report to the true end; never reset"),
    ),
    "clear_out": Term(
        Text("清零清单", "Clear-out list"),
        Text("每月对久拖未结和多次反映的工单列单清理", "The monthly list of what is open too long or reported again"),
    ),
    "report": Term(Text("报表", "Report"), Text("日报、周报、月报及任意期间", "Daily, weekly, monthly or any range")),
    "edition": Term(
        Text("版次", "Edition"),
        Text("封存的报表；此后的变化另出更正", "A sealed report; later changes are corrections beside it"),
    ),
    "as_of": Term(
        Text("统计时点", "As of"), Text("只计到这一时刻为止已知的情况", "Only what was known at this moment counts")
    ),
    "reject": Term(
        Text("拒收", "Reject"),
        Text("不符合要求而未接收的数据，连同原因保留", "What could not be accepted, kept with its reasons"),
    ),
    "profile": Term(
        Text("映射配置", "Mapping profile"),
        Text("文件列与工单字段的对应", "Maps a file's columns to a ticket's fields"),
    ),
    "reconcile": Term(
        Text("对账", "Reconciliation"), Text("逐日与来源核对有无遗漏", "A day's ids compared with the upstream's")
    ),
    "mediation": Term(Text("调解", "Mediation"), Text("纠纷的调解", "Settling a dispute")),
    "disclosure": Term(
        Text("查看记录", "Disclosure"), Text("谁在何时查看了个人信息全文", "Who saw personal data in full, and when")
    ),
}
"""The terms of the domain by the word that the code uses."""


def say(words: Words, code: str, lang: str = "zh") -> str:
    """The name of ``code`` in ``lang``; the code itself if ``words`` has no entry for it."""
    word = words.get(code)
    return code if word is None else word.to(lang)


def glossary() -> str:
    """``docs/glossary.md``: every term and code with its Chinese word, its English word and its meaning."""
    lines = ["# Glossary", "", "Generated by `python -m app.domain.words`; a test fails when it is out of date.", ""]
    lines += ["## Terms", "", "| in code | 中文 | English | meaning | 含义 |", "|---|---|---|---|---|"]
    lines += [
        f"| `{code}` | {term.title.zh} | {term.title.en} | {term.meaning.en} | {term.meaning.zh} |"
        for code, term in TERMS.items()
    ]
    for key, group in GROUPS.items():
        lines += [
            "",
            f"## {group.title.en} ({group.title.zh}), `{key}`",
            "",
            f"{group.meaning.en}. {group.meaning.zh}。",
        ]
        lines += ["", "| code | 中文 | English |", "|---|---|---|"]
        lines += [f"| `{code}` | {word.zh} | {word.en} |" for code, word in group.words.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(glossary())
