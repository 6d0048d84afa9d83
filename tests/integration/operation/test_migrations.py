"""The migrations, on both databases: up, down, up again, with data in the tables, and equal to the models."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from app import clock
from app.config import Settings
from app.db import downgrade, make_engine, migrate
from app.models import metadata
from app.runtime import Runtime

pytestmark = pytest.mark.server


def tables(url: str) -> set[str]:
    """The tables there are, Alembic's own left out."""
    engine = make_engine(url)
    found = set(inspect(engine).get_table_names()) - {"alembic_version"}
    engine.dispose()
    return found


def test_upgrade_creates_and_downgrade_drops_filled_tables(bare_database_url: str) -> None:
    migrate(bare_database_url)
    assert tables(bare_database_url) == set(metadata.tables)
    Runtime.open(Settings(database_url=bare_database_url), clock.now()).close()  # writes the defaults
    engine = make_engine(bare_database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM policy_version")).scalar_one() > 0
    engine.dispose()
    downgrade(bare_database_url, "base")
    assert tables(bare_database_url) == set()
    migrate(bare_database_url)
    assert tables(bare_database_url) == set(metadata.tables)


def test_the_migrated_tables_are_what_the_models_say(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_migrating_again_and_opening_again_changes_nothing(database_url: str) -> None:
    version = 0
    for _ in range(2):
        migrate(database_url)
        runtime = Runtime.open(Settings(database_url=database_url), clock.now())
        with runtime.reading() as (_, ref):
            version = ref.version
        runtime.close()
    assert version == 1
