"""Every field of a ticket through every endpoint and every kind of file; a new field of the list is covered by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from app import clock
from app.domain.tickets.fields import CONTENT, FIELDS, IMPORTED, TicketField
from app.models import Category, Grid, Ticket
from app.security.masking import MASKS
from app.services.core import catalogue
from app.services.intake.rejects import RejectOrigin
from ingest.connectors.registry import spec_of
from ingest.feeds.records import RecordReader
from ingest.feeds.updates import following
from ingest.files.importer import import_file, rejects_of
from ingest.profile_wizard.vocabulary import CODES
from ingest.rows.prepare import IngestContext, RowOutcome
from ingest.rows.profile import load_profile
from ingest.rows.write import commit_rows, prepare_rows
from tests.support import Service

BEGIN = datetime.fromisoformat("2026-03-02T10:00:00+08:00")
CODED_NODES = {"unit": ("GA", "CG"), "category": ("C0", "C1"), "grid": ("G0", "G1")}
Sample = Mapping[str, Any]


def value(field: TicketField, turn: int) -> Any:
    """A value of ``field`` as JSON: one for turn 0, another for turn 1."""
    if field.kind == "tree":
        return CODED_NODES[field.name][turn]
    if field.kind == "code":
        return list(CODES[field.name])[turn + 1]
    if field.kind == "moment":
        return (BEGIN + timedelta(hours=FIELDS.index(field), minutes=turn)).isoformat()
    if field.kind == "number":
        return 22.5 + turn
    if field.kind == "object":
        return {"channel": f"{field.name}-{turn}"}
    return f"1380000123{turn}" if field.kind == "digits" else f"{field.name}-{turn}"


def sample(fields: Sequence[TicketField], turn: int = 0, **changes: Any) -> dict[str, Any]:
    """A value for each of ``fields``, by its name."""
    return {field.name: value(field, turn) for field in fields} | changes


def nested(values: Sample) -> dict[str, Any]:
    """The values as a ticket is pushed: the parts of the reporter inside it."""
    found: dict[str, Any] = {}
    for name, one in values.items():
        member, _, part = name.partition(".")
        if part:
            found.setdefault(member, {})[part] = one
        else:
            found[name] = one
    return found


def stored(service: Service, ticket_id: int, fields: Sequence[TicketField]) -> dict[str, Any]:
    """The same values from the row of the table."""
    with service.runtime.reading() as (session, ref):
        row = session.get_one(Ticket, ticket_id)
        found = {field.name: getattr(row, field.column) for field in fields}
        for field in fields:
            if field.kind == "tree" and found[field.name]:
                found[field.name] = ref.tree(field.name)[found[field.name]].code
        return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in found.items()}


def comparable(values: Sample) -> dict[str, Any]:
    """Values with their moments as moments."""
    moments = {field.name for field in FIELDS if field.kind == "moment"}
    return {n: datetime.fromisoformat(v) if n in moments and v else v for n, v in values.items()}


def check(service: Service, ticket: Mapping[str, Any], expected: Sample) -> None:
    """The ticket as read, as listed and as stored has each of the ``expected`` values."""
    fields = [field for field in FIELDS if field.name in expected]
    assert comparable(stored(service, ticket["id"], fields)) == comparable(expected)
    listed = service.get("/tickets", external_id=ticket["external_id"])["items"][0]
    masked = dict(expected) | {
        field.name: MASKS[field.part](expected[field.name]) for field in fields if field.privacy == "masked"
    }
    for read in (ticket, service.get(f"/tickets/{ticket['id']}", role="leader"), listed):
        found = {f.name: (read[f.member] or {}).get(f.part) if f.part != f.name else read[f.name] for f in fields}
        assert comparable(found) == comparable(masked)


def by_id(service: Service, external_id: str) -> dict[str, Any]:
    (found,) = service.get("/tickets", external_id=external_id)["items"]
    return found  # type: ignore[no-any-return]


@pytest.fixture
def office(service: Service) -> Service:
    """The service with two units, two categories and two grids."""
    with service.runtime.database.write() as session:
        for code in CODED_NODES["category"]:
            catalogue.create_node(session, Category, {"code": code, "name": code})
        for code in CODED_NODES["grid"]:
            catalogue.create_node(session, Grid, {"code": code, "name": code})
    return service


# ---------------------------------------------------------------------------------------------------- push and PATCH


def test_a_push_stores_and_answers_every_field(office: Service) -> None:
    values = sample(CONTENT)
    first = office.call("POST", "/tickets", role="integrator", json=nested(values))
    assert first.status_code == 201, first.text
    check(office, first.json(), values)
    again = office.call("POST", "/tickets", role="integrator", json=nested(values))
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_push_with_any_field_changed_is_refused(office: Service) -> None:
    values = sample(CONTENT)
    office.call("POST", "/tickets", role="integrator", json=nested(values))
    found = {}
    for field in CONTENT[1:]:
        other = nested(values | {field.name: value(field, 1)})
        answer = office.call("POST", "/tickets", role="integrator", json=other)
        found[field.name] = (answer.status_code, answer.json().get("fields"))
    assert found == {field.name: (409, [field.name]) for field in CONTENT[1:]}


def test_a_patch_changes_every_field_and_no_other(office: Service) -> None:
    values = sample([field for field in CONTENT if field.name != "unit"])
    ticket = office.call("POST", "/tickets", role="integrator", json=nested(values)).json()
    path = f"/tickets/by-external/hotline/{ticket['external_id']}"
    for field in CONTENT[1:]:
        values[field.name] = value(field, 1)
        patch = nested({field.name: values[field.name]})
        answer = office.call("PATCH", path, role="integrator", json=patch)
        assert answer.status_code == 200, (field.name, answer.text)
        check(office, answer.json(), values)
        again = office.call("PATCH", path, role="integrator", json=patch)
        assert (again.status_code, again.json()) == (200, answer.json()), field.name
    pushed = office.call("POST", "/tickets", role="integrator", json=nested(values))
    assert (pushed.status_code, pushed.json()) == (200, office.get(f"/tickets/{ticket['id']}", role="integrator"))


def test_a_patch_takes_every_optional_field_away(office: Service) -> None:
    values = sample([field for field in CONTENT if field.name != "unit"])
    ticket = office.call("POST", "/tickets", role="integrator", json=nested(values)).json()
    kept = ("external_id", "title", "received_at", "priority")
    gone = [name for name in values if name not in kept]
    path = f"/tickets/by-external/hotline/{ticket['external_id']}"
    answer = office.call("PATCH", path, role="integrator", json=nested(dict.fromkeys(gone)))
    assert answer.status_code == 200, answer.text
    left = stored(office, ticket["id"], CONTENT)
    assert {name for name, one in left.items() if one is not None} == set(kept)


def test_a_batch_stores_and_answers_every_field(office: Service) -> None:
    values = sample(CONTENT)
    for status in ("created", "unchanged"):
        answer = office.call("POST", "/tickets/batch", role="integrator", json=[nested(values)])
        assert [row["status"] for row in answer.json()["results"]] == [status]
    check(office, by_id(office, values["external_id"]), values)


# ------------------------------------------------------------------------------------------------------------- files


def ended(status: str, **changes: Any) -> dict[str, Any]:
    """All that a file can say of a ticket of the past with this status."""
    apart = {"closed": ("voided_at",), "void": ("completed_at", "closed_at")}[status]
    fields = [field for field in IMPORTED if field.name not in apart]
    return sample(fields, external_id=f"past-{status}", status=status, **changes)


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    elif path.suffix == ".xlsx":
        with xlsxwriter.Workbook(str(path)) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate([header, *rows]):
                sheet.write_row(number, 0, row)
    else:
        objects = [
            {name: one for name, one in nested(dict(zip(header, row, strict=True))).items() if one != ""}
            for row in rows
        ]
        path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in objects), "utf-8")


@pytest.mark.parametrize("suffix", [".ndjson", ".csv", ".xlsx"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_file_carries_every_field(office: Service, tmp_path: Path, suffix: str, language: str) -> None:
    tickets = [ended("closed"), ended("void")]
    header = [field.headings[0] if language == "en" else field.headings[-1] for field in IMPORTED]
    rows = [[ticket.get(field.name, "") for field in IMPORTED] + ["phone"] for ticket in tickets]
    path = tmp_path / f"tickets{suffix}"
    write(path, [*header, "channel"], rows)
    for created in (2, 0):
        done = import_file(office.runtime, path, load_profile("duban"), clock.now())
        assert list(rejects_of(office.runtime, done.run_id)) == []
        assert (done.tally.created, done.tally.unchanged) == (created, 2 - created)
    for ticket in tickets:
        check(office, by_id(office, ticket["external_id"]), ticket | {"attributes": {"channel": "phone"}})


# ------------------------------------------------------------------------------------------------------------- feeds


def pulled(service: Service, values: Sample) -> RowOutcome:
    """The outcome of one record of a feed whose members are named like the fields."""
    spec = spec_of({
        "name": "mirror", "kind": "rest", "base_url": "https://upstream.example.invalid",
        "title": {"zh": "镜像", "en": "Mirror"}, "source": {"code": "mirror", "zh": "镜像", "en": "Mirror"},
        "paging": {"style": "number"},
        "mapping": {"time_zone": "Asia/Shanghai", "fields": {field.name: field.name for field in IMPORTED},
                    "attributes": {"channel": "attributes.channel"}},
    })  # fmt: skip
    now = clock.now()
    with service.runtime.database.write() as session:
        source = catalogue.ensure_source(session, "mirror")
        place = RejectOrigin("feed", source.id, None, "feed:mirror")
    door = IngestContext(place, "mirror", "feed:mirror", history=True, live=True, follow=following("feed:mirror"))
    lines = [record.input_row() for record in RecordReader(spec).page([nested(values)], now)]
    ((_, (outcome,)),) = commit_rows(service.runtime, prepare_rows(service.runtime, door, lines, now))
    return outcome


def test_a_feed_record_creates_and_corrects_every_field(office: Service) -> None:
    values = sample([field for field in CONTENT if field.name != "unit"], status="received")
    assert pulled(office, values) == ("created", by_id(office, "external_id-0")["id"], ())
    check(office, by_id(office, "external_id-0"), values)
    assert pulled(office, values).status == "unchanged"
    for field in CONTENT[1:]:
        values[field.name] = value(field, 1)
        if field.name == "unit":
            values["status"] = "dispatched"
        outcome = pulled(office, values)
        assert (outcome.status, outcome.errors) == ("corrected", ()), field.name
        check(office, by_id(office, "external_id-0"), values)
        assert pulled(office, values).status == "unchanged", field.name
