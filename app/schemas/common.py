"""What every schema shares: the bases of requests and answers, pages and problem documents."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field


def example(*examples: Any) -> Any:
    """``json_schema_extra`` that carries ``examples``."""
    return {"examples": list(examples)}


class Answer(BaseModel):
    """The base of what is answered. Every field is always present; one without a value is null."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, row: object, zone: tzinfo, **more: Any) -> Self:
        """The answer about ``row``: its attributes of the same names, and ``more``; moments are shown in ``zone``."""
        own = {name: getattr(row, name) for name in cls.model_fields if name not in more}
        return cls.model_validate({**own, **more}, context={"zone": zone})


Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """One page of a list, by keyset."""

    items: list[Item]
    next: str | None = Field(description="`cursor` of the next page; null on the last one")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """``TicketPage`` for a page of ``TicketOut``."""
        return f"{params[0].__name__.removesuffix('Out')}Page"
