"""What GeoReport servers really answered, served over HTTP and read by the Open311 client; the cities' requests as tickets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.config import Settings
from app.models import Ticket
from app.runtime import Runtime
from ingest.connectors.http import RequestPace, Upstream, UpstreamError
from ingest.connectors.open311 import Open311Feed, read_document, read_errors, read_requests
from ingest.connectors.registry import SpecOverrides, load_spec
from ingest.connectors.spec import FeedSpec
from ingest.feeds import registry as feed_book
from ingest.feeds.pull import pull
from tests.answering import answering, send

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
PACE = RequestPace(lambda: NOW, sleep=lambda _: None)
NOTHING = b"<services/>"


@pytest.fixture
def open311(real_data: Path) -> Path:
    return real_data / "open311"


@contextmanager
def serving(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """A server that gives each path its answer, whatever the query; its address."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, *answers.get(urlsplit(handler.path).path, (404, b"<errors/>")))

    with answering(answer) as address:
        yield address


def spec_for(address: str, encoding: str) -> FeedSpec:
    spec = load_spec("open311", changes=SpecOverrides(base_url=address))
    request = spec.request.model_copy(update={"encoding": encoding})
    return spec.model_copy(
        update={"request": request, "limits": spec.limits.model_copy(update={"per_minute": 100_000})}
    )


@contextmanager
def client(answers: dict[str, tuple[int, bytes]]) -> Iterator[Open311Feed]:
    with serving(answers) as address:
        spec = spec_for(address, "xml")
        with Upstream(spec, PACE, explain=Open311Feed.explain) as upstream:
            yield Open311Feed(spec, upstream)


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    found = Runtime.open(Settings(database_url=SecretStr(database_url)), NOW)
    yield found
    found.close()


def pulled(runtime: Runtime, answers: dict[str, tuple[int, bytes]], encoding: str) -> list[Ticket]:
    """The tickets that a pull of these answers makes; a second pull must change nothing."""
    with serving(answers) as address:
        with runtime.database.write() as session:
            feed_book.keep(session, spec_for(address, encoding), actor="test", now=NOW)
        first = pull(runtime, "open311", pace=PACE)
        again = pull(runtime, "open311", pace=PACE)
    assert (first.state, first.tally.rejected) == ("done", 0)
    assert (again.tally.created, again.tally.corrected, again.tally.rejected) == (0, 0, 0)
    with runtime.database.read() as session:
        found = list(session.execute(select(Ticket)).scalars())
    assert len(found) == first.tally.created == again.tally.unchanged
    return found


def test_every_chicago_request_becomes_a_ticket_with_its_notes(runtime: Runtime, open311: Path) -> None:
    body = (open311 / "chicago_2014_requests_with_notes.json").read_bytes()
    rows = {row["service_request_id"]: row for row in json.loads(body)}
    tickets = pulled(runtime, {"/requests.json": (200, body), "/services.json": (200, b"[]")}, "json")
    assert {ticket.external_id for ticket in tickets} == set(rows)
    assert len(tickets) == 50
    assert Counter(ticket.status for ticket in tickets) == {"closed": 49, "received": 1}
    for ticket in tickets:
        row = rows[ticket.external_id]
        assert ticket.title == row["service_name"]
        assert ticket.received_at == datetime.fromisoformat(row["requested_datetime"])
        assert ticket.latitude == pytest.approx(row["lat"])
        assert ticket.longitude == pytest.approx(row["long"])
        assert ticket.closed_at == (
            datetime.fromisoformat(row["updated_datetime"]) if row["status"] == "closed" else None
        )
        assert ticket.attributes is not None
        assert ticket.attributes["agency_responsible"] == row["agency_responsible"]
        kept = ticket.attributes["notes"]
        assert (json.loads(kept) if isinstance(kept, str) else kept) == row["notes"]


@pytest.mark.parametrize("name", ["cfa_gem_fixtures/service_requests.xml", "dc_boston_mocks/service-requests.xml"])
def test_the_requests_of_the_other_fixtures_become_tickets(runtime: Runtime, open311: Path, name: str) -> None:
    services = (open311 / "cfa_gem_fixtures/services.xml").read_bytes()
    body = (open311 / name).read_bytes()
    tickets = pulled(runtime, {"/requests.xml": (200, body), "/services.xml": (200, services)}, "xml")
    assert {ticket.external_id for ticket in tickets} == {"638344", "638349"}
    first = next(ticket for ticket in tickets if ticket.external_id == "638344")
    assert (first.title, first.status) == ("Sidewalk and Curb Issues", "closed")
    assert first.received_at == datetime.fromisoformat("2010-04-14T06:37:38-08:00")
    assert first.source_due_at == datetime.fromisoformat("2010-04-15T06:37:38-08:00")
    assert (first.address, first.result) == ("8TH AVE and JUDAH ST", "Duplicate request.")


