"""The limit document: an amount of days or hours and the form of its end, as JSON and TOML hold it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, StrictBool, TypeAdapter

from app.domain.time.limit import Ends, Limit, LimitUnit, Number
from app.validation import built, refusal, validated


def _number(value: Any) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction):
        raise refusal("float_type")
    if not isinstance(value, int) and not isfinite(value):
        raise refusal("finite_number")
    return value


class LimitDocument(BaseModel):
    """``ends`` and ``count_first_day`` matter to days only; a negative amount counts back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: LimitUnit
    amount: Annotated[Number, PlainValidator(_number, json_schema_input_type=float)]
    ends: Ends = "close"
    count_first_day: StrictBool = False

    def limit(self) -> Limit:
        """The domain value. Raises ``Invalid`` at ``/amount`` where that is out of range for its unit."""
        return Limit(self.unit, self.amount, self.ends, self.count_first_day)


def _positive(limit: Limit) -> Limit:
    if limit.amount <= 0:
        raise refusal("greater_than", ["amount"], gt=0)
    return limit


AnyLimit = Annotated[Limit, built(LimitDocument, LimitDocument.limit)]
"""A limit, read from its document."""
PositiveLimit = Annotated[AnyLimit, AfterValidator(_positive)]
"""A limit above zero, as policies set them."""
_LIMIT: TypeAdapter[Limit] = TypeAdapter(AnyLimit)


def read_limit(document: object) -> Limit:
    """The limit that ``document`` describes. Raises ``Invalid`` with a pointer to each problem."""
    return validated(_LIMIT.validate_python, document, LimitDocument.model_fields)
