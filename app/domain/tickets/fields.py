"""The fields of a ticket, declared once: pushing, storing, reading, correcting and importing derive from this list.

A field stored and read as pushed is one entry here, one line in each of the models (``TicketIn``, ``Ticket``,
``TicketOut``), which are written out for static typing and speed, and a migration. A test compares the
models with the list, and another carries every field through every endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.text import Text

FieldKind = Literal["text", "identifier", "digits", "code", "moment", "number", "tree", "object"]
"""``identifier``: a key at the source; ``digits``: a string of digits; ``code``: one of a closed set
(``app.domain.words``); ``tree``: the code of a unit, category or grid."""
Correction = Literal["copy", "never", "node", "dispatch", "receipt", "part"]
"""``copy``: the value replaces the stored one. ``node``: its code must be known. ``dispatch``: the unit, which the source
may set until the ticket is dispatched. ``receipt``: moves the deadlines that began with it. ``part``: of the reporter."""
Privacy = Literal["open", "withheld", "masked"]
"""``withheld``: omitted for callers who may not see the ticket. ``masked``: personal data, masked besides for callers
who may not see the reporter (``app.security.masking``)."""
FieldGroup = Literal["", "needed", "matter", "times", "handling", "reporter", "place"]
"""The section of the field page that shows it; empty: none."""


@dataclass(frozen=True, slots=True)
class TicketField:
    """One field. ``length``: characters of a text. ``judged``: deadlines depend on it. ``logged``: the event of a
    correction holds the old and the new value, not only the name; never for personal data, since the log is immutable.
    ``imported``: import profiles may map a column to it. ``common``: most files have it. ``content``: pushed and part of
    the fingerprint; otherwise it belongs to imported history only."""

    name: str
    label: Text
    kind: FieldKind = "text"
    length: int = 0
    group: FieldGroup = ""
    correct: Correction = "copy"
    privacy: Privacy = "withheld"
    judged: bool = False
    logged: bool = False
    imported: bool = True
    common: bool = False
    content: bool = True
    stored: bool = True

    @property
    def column(self) -> str:
        """The column of the table ``ticket``."""
        return self.name.replace(".", "_") + ("_id" if self.kind == "tree" else "")

    @property
    def member(self) -> str:
        """The name of the top-level member of a ticket as pushed and as read."""
        return self.name.partition(".")[0]

    @property
    def part(self) -> str:
        """The name inside that member: ``phone`` of ``reporter.phone``."""
        return self.name.rpartition(".")[2]

    @property
    def shortens(self) -> bool:
        """Whether an import may truncate a value that is too long: prose only, never a person's name."""
        return self.kind == "text" and self.privacy != "masked"

    @property
    def headings(self) -> tuple[str, ...]:
        """The default column headings in an imported table: the name, the column, the Chinese label."""
        return tuple(dict.fromkeys((self.name, self.name.replace(".", "_"), self.label.zh)))


_F = TicketField
FIELDS: Final = (
    _F("external_id", Text("来源编号", "Number at the source"), "identifier", 64, "needed", "never", "open", common=True),
    _F("title", Text("标题", "Title"), "text", 200, "needed", logged=True, common=True),
    _F("content", Text("内容", "Content"), "text", 10_000, "matter", logged=True, common=True),
    _F("kind", Text("类型", "Kind"), "code", 16, "matter", privacy="open", judged=True, logged=True, common=True),
    _F("category", Text("分类", "Category"), "tree", 200, "matter", "node", "open", judged=True, logged=True, common=True),
    _F("priority", Text("紧急程度", "Priority"), "code", 16, "matter", privacy="open", judged=True, logged=True),
    _F("severity", Text("严重程度", "Severity"), "code", 16, "matter", privacy="open", judged=True, logged=True),
    _F("received_at", Text("受理时间", "Received"), "moment", 0, "times", "receipt", "open", judged=True, logged=True,
       common=True),
    _F("source_due_at", Text("来源期限", "The source's limit"), "moment", 0, "times", privacy="open", judged=True,
       logged=True),
    _F("reporter.name", Text("姓名", "Name"), "text", 100, "reporter", "part", "masked", common=True),
    _F("reporter.phone", Text("电话", "Phone"), "digits", 40, "reporter", "part", "masked", common=True),
    _F("reporter.id_number", Text("身份证号", "Id number"), "digits", 40, "reporter", "part", "masked"),
    _F("address", Text("地址", "Address"), "text", 500, "place", common=True),
    _F("grid", Text("网格", "Grid"), "tree", 200, "place", "node", "open", logged=True, common=True),
    _F("latitude", Text("纬度", "Latitude"), "number", 0, "place"),
    _F("longitude", Text("经度", "Longitude"), "number", 0, "place"),
    _F("unit", Text("责任单位", "Unit"), "tree", 200, "handling", "dispatch", "open", logged=True, common=True),
    _F("parent_external_id", Text("原工单来源编号", "Earlier ticket at the source"), "identifier", 64, "needed",
       privacy="open", logged=True),
    _F("attributes", Text("其他属性", "Other attributes"), "object", imported=False),
    # fields of imported history only: a live ticket derives its life from its events
    _F("status", Text("状态", "Status"), "code", 16, "handling", "never", "open", common=True, content=False),
    _F("dispatched_at", Text("派单时间", "Dispatched"), "moment", 0, "times", "never", "open", content=False),
    _F("accepted_at", Text("签收时间", "Accepted"), "moment", 0, "times", "never", "open", content=False),
    _F("completed_at", Text("办结时间", "Completed"), "moment", 0, "times", "never", "open", common=True, content=False),
    _F("closed_at", Text("归档时间", "Closed"), "moment", 0, "times", "never", "open", content=False),
    _F("voided_at", Text("作废时间", "Voided"), "moment", 0, "times", "never", "open", content=False),
    _F("result", Text("办理结果", "Result"), "text", 10_000, "handling", "never", common=True, content=False),
    _F("satisfaction", Text("满意度", "Satisfaction"), "code", 24, "handling", "never", "open", content=False),
    _F("source_verdict", Text("来源判定", "The source's verdict"), "code", 8, "", "never", "open", imported=False,
       content=False),
    _F("source_flag", Text("来源标记", "The source's flag"), "code", 8, "", "never", "open", imported=False,
       content=False, stored=False),
)  # fmt: skip
"""Every field, in the order of the contract."""

CONTENT: Final = tuple(field for field in FIELDS if field.content)
LIFE: Final = tuple(field for field in FIELDS if not field.content)
COPIED: Final = tuple(field for field in CONTENT if field.correct in ("copy", "never"))
"""Content stored in a column as pushed."""
CORRECTED: Final = tuple(field for field in CONTENT if field.correct == "copy")
NODES: Final = tuple(field for field in CONTENT if field.kind == "tree")
REPORTER: Final = tuple(field for field in CONTENT if field.member == "reporter")
IMPORTED: Final = tuple(field for field in FIELDS if field.imported)


def columns_and_names(fields: tuple[TicketField, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of ``fields`` and, in the same order, their names inside their member."""
    return tuple(field.column for field in fields), tuple(field.part for field in fields)
