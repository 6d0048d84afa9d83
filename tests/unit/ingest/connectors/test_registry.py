"""The connectors: discovered, chosen by the ``kind`` of a feed, each with its own part of the specification."""

from __future__ import annotations

from typing import Any

import pytest

from app import clock
from app.errors import Invalid
from app.models import Feed
from app.services.intake.feeds import can_reconcile
from ingest.connectors.folder import FolderFeed
from ingest.connectors.http import RequestPace
from ingest.connectors.registry import available, connected, connector_of, load_spec, spec_of

DROP: dict[str, Any] = {
    "name": "drop", "kind": "folder", "title": {"zh": "文件夹", "en": "Folder"},
    "source": {"code": "drop", "zh": "文件夹", "en": "Folder"}, "folder": {"path": "drop", "profile": "duban"},
}  # fmt: skip


def problems(content: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as wrong:
        spec_of(content)
    return [problem.pointer for problem in wrong.value.problems]


def test_every_connector_is_found_under_its_name() -> None:
    found = available()
    assert {"rest", "open311", "folder"} <= set(found)
    assert all(name == connector.name for name, connector in found.items())
    assert all(connector.__module__ == f"ingest.connectors.{name}" for name, connector in found.items())


def test_an_unknown_kind_is_refused_at_its_place() -> None:
    assert problems({**DROP, "kind": "soap", "folder": None}) == ["/kind"]


def test_a_connectors_own_table_is_checked() -> None:
    assert connector_of(spec_of(DROP)) is FolderFeed
    assert problems({**DROP, "folder": None}) == ["/folder"]
    assert problems({**DROP, "folder": {"path": "drop", "profile": "duban", "depth": 2}}) == ["/folder/depth"]
    rest = load_spec("hotline12345").model_dump(mode="json")
    assert problems({**rest, "folder": DROP["folder"]}) == ["/folder"]


@pytest.mark.parametrize("name", ["hotline12345", "open311", "folder"])
def test_a_stored_definition_is_read_again(name: str) -> None:
    spec = load_spec(name)
    stored = {"folder": None, "jurisdiction": None, **spec.model_dump(mode="json")}
    assert spec_of(stored) == spec


@pytest.mark.parametrize(("name", "can"), [("hotline12345", True), ("open311", True), ("folder", False)])
def test_reconciliation_depends_on_the_protocol_or_its_table(name: str, can: bool) -> None:
    spec = load_spec(name)
    feed = Feed(name=name, source_id=1, added_by="test", kind=spec.kind, spec=spec.model_dump(mode="json"))
    assert can_reconcile(feed) is can


def test_a_folder_has_no_pages() -> None:
    with pytest.raises(Invalid), connected(spec_of(DROP), RequestPace(clock.now)):
        raise AssertionError("nothing to connect to")
