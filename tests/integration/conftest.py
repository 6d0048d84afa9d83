"""Fixtures of tests that need a database; each test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import Service, running


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    """The service on an empty database, with two units: GA (police) and CG (urban management)."""
    with running(database_url) as service:
        service.unit("GA")
        service.unit("GA-1", "GA")
        service.unit("CG")
        yield service
