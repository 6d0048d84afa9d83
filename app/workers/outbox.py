"""The outbox's loop: claims messages, sends each through its channels, and records what became of it.

Any number of processes may run it. A claim is a lease, committed before anything is sent; the outcome is committed after.
A process killed between the two leaves a lease that runs out, and its messages are sent again: at least once. What was
recorded as sent or refused for good is not sent to that recipient again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event, Thread

from app import clock
from app.channels.base import Channel, Message, PermanentFailure, TransientFailure
from app.channels.registry import configured
from app.logging import get_logger
from app.models import Delivery, Outbox
from app.runtime import Runtime
from app.store import outbox as store

logger = get_logger("duban.outbox")
BATCH = 50
"""Messages claimed at a time: as many may be sent twice after a kill."""
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=15), timedelta(hours=1)
LOOK_SECONDS = 2.0
ANSWER_LENGTH = 500
_RANDOM = random.SystemRandom()


def delay(attempts: int, chance: float) -> timedelta:
    """How long a message waits after so many attempts: doubling, at most an hour, of which ``chance`` (0 to 1) takes off
    up to a half, so that messages that failed together are not retried together."""
    whole: timedelta = min(FIRST_DELAY * 2 ** min(attempts - 1, 20), LONGEST_DELAY)
    return whole * (1 - chance / 2)


class OutboxWorker:
    """One thread that sends what is due."""

    def __init__(
        self,
        runtime: Runtime,
        channels: Mapping[str, Channel] | None = None,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """``channels``: those of the settings, where none are given."""
        self._runtime = runtime
        self._channels = configured(runtime.settings.channels) if channels is None else dict(channels)
        self._chance = chance
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="duban-outbox", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def tell(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def stop(self, patience: float) -> bool:
        """Wait so many seconds for the message under way; whether it has come to its end."""
        self.tell()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def once(self, now: datetime) -> int:
        """Send one batch of what is due at ``now``; how many messages were tried."""
        database = self._runtime.database
        with database.read() as session:  # the common case, nothing due, takes no lock at all
            if not store.is_due(session, now):
                return 0
        with database.write() as session:
            store.expire(session, now)
            claimed = store.claim(session, now, BATCH) if self._channels else []
            settled = store.settled(session, [row.id for row in claimed if row.id is not None])
            session.flush()
            session.expunge_all()
        if not claimed:
            return 0
        outcomes = {row.id: self._send(row, settled, now) for row in claimed if row.id and not self._stop.is_set()}
        with database.write() as session:
            rows = store.lock(session, [row.id for row in claimed if row.id is not None])
            for row in claimed:
                stored = rows[row.id or 0]
                if stored.lease_until != row.lease_until:
                    continue  # the lease ran out meanwhile, and another process has the message
                stored.lease_until = None
                session.add(stored)
                if row.id in outcomes:
                    session.add_all(outcomes[row.id])
                    before = {state for (key, _, _), state in settled.items() if key == row.id}
                    self._settle(stored, before | {attempt.state for attempt in outcomes[row.id]}, now)
        return len(outcomes)

    def _send(self, row: Outbox, settled: Mapping[tuple[int, str, str], str], now: datetime) -> list[Delivery]:
        """Try every recipient through every channel of the message that is not settled; the attempts."""
        names: Sequence[str] = [row.channel] if row.channel is not None else list(self._channels)
        assert row.id is not None, "it was read from the database"
        return [
            self._attempt(row, recipient, name, now)
            for recipient in row.audience
            for name in names
            if (row.id, recipient, name) not in settled
        ]

    def _attempt(self, row: Outbox, recipient: str, name: str, now: datetime) -> Delivery:
        message = Message(row.dedupe_key, row.kind, recipient, row.ticket_id, row.alert_id, row.unit_id, row.payload)
        state, answer = "sent", None
        try:
            if name not in self._channels:
                raise PermanentFailure(f"no channel {name} is configured")
            answer = self._channels[name].send(message).answer
        except PermanentFailure as error:
            state, answer = "permanent", str(error)
        except TransientFailure as error:
            state, answer = "transient", str(error)
        except Exception as error:  # a bug of one channel must not lose a message or stop the others
            logger.exception("sending failed", channel=name, message=row.id)
            state, answer = "transient", type(error).__name__
        return Delivery(
            outbox_id=row.id or 0, recipient=recipient, channel=name, attempt=row.attempts, at=now, state=state,
            answer=answer[:ANSWER_LENGTH] if answer else None,
        )  # fmt: skip

    def _settle(self, row: Outbox, states: set[str], now: datetime) -> None:
        if "transient" not in states:
            row.state = "failed" if "permanent" in states else "sent"
            return
        row.not_before = now + delay(row.attempts, self._chance())
        if row.expires_at is not None:
            row.not_before = min(row.not_before, row.expires_at)  # to be marked as expired in time

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                if self.once(clock.now()):
                    continue
            except Exception:  # the database may be away for a while; the next look tries again
                logger.exception("outbox failed; retrying", delay=LOOK_SECONDS)
            self._stop.wait(LOOK_SECONDS)
