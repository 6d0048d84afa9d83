"""One limit: an amount of working days, working hours, natural days or hours, and the form of its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, Final, Literal, cast

from app.errors import FieldProblem, Invalid

LimitUnit = Literal["working_days", "working_hours", "days", "hours"]
Ends = Literal["close", "midnight", "same_time"]
Number = int | float | Decimal | Fraction

UNITS: Final[tuple[LimitUnit, ...]] = ("working_days", "working_hours", "days", "hours")
ENDS: Final[tuple[Ends, ...]] = ("close", "midnight", "same_time")
MAX_DAYS = 20_000
MAX_HOURS = 200_000
"""Half a century and more: what is longer is a slip of the pen."""
_HOUR = 3_600_000_000
_KEYS = frozenset({"unit", "amount", "ends", "count_first_day"})


@dataclass(frozen=True)
class Limit:
    """How long something may take. ``ends`` and ``count_first_day`` matter to days only. A negative amount counts back.

    ``amount``: whole for days (within ±20,000), fractions allowed for hours (within ±200,000); kept as int or Fraction.
    Raises ``Invalid`` for anything else.
    """

    unit: LimitUnit
    amount: int | Fraction
    ends: Ends = "close"
    count_first_day: bool = False
    micros: int = field(init=False, repr=False, compare=False, default=0)
    """The amount of a limit in hours, in microseconds."""

    def __init__(self, unit: LimitUnit, amount: Number, ends: Ends = "close", count_first_day: bool = False) -> None:
        problems = list(_limit_problems(unit, amount, ends, count_first_day))
        if problems:
            raise Invalid(problems)
        exact = Fraction(str(amount)) if isinstance(amount, float | Decimal) else Fraction(amount)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "amount", int(exact) if exact.denominator == 1 else exact)
        object.__setattr__(self, "ends", ends)
        object.__setattr__(self, "count_first_day", count_first_day)
        object.__setattr__(self, "micros", round(exact * _HOUR) if unit in ("hours", "working_hours") else 0)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, pointer: str = "", positive: bool = False) -> Limit:
        """A limit from the contract's object. ``positive``: refuse zero and less, as a policy must.

        Raises ``Invalid`` with pointers under ``pointer``.
        """
        if not isinstance(spec, Mapping):
            raise Invalid.at(pointer, "时限应为对象", 'a limit is an object, {"unit": "working_days", "amount": 5}')
        problems = [
            FieldProblem(f"{pointer}/{key}", "没有这个字段", "no such field; there are " + ", ".join(sorted(_KEYS)))
            for key in sorted(str(k) for k in spec if k not in _KEYS)
        ]
        problems += [
            FieldProblem(f"{pointer}/{key}", "缺少必填字段", "is required")
            for key in ("unit", "amount")
            if key not in spec
        ]
        values = (spec.get("unit"), spec.get("amount"), spec.get("ends", "close"), spec.get("count_first_day", False))
        if not problems:
            problems += [
                FieldProblem(pointer + p.pointer, p.zh, p.en) for p in _limit_problems(*values, positive=positive)
            ]
        if problems:
            raise Invalid(problems)
        return cls(*cast("tuple[LimitUnit, Number, Ends, bool]", values))

    def to_spec(self) -> dict[str, Any]:
        """The limit as the contract's object; ``from_spec`` of it means the same."""
        amount = self.amount if isinstance(self.amount, int) else float(self.amount)
        return {"unit": self.unit, "amount": amount, "ends": self.ends, "count_first_day": self.count_first_day}

    @property
    def in_days(self) -> bool:
        """Whether days are counted, not hours."""
        return self.unit in ("working_days", "days")

    @property
    def working(self) -> bool:
        """Whether it runs in working time only."""
        return self.unit in ("working_days", "working_hours")


def _limit_problems(
    unit: object, amount: object, ends: object, count_first_day: object, *, positive: bool = False
) -> list[FieldProblem]:
    problems = []
    if unit not in UNITS:
        problems.append(FieldProblem("/unit", f"应为 {'、'.join(UNITS)} 之一", f"must be one of {', '.join(UNITS)}"))
    if ends not in ENDS:
        problems.append(FieldProblem("/ends", f"应为 {'、'.join(ENDS)} 之一", f"must be one of {', '.join(ENDS)}"))
    if not isinstance(count_first_day, bool):
        problems.append(FieldProblem("/count_first_day", "应为 true 或 false", "must be true or false"))
    in_days = unit in ("working_days", "days")
    most = MAX_DAYS if in_days else MAX_HOURS
    if isinstance(amount, bool) or not isinstance(amount, int | float | Decimal | Fraction) or not _finite(amount):
        problems.append(FieldProblem("/amount", "应为数字", "must be a number"))
    elif not -most <= amount <= most:
        problems.append(
            FieldProblem(
                "/amount",
                f"应在 ±{most:,} 以内，现为 {_short(amount)}",
                f"must be within ±{most:,}, not {_short(amount)}",
            )
        )
    elif in_days and amount != int(amount):
        problems.append(FieldProblem("/amount", "天数应为整数；零头请用小时", "days are whole; use hours for parts"))
    elif positive and amount <= 0:
        problems.append(FieldProblem("/amount", f"应大于 0，现为 {_short(amount)}", f"must be above 0, not {amount}"))
    return problems


def _finite(amount: Number) -> bool:
    return amount.is_finite() if isinstance(amount, Decimal) else not isinstance(amount, float) or isfinite(amount)


def _short(amount: Number) -> str:
    try:
        return f"{float(amount):g}"
    except OverflowError:
        return "∞"
