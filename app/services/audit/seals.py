"""Seals over the event log, and the walk that checks it.

Each ticket's events are chained by hash; a seal takes the heads of all chains that grew since the seal before, and
covers them and that seal's root. So a changed event breaks its chain, and a removed event or a removed ticket is missed
by the seal that knew it. What was written after the last seal is covered by its chain alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, insert, or_, select
from sqlmodel import Session, col

from app.db import Database
from app.models import Seal, SealEntry, Ticket, TicketEvent
from app.security.hash_chain import GENESIS, link
from app.store.ids import take

MOST_ENTRIES: Final = 50_000
"""Heads under one seal: after a large import several seals follow each other, each in bounded memory."""
OVERLAP: Final = timedelta(hours=1)
"""How far behind the last cut a seal looks again: an event is dated before its transaction commits."""


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first broken link: which ticket and event (none: a seal itself), and what differs."""

    what: str
    zh: str
    en: str
    ticket_id: int | None = None
    seq: int | None = None
    seal_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As printed by ``duban audit verify --json``."""
        return {
            "ticket_id": self.ticket_id,
            "seq": self.seq,
            "seal_id": self.seal_id,
            "what": self.what,
            "detail": self.zh,
            "detail_en": self.en,
        }

    def __str__(self) -> str:
        return f"{self.zh} / {self.en}"


def entry_line(ticket_id: int, seq: int, digest: str) -> bytes:
    """One head as it enters the root of a seal."""
    return f"{ticket_id}:{seq}:{digest}\n".encode()


def seal_all(database: Database, now: datetime, *, full: bool = False) -> int:
    """Seal what changed, in as many seals as it takes; how many heads were sealed. ``full``: look at every ticket, not
    only at those with events since shortly before the last seal."""
    total = 0
    while True:
        with database.write() as session:
            entries = seal(session, now, full=full)
        total += entries
        if entries < MOST_ENTRIES:
            return total


def seal(session: Session, now: datetime, *, full: bool = False) -> int:
    """Write one seal over up to ``MOST_ENTRIES`` heads that no seal has yet; 0, and no seal, where there is none."""
    take(session, "seal")  # one sealer at a time: the next must see this one's root
    last = session.execute(select(Seal).order_by(col(Seal.id).desc()).limit(1)).scalar_one_or_none()
    query = (
        select(col(Ticket.id), col(Ticket.head_seq), col(Ticket.head_hash))
        .outerjoin(
            SealEntry, and_(col(SealEntry.ticket_id) == col(Ticket.id), col(SealEntry.seq) == col(Ticket.head_seq))
        )
        .where(col(SealEntry.ticket_id).is_(None), col(Ticket.head_seq) > 0)
        .order_by(col(Ticket.id))
        .limit(MOST_ENTRIES)
    )
    if last is not None and not full:
        recent = select(col(TicketEvent.ticket_id)).where(col(TicketEvent.recorded_at) > last.cut_at - OVERLAP)
        query = query.where(col(Ticket.id).in_(recent))
    heads = session.execute(query).all()
    if not heads:
        return 0
    prev_root = last.root if last is not None else GENESIS
    root = hashlib.sha256(prev_root.encode())
    for ticket_id, seq, digest in heads:
        root.update(entry_line(ticket_id, seq, digest))
    row = Seal(sealed_at=now, cut_at=now, entries=len(heads), prev_root=prev_root, root=root.hexdigest())
    session.add(row)
    session.flush()
    session.execute(insert(SealEntry), [{"ticket_id": t, "seq": s, "hash": h, "seal_id": row.id} for t, s, h in heads])
    return len(heads)


def verify(database: Database) -> BrokenLink | None:
    """Walk every chain and every seal, streaming; the first broken link, or none.

    It reads one state of the database, so that tickets may be worked on meanwhile.
    """
    engine = database.engine
    if database.is_postgresql:
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        return _orphan(connection) or _walk_chains(connection) or _walk_seals(connection) or _lost_entry(connection)


@contextmanager
def _stream(connection: Connection, query: Any) -> Iterator[Iterator[Row[Any]]]:
    with connection.execute(query.execution_options(yield_per=2000)) as result:
        yield iter(result)


def _orphan(connection: Connection) -> BrokenLink | None:
    """Events whose ticket is gone."""
    query = (
        select(col(TicketEvent.ticket_id), col(TicketEvent.seq))
        .outerjoin(Ticket, col(Ticket.id) == col(TicketEvent.ticket_id))
        .where(col(Ticket.id).is_(None))
        .order_by(col(TicketEvent.ticket_id), col(TicketEvent.seq))
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return BrokenLink(
        "ticket_removed",
        f"工单 {row.ticket_id} 已被删除，但其事件 {row.seq} 仍在",
        f"ticket {row.ticket_id} was removed, its event {row.seq} is still there",
        row.ticket_id,
        row.seq,
    )


def _walk_chains(connection: Connection) -> BrokenLink | None:
    query = (
        select(
            col(Ticket.id),
            col(Ticket.head_seq),
            col(Ticket.head_hash),
            col(TicketEvent.seq),
            col(TicketEvent.type),
            col(TicketEvent.at),
            col(TicketEvent.recorded_at),
            col(TicketEvent.actor),
            col(TicketEvent.data),
            col(TicketEvent.prev_hash),
            col(TicketEvent.hash),
        )
        .outerjoin(TicketEvent, col(TicketEvent.ticket_id) == col(Ticket.id))
        .order_by(col(Ticket.id), col(TicketEvent.seq))
    )
    with _stream(connection, query) as rows:
        return _follow(rows)


def _follow(rows: Iterator[Row[Any]]) -> BrokenLink | None:
    """Walk chain after chain; ``rows`` come by ticket and number, a ticket without events with none."""
    ticket_id: int | None = None
    head: tuple[int, str] = (0, GENESIS)
    seq, digest = 0, GENESIS
    for row in rows:
        if row.id != ticket_id:
            if ticket_id is not None and (broken := _check_head(ticket_id, head, seq, digest)):
                return broken
            ticket_id, head, seq, digest = row.id, (row.head_seq, row.head_hash), 0, GENESIS
        if row.seq is None:
            continue
        if broken := _check_event(row, seq, digest):
            return broken
        seq, digest = row.seq, row.hash
    return None if ticket_id is None else _check_head(ticket_id, head, seq, digest)


def _check_event(row: Row[Any], seq: int, digest: str) -> BrokenLink | None:
    if row.seq != seq + 1:
        return BrokenLink(
            "event_removed",
            f"工单 {row.id} 缺少第 {seq + 1} 号事件（其后是第 {row.seq} 号）",
            f"ticket {row.id} has no event {seq + 1}; event {row.seq} follows event {seq}",
            row.id,
            seq + 1,
        )
    if row.prev_hash != digest:
        return BrokenLink(
            "link_broken",
            f"工单 {row.id} 第 {row.seq} 号事件不接在第 {seq} 号事件之后：前序哈希不符",
            f"event {row.seq} of ticket {row.id} does not follow event {seq}: its previous hash differs",
            row.id,
            row.seq,
        )
    if link(digest, row.id, row.seq, row.type, row.at, row.recorded_at, row.actor, row.data) != row.hash:
        return BrokenLink(
            "event_changed",
            f"工单 {row.id} 第 {row.seq} 号事件（{row.type}）的内容与其哈希不符",
            f"event {row.seq} ({row.type}) of ticket {row.id} was changed: its content does not give its hash",
            row.id,
            row.seq,
        )
    return None


def _check_head(ticket_id: int, head: tuple[int, str], seq: int, digest: str) -> BrokenLink | None:
    if head[0] > seq:
        return BrokenLink(
            "event_removed",
            f"工单 {ticket_id} 应有 {head[0]} 条事件，缺少第 {seq + 1} 号",
            f"ticket {ticket_id} ought to have {head[0]} events, event {seq + 1} is missing",
            ticket_id,
            seq + 1,
        )
    if head != (seq, digest):
        return BrokenLink(
            "head_changed",
            f"工单 {ticket_id} 记录的链头与其最后一条事件（第 {seq} 号）不符",
            f"the head kept with ticket {ticket_id} is not its last event, {seq}",
            ticket_id,
            seq,
        )
    return None


def _walk_seals(connection: Connection) -> BrokenLink | None:
    """Each seal over its entries and the root before."""
    kept = connection.execute(
        select(col(Seal.id), col(Seal.entries), col(Seal.prev_root), col(Seal.root)).order_by(col(Seal.id))
    ).all()
    query = select(col(SealEntry.seal_id), col(SealEntry.ticket_id), col(SealEntry.seq), col(SealEntry.hash)).order_by(
        col(SealEntry.seal_id), col(SealEntry.ticket_id), col(SealEntry.seq)
    )
    with _stream(connection, query) as entries:
        return _check_seals(kept, entries)


def _check_seals(kept: Sequence[Any], entries: Iterator[Row[Any]]) -> BrokenLink | None:
    entry = next(entries, None)
    prev_root, last_id = GENESIS, 0
    for seal_ in kept:
        root, count = hashlib.sha256(seal_.prev_root.encode()), 0
        while entry is not None and entry.seal_id == seal_.id:
            root.update(entry_line(entry.ticket_id, entry.seq, entry.hash))
            count += 1
            entry = next(entries, None)
        if seal_.prev_root != prev_root or root.hexdigest() != seal_.root or count != seal_.entries:
            return _broken_seal(seal_.id)
        prev_root, last_id = seal_.root, seal_.id
    return None if entry is None else _broken_seal(last_id + 1)


def _broken_seal(seal_id: int) -> BrokenLink:
    return BrokenLink(
        "seal_broken",
        f"第 {seal_id} 号封印与其所覆盖的链头或前一封印不符",
        f"seal {seal_id} does not cover its entries and the seal before it",
        seal_id=seal_id,
    )


def _lost_entry(connection: Connection) -> BrokenLink | None:
    """A head that a seal has seen, and that is there no more, or is another."""
    query: Any = (
        select(
            col(SealEntry.ticket_id),
            col(SealEntry.seq),
            col(SealEntry.seal_id),
            col(TicketEvent.hash).label("found"),
            col(Ticket.id).label("ticket"),
        )
        .outerjoin(
            TicketEvent,
            and_(col(TicketEvent.ticket_id) == col(SealEntry.ticket_id), col(TicketEvent.seq) == col(SealEntry.seq)),
        )
        .outerjoin(Ticket, col(Ticket.id) == col(SealEntry.ticket_id))
        .where(or_(col(TicketEvent.hash).is_(None), col(TicketEvent.hash) != col(SealEntry.hash)))
        .order_by(col(SealEntry.ticket_id), col(SealEntry.seq))
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    place = (row.ticket_id, row.seq, row.seal_id)
    if row.ticket is None:
        return BrokenLink("ticket_removed", f"工单 {row.ticket_id} 已被删除：第 {row.seal_id} 号封印记有其第 {row.seq} 号事件",
                      f"ticket {row.ticket_id} was removed: seal {row.seal_id} knows its event {row.seq}", *place)  # fmt: skip
    if row.found is None:
        return BrokenLink("event_removed", f"工单 {row.ticket_id} 的第 {row.seq} 号事件已被删除：第 {row.seal_id} 号封印记有它",
                      f"event {row.seq} of ticket {row.ticket_id} was removed: seal {row.seal_id} knows it", *place)  # fmt: skip
    return BrokenLink("chain_rewritten", f"工单 {row.ticket_id} 的事件链被改写：第 {row.seq} 号事件与第 {row.seal_id} 号封印不符",
                  f"the chain of ticket {row.ticket_id} was rewritten: event {row.seq} is not what seal {row.seal_id} has",
                  *place)  # fmt: skip
