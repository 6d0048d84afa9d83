"""GeoReport answers, as XML and as JSON; and XML that is out to do harm."""

from __future__ import annotations

import pytest

from ingest.connectors.http import UnreadableBody
from ingest.connectors.open311 import read_document, read_errors, read_requests, read_services

XML = b"""<?xml version="1.0" encoding="utf-8"?>
<service_requests><request><service_request_id>7</service_request_id><status>open</status><description/>
<lat>22.5</lat></request><request><token>t1</token></request></service_requests>"""


def test_the_same_requests_in_both_encodings() -> None:
    in_json = b'[{"service_request_id": "7", "status": "open", "description": null, "lat": "22.5"}, {"token": "t1"}]'
    assert read_requests(XML) == read_requests(in_json)
    assert read_requests(b'{"service_requests": [{"service_request_id": 7}]}') == [{"service_request_id": 7}]


def test_an_empty_list_is_no_error() -> None:
    assert read_requests(b"<service_requests>\n</service_requests>") == []
    assert read_requests(b"[]") == []


def test_services_with_their_groups() -> None:
    body = b"<services xmlns='urn:x'><service><service_code>1</service_code><service_name>Pothole</service_name>"
    body += b"<group>Street</group><metadata>true</metadata></service></services>"
    (service,) = read_services(body)
    assert (service.code, service.name, service.group, service.has_definition) == ("1", "Pothole", "Street", True)


def test_errors_in_their_three_forms() -> None:
    listed = b"<errors><error><code>404</code><description>no</description></error></errors>"
    assert [(e.code, e.description) for e in read_errors(listed)] == [("404", "no")]
    assert [(e.code, e.description) for e in read_errors(b'[{"code": 400, "description": "bad"}]')] == [("400", "bad")]
    assert [e.description for e in read_errors(b"<error>denied</error>")] == ["denied"]


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><service_requests><request>&x;</request></service_requests>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><service_requests>&x;</service_requests>',
        b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>',
        b"<a>" * 5_000 + b"</a>" * 5_000,
        b"<service_requests><request>",
        b"<html>busy</html>",
        b'{"ok": false}',
        b"[" * 100_000,
        b'<?xml version="1.0" encoding="no-such"?><a/>',
    ],
)
def test_what_is_no_acceptable_answer_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_requests(body)


def test_repeated_members_become_a_list() -> None:
    assert read_document(b"<a><b>1</b><b>2</b><c/></a>") == {"b": ["1", "2"], "c": None}