def test_an_empty_answer_is_no_request_and_no_failure(runtime: Runtime, open311: Path) -> None:
    body = (open311 / "cfa_gem_fixtures/service_requests_empty.xml").read_bytes()
    assert pulled(runtime, {"/requests.xml": (200, body), "/services.xml": (200, NOTHING)}, "xml") == []


def test_one_request_and_one_that_is_not_there(open311: Path) -> None:
    for name in ("cfa_gem_fixtures/get_service_request.xml", "dc_boston_mocks/service-request.xml"):
        missing = (open311 / "cfa_gem_fixtures/get_service_request_not_found.xml").read_bytes()
        answers = {"/requests/638344.xml": (200, (open311 / name).read_bytes()), "/services.xml": (200, NOTHING),
                   "/requests/not-an-id.xml": (404, missing)}  # fmt: skip
        with client(answers) as feed:
            found = feed.one("638344")
            assert found is not None
            assert found["service_code"] == "006"
            assert feed.one("not-an-id") is None


def test_a_token_leads_to_its_request(open311: Path) -> None:
    for name in ("cfa_gem_fixtures/request_id_from_token.xml", "dc_boston_mocks/token.xml"):
        body = (open311 / name).read_bytes()
        given = (open311 / "dc_boston_mocks/boston-submitrequest-token.xml").read_bytes()
        (posted,) = read_requests(given)
        answers = {
            f"/tokens/{posted['token']}.xml": (200, body),
            "/services.xml": (200, NOTHING),
            "/requests.xml": (200, given),
        }
        with client(answers) as feed:
            assert feed.id_of_token(posted["token"]) == "638344"
            assert feed.id_of_token("unknown") is None
            assert feed.ids_between(NOW, NOW) == ["638344"], "a request that has but a token is known by its id"


def test_services_with_their_groups_and_what_they_ask_for(open311: Path) -> None:
    answers = {
        "/services.xml": (200, (open311 / "dc_boston_mocks/dc-services.xml").read_bytes()),
        "/services/S0301.xml": (200, (open311 / "dc_boston_mocks/dc-services-S0301.xml").read_bytes()),
        "/services/DMV66.xml": (200, (open311 / "cfa_gem_fixtures/service_definition.xml").read_bytes()),
    }
    with client(answers) as feed:
        services = {service.code: service for service in feed.services()}
        assert len(services) == 86
        assert (services["CSRREPIS"].group, services["CSRREPIS"].has_definition) == ("311 - Call Center", True)
        assert [each["code"] for each in feed.definition("S0301")["attributes"]][:2] == ["DSITR001", "ISITHAZA"]
        assert feed.definition("DMV66")["attribute"]["values"][0] == {"key": "123", "name": "Ford"}


def test_refusals_are_told_in_their_own_words(open311: Path) -> None:
    head, _, body = (open311 / "cfa_gem_fixtures/403.xml").read_bytes().partition(b"\n\n")
    assert head.startswith(b"HTTP/1.1 403")
    duplicate = (open311 / "dc_boston_mocks/boston-err-submitrequest-base_is_duplicate.xml").read_bytes()
    with client({"/services.xml": (403, body)}) as feed, pytest.raises(UpstreamError) as refused:
        feed.services()
    assert (
        refused.value.message.en
        == "the upstream answered 403: Invalid api_key received -- can't proceed with create_request."
    )
    with client({"/services.xml": (400, duplicate)}) as feed, pytest.raises(UpstreamError, match="400 Invalid service"):
        feed.services()
    assert [error.code for error in read_errors(duplicate)] == ["400"]


def test_open311_answers_and_both_discovery_documents_are_read(open311: Path) -> None:
    (posted,) = read_requests((open311 / "cfa_gem_fixtures/post_service_request.xml").read_bytes())
    assert (posted["service_request_id"], posted["account_id"]) == ("293944", None)
    assert posted["service_notice"].startswith("The City will inspect")
    for name in ("discovery-boston.json", "discovery-dc.xml"):
        found = read_document((open311 / "dc_boston_mocks" / name).read_bytes())
        assert len(found["endpoints"]) >= 2
        assert all(each["url"].startswith("http") for each in found["endpoints"])


def test_no_fixture_is_left_out(open311: Path) -> None:
    """Whatever stands in the folder is read: a new file shows up here until a test above reads it."""
    files = sorted(path for path in open311.rglob("*") if path.is_file())
    assert len(files) == 19
    for path in files:
        body = path.read_bytes().partition(b"\n\n")[2] if path.name == "403.xml" else path.read_bytes()
        assert read_document(body) is not None or "empty" in path.name, path.name
