"""The field's words, once: what each value of a code is called in Chinese and in English."""

from __future__ import annotations

Word = tuple[str, str]

STATUS: dict[str, Word] = {
    "received": ("已受理", "Received"),
    "dispatched": ("已派单", "Dispatched"),
    "accepted": ("已签收", "Accepted"),
    "returned": ("已退单", "Returned"),
    "suspended": ("已挂起", "Suspended"),
    "completed": ("已办结", "Completed"),
    "reopened": ("重办中", "Reopened"),
    "closed": ("已归档", "Closed"),
    "void": ("已作废", "Void"),
}
STAGE: dict[str, Word] = {
    "assigned": ("交办", "Assigned"),
    "urged": ("督促办", "Urged"),
    "focused": ("重点办", "Focused"),
    "in_depth": ("深入办", "In depth"),
}
KIND: dict[str, Word] = {
    "consult": ("咨询", "Consultation"),
    "help": ("求助", "Request for help"),
    "complaint": ("投诉", "Complaint"),
    "report": ("举报", "Report"),
    "suggestion": ("建议", "Suggestion"),
    "praise": ("表扬", "Praise"),
    "dispute": ("纠纷", "Dispute"),
}
PRIORITY: dict[str, Word] = {
    "normal": ("一般", "Normal"),
    "urgent": ("紧急", "Urgent"),
    "emergency": ("特急", "Emergency"),
}
SEVERITY: dict[str, Word] = {
    "ordinary": ("一般", "Ordinary"),
    "major": ("较大", "Major"),
    "grave": ("重大", "Grave"),
}
TARGET: dict[str, Word] = {
    "accept": ("签收", "Accept"),
    "contact": ("联系群众", "Contact"),
    "complete": ("办结", "Complete"),
    "callback": ("回访", "Callback"),
    "supervise": ("督办", "Supervision"),
}
CARD: dict[str, Word] = {"yellow": ("黄牌", "Yellow card"), "red": ("红牌", "Red card")}
SATISFACTION: dict[str, Word] = {
    "very_satisfied": ("非常满意", "Very satisfied"),
    "satisfied": ("满意", "Satisfied"),
    "basically_satisfied": ("基本满意", "Basically satisfied"),
    "dissatisfied": ("不满意", "Dissatisfied"),
    "very_dissatisfied": ("非常不满意", "Very dissatisfied"),
}
OUTCOME: dict[str, Word] = {
    "reached": ("已接通", "Reached"),
    "no_answer": ("无人接听", "No answer"),
    "refused": ("拒绝回访", "Refused"),
}
ACTION: dict[str, Word] = {
    "dispatch": ("派单", "Dispatch"),
    "accept": ("签收", "Accept"),
    "return": ("退单", "Return"),
    "reassign": ("改派", "Reassign"),
    "contact": ("联系群众", "Contact"),
    "suspend": ("挂起", "Suspend"),
    "resume": ("恢复", "Resume"),
    "extend": ("申请延期", "Ask for extension"),
    "complete": ("办结", "Complete"),
    "urge": ("催单", "Urge"),
    "reopen": ("重办", "Reopen"),
    "void": ("作废", "Void"),
    "callback": ("回访", "Callback"),
    "correct": ("更正", "Correct"),
}
TRIGGER: dict[str, Word] = {
    "overdue": ("超期", "Overdue"),
    "dissatisfied": ("回访不满意", "Dissatisfied at callback"),
    "repeated": ("重复诉求", "Reported again"),
    "leader": ("领导批示", "Leader's order"),
}
ORDER_STATE: dict[str, Word] = {
    "issued": ("待回复", "Awaiting the reply"),
    "replied": ("待审核", "Awaiting the ruling"),
    "closed": ("已办结", "Closed"),
    "cancelled": ("已撤销", "Cancelled"),
}
ROLE: dict[str, Word] = {
    "admin": ("管理员", "Administrator"),
    "dispatcher": ("派单员", "Dispatcher"),
    "supervisor": ("督办员", "Supervisor"),
    "caller": ("回访员", "Caller"),
    "unit": ("承办单位", "Unit"),
    "leader": ("领导", "Leader"),
    "auditor": ("审计员", "Auditor"),
    "integrator": ("接入方", "Integrator"),
}


def say(words: dict[str, Word], code: str, lang: str = "zh") -> str:
    """What ``code`` is called in ``lang``; the code itself where the table has no word for it."""
    word = words.get(code)
    return code if word is None else word[1 if lang == "en" else 0]
