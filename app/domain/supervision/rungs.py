"""A supervision ladder as data: its rungs, its document form, and the default of a fresh installation.

``app.domain.supervision.ladder`` evaluates it; ``app.schemas.ladder`` parses its document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.domain.time.due import Limit

TARGETS: Final = ("accept", "contact", "complete", "callback", "supervise")
CARDS: Final = ("yellow", "red")


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung (级别): at ``offset`` from the deadline of ``target`` (negative: before; none: at it), raise an alert.

    ``card``: yellow or red; ``stage``: the ticket's stage is raised to this at least; ``notify``: roles to notify;
    ``order``: a supervision order is issued, or the live one advanced. ``first_term``..``last_term``: for the target
    ``supervise``, the terms of the order that the rung applies to (none: all later ones).
    """

    code: str
    target: str
    offset: Limit | None = None
    card: str | None = None
    stage: str | None = None
    notify: tuple[str, ...] = ()
    order: bool = False
    name_zh: str = ""
    name_en: str = ""
    first_term: int = 1
    last_term: int | None = None

    def name(self, lang: str = "zh") -> str:
        """The rung's name in ``lang``."""
        return (self.name_en if lang == "en" else self.name_zh) or self.code


@dataclass(frozen=True, slots=True)
class Ladder:
    """One version of a ladder; ``rungs`` of one target are in the order in which they are raised."""

    code: str
    version: int
    rungs: tuple[Rung, ...]

    def of(self, target: str) -> tuple[Rung, ...]:
        """The rungs of one target, lowest first."""
        return tuple(rung for rung in self.rungs if rung.target == target)

    def rung(self, code: str) -> Rung | None:
        """The rung of that code, or none."""
        return next((rung for rung in self.rungs if rung.code == code), None)

    def to_spec(self) -> dict[str, Any]:
        """The ladder as a JSON document, which ``app.schemas.ladder`` reads."""
        return {"code": self.code, "version": self.version, "rungs": [_rung_spec(rung) for rung in self.rungs]}


def _rung_spec(rung: Rung) -> dict[str, Any]:
    offset = rung.offset
    return {
        "code": rung.code,
        "target": rung.target,
        "offset": None if offset is None else offset.to_spec(),
        "card": rung.card,
        "stage": rung.stage,
        "notify": list(rung.notify),
        "order": rung.order,
        "name": rung.name_zh,
        "name_en": rung.name_en,
        "terms": [rung.first_term, rung.last_term],
    }


def _days(n: int) -> Limit:
    return Limit(unit="working_days", amount=n, ends="same_time")


DEFAULT_LADDER: Final = Ladder(
    "default",
    1,
    (
        Rung("accept_due", "accept", None, "yellow", None, ("unit", "dispatcher"), False, "签收超时", "Not signed for"),
        Rung("contact_due", "contact", None, "yellow", None, ("unit",), False, "未按时联系群众", "Citizen not contacted"),
        Rung("complete_t2", "complete", _days(-2), None, None, ("unit",), False,
             "到期前 2 个工作日提醒", "2 working days left"),
        Rung("complete_t1", "complete", _days(-1), "yellow", None, ("unit", "supervisor"), False,
             "到期前 1 个工作日预警", "1 working day left"),
        Rung("complete_due", "complete", None, "red", "urged", ("unit", "supervisor", "leader"), True,
             "办理超期", "Overdue"),
        Rung("callback_due", "callback", None, "yellow", None, ("caller",), False, "回访超时", "Callback not made"),
        Rung("supervise_t1", "supervise", _days(-1), "yellow", None, ("unit", "supervisor"), False,
             "督办到期前 1 个工作日预警", "1 working day left of the supervision order"),
        Rung("supervise_due", "supervise", None, "red", "focused", ("unit", "supervisor", "leader"), True,
             "督办单超期未回复", "Supervision order not answered", last_term=1),
        Rung("supervise_due_again", "supervise", None, "red", "in_depth", ("unit", "supervisor", "leader"), False,
             "督办单第二期仍超期", "Supervision order not answered in its second term", first_term=2),
    ),
)  # fmt: skip
"""The ladder of a fresh installation (warnings: Shandong provincial 2017; red card and order at the deadline: Suining)."""
