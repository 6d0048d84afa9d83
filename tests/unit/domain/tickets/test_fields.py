"""The list of a ticket's fields and everything that is written out beside it agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from app.domain.tickets.fields import CONTENT, FIELDS, IMPORTED, LIFE, REPORTER, TicketField
from app.models import Ticket
from app.schemas.ticket import ReporterOut, TicketOut
from app.security.masking import MASKS
from app.text import Text
from ingest.profile_wizard.vocabulary import CODES
from ingest.rows.profile import column_key, load_profile
from ingest.rows.ticket_in import HistoricalTicket, Reporter, TicketIn

PATHS = {"unit_path", "category_path", "grid_path"}
"""What an import knows of a tree besides the code."""
TABLE = Ticket.__table__.columns  # type: ignore[attr-defined]
SCRATCH = TicketField("scratch", Text("试验", "Scratch"), "text", 200, "place")


def lengths(model: type[BaseModel]) -> Mapping[str, int | None]:
    """The greatest length of each text of a model."""
    found = {}
    for name, schema in model.model_json_schema()["properties"].items():
        found[name] = next((one["maxLength"] for one in (schema, *schema.get("anyOf", ())) if "maxLength" in one), None)
    return found


def disagreements(
    fields: Sequence[TicketField],
    pushed: type[BaseModel] = TicketIn,
    past: type[BaseModel] = HistoricalTicket,
    read: type[BaseModel] = TicketOut,
    columns: Mapping[str, Any] = TABLE,
) -> Iterator[str]:
    """A sentence for each place that differs from the list ``fields``."""
    content = {field.member for field in fields if field.content}
    life = {field.name for field in fields if not field.content}
    longest, parts = lengths(pushed), lengths(Reporter)
    yield from (f"{name} is not in both the list and TicketIn" for name in content ^ set(pushed.model_fields))
    yield from (
        f"{name} is not in both the list and HistoricalTicket"
        for name in (content | life | PATHS) ^ set(past.model_fields)
    )
    for field in fields:
        if field.stored and field.column not in columns:
            yield f"{field.name} has no column"
            continue
        if field.stored and field.member not in read.model_fields:
            yield f"{field.name} is not in TicketOut"
        if field.content and field.kind in ("text", "identifier", "digits", "tree"):
            said = parts.get(field.part) if field.member == "reporter" else longest.get(field.name)
            if said != field.length:
                yield f"{field.name} has {field.length} characters in the list and {said} in TicketIn"
        kept = getattr(columns[field.column].type, "length", None) if field.stored else None
        if kept is not None and field.length > kept:
            yield f"{field.name} has {field.length} characters in the list and {kept} in its column"


def test_the_models_agree_with_the_list() -> None:
    assert list(disagreements(FIELDS)) == []


def test_a_field_in_the_list_alone_is_noticed() -> None:
    found = " ".join(disagreements([*FIELDS, SCRATCH]))
    assert all(place in found for place in ("TicketIn", "HistoricalTicket", "no column"))
    columns = {**TABLE, "scratch": TABLE["address"]}
    assert any("TicketOut" in one for one in disagreements([*FIELDS, SCRATCH], columns=columns))


def test_a_field_in_the_push_model_alone_is_noticed() -> None:
    wider = create_model("Wider", __base__=TicketIn, scratch=(str | None, None))
    assert list(disagreements(FIELDS, pushed=wider)) == ["scratch is not in both the list and TicketIn"]
    past = create_model("WiderPast", __base__=HistoricalTicket, scratch=(str | None, None))
    assert list(disagreements(FIELDS, past=past)) == ["scratch is not in both the list and HistoricalTicket"]


def test_other_lengths_are_noticed() -> None:
    other = [TicketField("title", Text("标题", "Title"), "text", 300) if f.name == "title" else f for f in FIELDS]
    assert len([one for one in disagreements(other) if "300 characters" in one]) == 2


def test_every_part_of_the_reporter_is_masked_and_read() -> None:
    parts = {field.part for field in REPORTER}
    assert parts == set(MASKS) == set(Reporter.model_fields) == set(ReporterOut.model_fields)
    assert all(field.privacy == "masked" for field in REPORTER)


def test_personal_data_is_never_logged() -> None:
    assert [field.name for field in FIELDS if field.logged and field.privacy == "masked"] == []
    assert {field.member for field in FIELDS if field.privacy != "open"} >= {
        "title", "content", "reporter", "address", "latitude", "longitude", "attributes", "result"
    }  # fmt: skip


def test_codes_have_words() -> None:
    assert set(CODES) == {field.name for field in IMPORTED if field.kind == "code"}


def test_only_content_is_corrected() -> None:
    assert {field.correct for field in LIFE} == {"never"}
    assert [field.name for field in CONTENT if field.correct == "never"] == ["external_id"]


def test_every_imported_field_has_a_place_on_the_page() -> None:
    assert [field.name for field in IMPORTED if not field.group] == []


@pytest.mark.parametrize("field", IMPORTED, ids=lambda field: field.name)
def test_the_standard_table_reads_each_field(field: TicketField) -> None:
    places = load_profile("duban").fields
    assert set(field.headings) <= set(places[field.name].columns)
    for heading in places[field.name].columns:
        others = [n for n, p in places.items() if column_key(heading) in map(column_key, p.columns)]
        assert others == [field.name], heading
