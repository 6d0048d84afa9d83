"""A PostgreSQL database that one test had before another is like one that nobody had."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import make_url

from app.models import metadata
from tests.facilities import KEPT, PostgresServer
from tests.support import running

pytestmark = [pytest.mark.postgres, pytest.mark.server]


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:
    """The server of this run, with a shelf of its own for databases given back."""
    run = postgres_server.prefix.removeprefix("duban_")
    server = PostgresServer(postgres_server.admin_url, f"{run}lent")
    server.template = postgres_server.template
    return server


def connect(server: PostgresServer, name: str) -> psycopg.Connection[tuple[object, ...]]:
    url = make_url(server.url_of(name)).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


def test_what_a_test_has_left_is_gone_and_its_numbers_begin_anew(server: PostgresServer) -> None:
    name = server.lend()
    with running(server.url_of(name)) as service:
        service.unit("GA")
        service.act(service.push()["id"], "dispatch", unit="GA")
        left_open = connect(server, name)
        server.take_back(name)
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    assert server.lend() == name
    with connect(server, name) as connection:
        for table in metadata.tables:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,), table
        numbered = connection.execute("SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL").fetchall()
        assert numbered == []
    server.drop_database(name)


def fill(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute(
        "INSERT INTO counter (name, value) SELECT repeat('x', 40) || n, n FROM generate_series(1, %s) AS n",
        (KEPT // 100,),
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda connection: connection.execute("ALTER TABLE ticket ADD COLUMN more text"),
        lambda connection: connection.execute("ALTER TABLE ticket DROP COLUMN title"),
        lambda connection: connection.execute("DROP INDEX ix_alert_open"),
        lambda connection: connection.execute("CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        lambda connection: connection.execute("CREATE TABLE more (n int)"),
        lambda connection: connection.execute("ALTER TABLE ticket DISABLE TRIGGER ALL"),
        fill,
    ],
    ids=["column", "no column", "no index", "function", "table", "trigger", "size"],
)
def test_one_that_a_test_has_altered_or_filled_is_not_lent_again(
    server: PostgresServer, spoil: Callable[[psycopg.Connection[tuple[object, ...]]], object]
) -> None:
    name = server.lend()
    with connect(server, name) as connection:
        spoil(connection)
    server.take_back(name)
    assert server.free == []
    with pytest.raises(psycopg.OperationalError):
        connect(server, name)
