"""Fixtures of tests that need a database; each test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app import clock
from app.config import Settings
from app.runtime import Runtime
from ingest.devtools.simulator.server import SECRET, SECRET_VARIABLES
from tests.integration.upstream import Moving
from tests.support import Service, running


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """The service on an empty database, with two units: GA (police) and CG (urban management)."""
    with running(database_url, data_dir=tmp_path / "data") as service:
        service.unit("GA")
        service.unit("GA-1", "GA")
        service.unit("CG")
        yield service


@pytest.fixture
def moving() -> Moving:
    """A clock that the test moves."""
    return Moving()


@pytest.fixture
def feed_runtime(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A runtime on an empty database, with the secrets of the simulated upstreams."""
    for variable in SECRET_VARIABLES.values():
        monkeypatch.setenv(variable, SECRET)
    runtime = Runtime.open(Settings(database_url=SecretStr(database_url)), clock.now())
    yield runtime
    runtime.close()
