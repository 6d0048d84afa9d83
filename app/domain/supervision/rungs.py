"""A supervision ladder as data: its rungs, its document form, and the one a fresh installation begins with.

What a ladder does stands in ``app.domain.supervision.ladder``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.domain.tickets.lifecycle import STAGES
from app.domain.time.due import Limit
from app.domain.words import ROLE
from app.errors import FieldProblem, Invalid

TARGETS: Final = ("accept", "contact", "complete", "callback", "supervise")
CARDS: Final = ("yellow", "red")


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung (级别): at ``offset`` from the deadline of ``target`` (negative: before; none: at it), raise an alert.

    ``card``: yellow or red; ``stage``: the ticket's stage is raised to this at least; ``notify``: roles to be told;
    ``order``: a supervision order is issued, or the live one advanced. ``first_term``..``last_term``: for the target
    ``supervise``, the terms of the order in which the rung stands (none: all later ones).
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
        """What the rung is called in ``lang``."""
        return (self.name_en if lang == "en" else self.name_zh) or self.code


@dataclass(frozen=True, slots=True)
class Ladder:
    """One version of a ladder; ``rungs`` of one target stand in the order in which they are climbed."""

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
        """The ladder as a JSON document, from which ``from_spec`` gives an equal one."""
        return {"code": self.code, "version": self.version, "rungs": [_rung_spec(rung) for rung in self.rungs]}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Ladder:
        """The ladder of a JSON document. Raises Invalid with a pointer to each thing that is wrong."""
        return _read_ladder(spec)


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


def _read_ladder(spec: Mapping[str, Any]) -> Ladder:
    problems: list[FieldProblem] = []
    version = spec.get("version", 1)
    if type(version) is not int or version < 1:
        problems.append(FieldProblem("/version", "须为正整数", "must be a positive whole number"))
        version = 1
    code = spec.get("code")
    if not isinstance(code, str) or not 1 <= len(code) <= 64:
        problems.append(FieldProblem("/code", "须为 1–64 个字符的代码", "must be a code of 1 to 64 characters"))
    rows = spec.get("rungs")
    if not isinstance(rows, list) or not rows or len(rows) > 100:
        problems.append(FieldProblem("/rungs", "须为 1–100 个级别的列表", "must be a list of 1 to 100 rungs"))
        rows = []
    rungs: list[Rung] = []
    seen: set[str] = set()
    for n, row in enumerate(rows):
        rung = _read_rung(row, f"/rungs/{n}", problems)
        if rung is None:
            continue
        if rung.code in seen:
            problems.append(
                FieldProblem(f"/rungs/{n}/code", f"级别代码 {rung.code} 重复", f"the rung {rung.code} is there twice")
            )
        seen.add(rung.code)
        rungs.append(rung)
    if problems:
        raise Invalid(problems)
    return Ladder(str(code), version, tuple(rungs))


def _one_of(value: Any, choices: Sequence[str], pointer: str, problems: list[FieldProblem]) -> bool:
    if isinstance(value, str) and value in choices:
        return True
    problems.append(
        FieldProblem(pointer, f"须为以下之一：{'、'.join(choices)}", f"must be one of {', '.join(choices)}")
    )
    return False


def _read_rung(row: Any, at: str, problems: list[FieldProblem]) -> Rung | None:
    if not isinstance(row, Mapping):
        problems.append(FieldProblem(at, "须为对象", "must be an object"))
        return None
    before = len(problems)
    code = row.get("code")
    if not isinstance(code, str) or not 1 <= len(code) <= 32:
        problems.append(FieldProblem(f"{at}/code", "须为 1–32 个字符的代码", "must be a code of 1 to 32 characters"))
    _one_of(row.get("target"), TARGETS, f"{at}/target", problems)
    card, stage = row.get("card"), row.get("stage")
    if card is not None:
        _one_of(card, CARDS, f"{at}/card", problems)
    if stage is not None:
        _one_of(stage, STAGES, f"{at}/stage", problems)
    notify = row.get("notify", [])
    if not isinstance(notify, list):
        problems.append(FieldProblem(f"{at}/notify", "须为角色列表", "must be a list of roles"))
        notify = []
    for n, role in enumerate(notify):
        _one_of(role, tuple(ROLE), f"{at}/notify/{n}", problems)
    order = row.get("order", False)
    if not isinstance(order, bool):
        problems.append(FieldProblem(f"{at}/order", "须为 true 或 false", "must be true or false"))
    offset = _read_offset(row.get("offset"), f"{at}/offset", problems)
    first, last = _read_terms(row.get("terms", [1, None]), f"{at}/terms", problems)
    if len(problems) > before:
        return None
    return Rung(
        code=str(code), target=str(row["target"]), offset=offset, card=card, stage=stage, notify=tuple(notify),
        order=order, name_zh=str(row.get("name") or "")[:200], name_en=str(row.get("name_en") or "")[:200],
        first_term=first, last_term=last,
    )  # fmt: skip


def _read_offset(value: Any, at: str, problems: list[FieldProblem]) -> Limit | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        problems.append(FieldProblem(at, "须为对象或 null", "must be an object or null"))
        return None
    try:
        offset = Limit.from_spec({"ends": "same_time", **value}, pointer=at)
    except Invalid as error:
        problems.extend(error.problems)
        return None
    return offset if offset.amount else None


def _read_terms(value: Any, at: str, problems: list[FieldProblem]) -> tuple[int, int | None]:
    if (
        isinstance(value, list)
        and len(value) == 2
        and type(value[0]) is int
        and value[0] >= 1
        and (value[1] is None or (type(value[1]) is int and value[1] >= value[0]))
    ):
        return value[0], value[1]
    problems.append(
        FieldProblem(
            at,
            "须为 [起始期, 截止期]，截止期为 null 表示不限",
            "must be [first term, last term], null for no last term",
        )
    )
    return 1, None


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
             "督办单逾期未复", "Supervision order not answered", last_term=1),
        Rung("supervise_due_again", "supervise", None, "red", "in_depth", ("unit", "supervisor", "leader"), False,
             "督办单第二期仍逾期", "Supervision order not answered in its second term", first_term=2),
    ),
)  # fmt: skip
"""The ladder of a fresh installation (warnings: Shandong provincial 2017; red card and order at the deadline: Suining)."""
