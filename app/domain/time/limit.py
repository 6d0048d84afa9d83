"""One limit: an amount of working days, working hours, natural days or hours, and the form of its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from app.errors import Invalid

LimitUnit = Literal["working_days", "working_hours", "days", "hours"]
Ends = Literal["close", "midnight", "same_time"]
Number = int | float | Decimal | Fraction

UNITS: Final[tuple[LimitUnit, ...]] = ("working_days", "working_hours", "days", "hours")
ENDS: Final[tuple[Ends, ...]] = ("close", "midnight", "same_time")
MAX_DAYS = 20_000
MAX_HOURS = 200_000
"""More than half a century: a longer limit is a typing error."""
_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Limit:
    """The time allowed for something. ``ends`` and ``count_first_day`` apply to days only. A negative amount counts back.

    ``amount``: whole for days (within ±20,000), fractions allowed for hours (within ±200,000); stored as int or Fraction.
    Raises ``Invalid`` at ``/amount`` otherwise. ``app.schemas.limit`` parses the document form.
    """

    unit: LimitUnit
    amount: int | Fraction
    ends: Ends = "close"
    count_first_day: bool = False
    micros: int = field(init=False, repr=False, compare=False, default=0)
    """The amount of a limit in hours, in microseconds."""

    def __init__(self, unit: LimitUnit, amount: Number, ends: Ends = "close", count_first_day: bool = False) -> None:
        in_days = unit in ("working_days", "days")
        most = MAX_DAYS if in_days else MAX_HOURS
        if not -most <= amount <= most:
            raise Invalid.at("/amount", f"应在 ±{most:,} 以内", f"must be within ±{most:,}")
        if in_days and amount != int(amount):
            raise Invalid.at("/amount", "天数应为整数；零头请用小时", "days are whole; use hours for parts")
        exact = Fraction(str(amount)) if isinstance(amount, float | Decimal) else Fraction(amount)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "amount", int(exact) if exact.denominator == 1 else exact)
        object.__setattr__(self, "ends", ends)
        object.__setattr__(self, "count_first_day", count_first_day)
        object.__setattr__(self, "micros", round(exact * _HOUR) if unit in ("hours", "working_hours") else 0)

    def to_spec(self) -> dict[str, Any]:
        """The limit as the limit document."""
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
