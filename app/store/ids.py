"""Numbers from named counters: ids handed out in blocks, and serials that a transaction holds to its end."""

from __future__ import annotations

from threading import Lock

from sqlalchemy import Connection, text
from sqlmodel import Session

from app.db import Database

_TAKE = text(
    "INSERT INTO counter (name, value) VALUES (:name, :n) "
    "ON CONFLICT (name) DO UPDATE SET value = counter.value + :n RETURNING value"
)


def take(connection: Connection | Session, name: str, n: int = 1) -> int:
    """Raise the counter ``name`` by ``n`` and give its new value; its row stays locked until the transaction ends.

    So numbers taken this way have no gaps and appear in the order of commit."""
    return int(connection.execute(_TAKE, {"name": name, "n": n}).scalar_one())


_CHUNKS = 8
"""The maximum size of a block; a file is imported chunk by chunk, with several blocks."""


class IdBlocks:
    """Ticket ids for this process, fetched in blocks in a separate transaction, so that taking one holds no lock.

    The rest of a block is lost with the process: ids are unique and increasing, not dense."""

    def __init__(self, database: Database, name: str = "ticket", block: int = 1000) -> None:
        self._database = database
        self._name = name
        self._block = block
        self._next = 0
        self._end = 0
        self._lock = Lock()

    def take(self, n: int) -> list[int]:
        """``n`` new ids, increasing."""
        with self._lock:
            found: list[int] = []
            while len(found) < n:
                if self._next >= self._end:
                    lacking = n - len(found)
                    size = self._block if lacking <= self._block else _CHUNKS * lacking
                    with self._database.turn(), self._database.writer.begin() as connection:
                        top = take(connection, self._name, size)
                    self._next, self._end = top - size + 1, top + 1
                count = min(n - len(found), self._end - self._next)
                found.extend(range(self._next, self._next + count))
                self._next += count
            return found
