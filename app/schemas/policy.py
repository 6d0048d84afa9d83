"""The policy document, as the API, TOML files and the database hold it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.domain.tickets.policies import Policy
from app.errors import Invalid
from app.schemas.codes import Target
from app.schemas.limit import PositiveLimit
from app.schemas.moment import AnyMoment
from app.validation import Code, validated

Criterion = Literal["unit", "category", "severity", "kind", "source", "priority"]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Text64 = Annotated[str, Field(min_length=1, max_length=64)]


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Codes = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_several, json_schema_input_type=str | list[str]),
    Field(min_length=1, max_length=200),
]
Days = Annotated[int, Field(strict=True, ge=0, le=365)]
Times = Annotated[int, Field(strict=True, ge=0, le=20)]


class PolicyDocument(BaseModel):
    """One version of a policy. ``match``: a criterion with a code or several; ``limits`` by target; days are working days;
    a name that is left out is the Chinese one, or else the code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Code
    version: Annotated[int, Field(strict=True, ge=1)] = 1
    name_zh: Name | None = None
    name_en: Name | None = None
    match: dict[Criterion, Codes] = {}
    limits: dict[Target, PositiveLimit] = {}
    extension_days: Days = Policy.extension_days
    extensions: Times = Policy.extensions
    return_days: Days = Policy.return_days
    max_returns: Times = Policy.max_returns
    calendar: Text64 | None = None
    valid_from: AnyMoment | None = None
    valid_to: AnyMoment | None = None

    def policy(self) -> Policy:
        """The domain value. Raises ``Invalid`` at ``/valid_to`` where that is not after ``valid_from``."""
        if self.valid_from is not None and self.valid_to is not None and self.valid_to <= self.valid_from:
            raise Invalid.at("/valid_to", "应晚于 valid_from", "must be after valid_from")
        name = self.name_zh or self.code
        return Policy(**{**dict(self), "name_zh": name, "name_en": self.name_en or name})


def read_policy(document: object) -> Policy:
    """The policy that ``document`` describes. Raises ``Invalid`` with a pointer to each problem."""
    return validated(PolicyDocument.model_validate, document, PolicyDocument.model_fields).policy()
