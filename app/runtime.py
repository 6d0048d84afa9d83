"""What one process of the service holds: its settings, its database, and what is shared between requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection
from sqlmodel import Session

from app import clock
from app.config import Settings
from app.db import Database, migrate
from app.metrics import Metrics
from app.services.core.reference import Reference, ReferenceCache
from app.services.core.unit_of_work import UnitOfWork, unit_of_work
from app.services.rules.defaults import ensure_defaults
from app.store.gauges import DatabaseCollector
from app.store.ids import IdBlocks


@dataclass
class Runtime:
    """The shared state of a process; ``open`` makes one on a migrated database."""

    settings: Settings
    database: Database = field(init=False)
    reference: ReferenceCache = field(default_factory=ReferenceCache)
    metrics: Metrics = field(default_factory=Metrics)
    ids: IdBlocks = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.database = Database(settings.url, pool_size=settings.pool_size, behind_pooler=settings.behind_pooler)
        self.metrics.registry.register(DatabaseCollector(self.database))
        self.ids = IdBlocks(self.database)

    @classmethod
    def open(cls, settings: Settings, now: datetime) -> Runtime:
        """Migrate the database of ``settings`` to the head, give it its defaults, and hold it."""
        migrate(settings.url)
        runtime = cls(settings)
        with runtime.database.write() as session:
            ensure_defaults(session, now)
        return runtime

    @contextmanager
    def reading(self) -> Iterator[tuple[Session, Reference]]:
        """A reading session with the reference data in force."""
        with self.database.read() as session:
            yield session, self.reference.get(session)

    def writing(
        self, now: datetime | None = None, connection: Connection | None = None
    ) -> AbstractContextManager[UnitOfWork]:
        """A unit of work at ``now`` (None: the present moment), completed if the block ends well (``connection``: see
        ``Database.transaction``)."""
        return unit_of_work(self.database, self.reference, clock.now if now is None else now, connection)

    def close(self) -> None:
        """Close every connection."""
        self.database.dispose()
