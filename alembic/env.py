"""Where Alembic meets Duban: the tables' metadata, and the database of the settings."""

from logging import getLogger

from alembic import context
from sqlalchemy import JSON, BigInteger, Connection, String, text
from sqlmodel import AutoString, SQLModel

import app.models
from app.config import get_settings
from app.db import make_engine
from app.models.types import UtcDateTime

log = getLogger("alembic.env")
MIGRATION_LOCK = 7_205_115
"""Advisory lock held while migrating on PostgreSQL: several processes may start at once."""


def render_item(kind: str, item: object, autogen_context: object) -> str | bool:
    """Write types into new migrations by the names that ``script.py.mako`` gives them."""
    if kind != "type":
        return False
    if isinstance(item, AutoString):
        item = item.impl
    if isinstance(item, String) and item.length:
        return f"sa.String({item.length})"
    name = (
        "Moment"
        if isinstance(item, UtcDateTime)
        else "BigInt"
        if isinstance(item, BigInteger)
        else "Json"
        if isinstance(item, JSON)
        else "sa.String()"
        if isinstance(item, String)
        else ""
    )
    return name or False


def run(connection: Connection) -> None:
    """Run the asked-for migrations on ``connection``, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=app.models.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()


assert SQLModel.metadata is app.models.metadata
url = context.config.attributes.get("url") or get_settings().url
engine = make_engine(url, behind_pooler=True).execution_options(duban_write=True)
with engine.connect() as connection:
    run(connection)
    connection.commit()
engine.dispose()
