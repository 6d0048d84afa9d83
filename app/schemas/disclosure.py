"""The audit record of who viewed reporters in full."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from app.schemas.common import Answer, example
from app.schemas.moment import ShownMoment


class DisclosureOut(Answer):
    """One view of a reporter's personal data."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 31, "at": "2026-02-13T16:40:12+08:00", "who": "user:zhao", "who_name": "赵调度", "ticket_id": 142,
             "reject_id": None, "fields": ["name", "phone", "id_number"]}
        )
    )  # fmt: skip

    id: int
    at: ShownMoment
    who: str = Field(description="`user:NAME` or `key:ID`")
    who_name: str | None
    ticket_id: int | None
    reject_id: int | None
    fields: list[str] = Field(description="the parts that were shown; `raw`: a row whose parts are not known")
