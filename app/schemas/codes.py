"""The closed sets of code words, each a named enumeration of ``/openapi.json``; their Chinese and English names are in
``app.domain.words``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypeAliasType

TicketStatus = TypeAliasType(
    "TicketStatus",
    Literal["received", "dispatched", "accepted", "returned", "suspended", "completed", "reopened", "closed", "void"],
)
Stage = TypeAliasType("Stage", Literal["assigned", "urged", "focused", "in_depth"])
Kind = TypeAliasType("Kind", Literal["consult", "help", "complaint", "report", "suggestion", "praise", "dispute"])
Priority = TypeAliasType("Priority", Literal["normal", "urgent", "emergency"])
Severity = TypeAliasType("Severity", Literal["ordinary", "major", "grave"])
Card = TypeAliasType("Card", Literal["yellow", "red"])
Target = TypeAliasType("Target", Literal["accept", "contact", "complete", "callback", "supervise"])
Satisfaction = TypeAliasType(
    "Satisfaction",
    Literal["very_satisfied", "satisfied", "basically_satisfied", "dissatisfied", "very_dissatisfied"],
)
Outcome = TypeAliasType("Outcome", Literal["reached", "no_answer", "refused"])
Verdict = TypeAliasType("Verdict", Literal["on_time", "late"])
DeadlineState = TypeAliasType(
    "DeadlineState", Literal["met", "met_late", "cancelled", "suspended", "overdue", "pending"]
)
DeadlineBasis = TypeAliasType("DeadlineBasis", Literal["policy", "source"])
Trigger = TypeAliasType("Trigger", Literal["overdue", "dissatisfied", "repeated", "leader"])
OrderState = TypeAliasType("OrderState", Literal["issued", "replied", "closed", "cancelled"])
ExtensionState = TypeAliasType("ExtensionState", Literal["pending", "approved", "refused", "withdrawn"])
Role = TypeAliasType(
    "Role", Literal["admin", "dispatcher", "supervisor", "caller", "unit", "leader", "auditor", "integrator"]
)
LimitUnit = TypeAliasType("LimitUnit", Literal["working_days", "working_hours", "days", "hours"])
LimitEnd = TypeAliasType("LimitEnd", Literal["close", "midnight", "same_time"])
Recompute = TypeAliasType("Recompute", Literal["new", "open"])
AlertState = TypeAliasType("AlertState", Literal["open", "acked", "resolved"])
AlertFilterState = TypeAliasType("AlertFilterState", Literal["open", "acked", "resolved", "live"])
AlertChange = TypeAliasType("AlertChange", Literal["raised", "acked", "resolved"])
IngestChannel = TypeAliasType("IngestChannel", Literal["batch", "import", "feed"])
RejectState = TypeAliasType("RejectState", Literal["open", "retried", "deleted", "superseded"])
RejectFilterState = TypeAliasType("RejectFilterState", Literal["open", "retried", "deleted", "superseded", "all"])
RowStatus = TypeAliasType("RowStatus", Literal["created", "unchanged", "rejected"])
ClockState = TypeAliasType("ClockState", Literal["running", "standing", "ended"])
FeedState = TypeAliasType("FeedState", Literal["off", "pulling", "waiting", "failing", "new", "ok"])
ReportKind = TypeAliasType("ReportKind", Literal["daily", "weekly", "monthly", "clear-out", "range"])
Lang = TypeAliasType("Lang", Literal["zh", "en"])
Ruling = TypeAliasType("Ruling", Literal["approve", "refuse"])
