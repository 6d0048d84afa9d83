"""What every schema shares: the bases of requests and answers, pages and problem documents."""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.errors import Invalid
from app.validation import problem, refusal


def example(*examples: Any) -> Any:
    """``json_schema_extra`` that carries ``examples``."""
    return {"examples": list(examples)}


# ---------------------------------------------------------------------------------------------------------- requests


class JsonBody(BaseModel):
    """The base of JSON requests: no unknown field, no text that a database cannot store."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if unstorable_at(value) is not None:
            raise refusal("unstorable")
        return value


def unstorable_at(value: Any) -> tuple[str | int, ...] | None:
    """The path in ``value``, however deep, of a text that no database stores (NUL, a lone surrogate); for such a key the
    path of its object; none where all can be stored."""
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while todo:
        where, one = todo.pop()
        if isinstance(one, str):
            if not _is_storable(one):
                return where
        elif isinstance(one, dict):
            if not all(_is_storable(key) for key in one if isinstance(key, str)):
                return where
            todo += [((*where, key), inner) for key, inner in one.items()]
        elif isinstance(one, list):
            todo += [((*where, index), inner) for index, inner in enumerate(one)]
    return None


def _is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _storable_document(document: dict[str, Any]) -> dict[str, Any]:
    where = unstorable_at(document)
    if where is not None:
        raise Invalid([problem("unstorable", where)])
    return document


Document = Annotated[dict[str, Any], AfterValidator(_storable_document)]
"""A JSON request that is read by rules of its own; text that cannot be stored is refused first, with its place."""


# ----------------------------------------------------------------------------------------------------------- answers


class Answer(BaseModel):
    """The base of answers: built with exactly the fields it declares. One without a value is null, unless the field has a
    default: then it may be left out. Clients must accept fields added later, so the schema does not forbid others."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        if own.get("additionalProperties") is False:
            del own["additionalProperties"]
        return schema

    @classmethod
    def from_row(cls, row: object, zone: tzinfo, **more: Any) -> Self:
        """The answer about ``row``: its attributes of the same names, and ``more``; moments are shown in ``zone``."""
        own = {name: getattr(row, name) for name in cls.model_fields if name not in more}
        return cls.model_validate({**own, **more}, context={"zone": zone})


Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """One page of a list, by keyset."""

    items: list[Item]
    next: str | None = Field(description="`cursor` of the next page; null on the last one")


class TwoLanguages(Answer):
    """One text in Chinese and in English."""

    zh: str
    en: str


class CodeName(Answer):
    """A code with its names."""

    code: str | None
    name: str | None
    name_en: str | None


class FieldError(Answer):
    """One thing wrong at one place."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request")
    detail: str


PROBLEM = "urn:duban:problem:"


class Problem(Answer):
    """A refusal (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"type": PROBLEM + "transition-not-allowed", "title": "与当前状态冲突", "status": 409,
             "detail": "工单处于“已受理”，不能签收；当前可执行：派单、催单、作废、更正",
             "instance": "/api/v1/tickets/4711/accept", "state": "received",
             "allowed": ["dispatch", "urge", "void", "correct"]},
            {"type": PROBLEM + "invalid", "title": "内容不符合要求", "status": 422,
             "detail": "/at：时间没有时区偏移，请写成 2026-03-02T09:30:00+08:00 或以 Z 结尾",
             "instance": "/api/v1/tickets/4711/accept",
             "errors": [{"pointer": "/at", "detail": "时间没有时区偏移，请写成 2026-03-02T09:30:00+08:00 或以 Z 结尾"}]},
        )
    )  # fmt: skip

    type: str = Field(description="`urn:duban:problem:CODE`")
    title: str
    status: int
    detail: str
    instance: str = Field(description="path of the request")
    request_id: str | None = Field(default=None, description="id of the request, as in `X-Request-ID` and the log")
    errors: list[FieldError] = Field(default=[], description="with 422: each thing wrong, with its place")
    reason: str | None = Field(default=None, description="code of the cause, of a file that is refused")
    state: str | None = Field(default=None, description="with 409: the present state")
    allowed: list[str] = Field(default=[], description="with 409: the actions allowed in that state")
    fields: list[str] = Field(default=[], description="with 409: the fields whose content differs")
