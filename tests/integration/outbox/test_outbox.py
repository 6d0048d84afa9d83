"""The outbox: written with what causes it, sent at least once, retried, parked or expired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest

from app.channels.base import Channel, Config, Delivery, Message, PermanentFailure, TransientFailure
from app.domain.supervision.rungs import DEFAULT_LADDER
from app.errors import Conflict
from app.models import Delivery as DeliveryRow
from app.models import Outbox
from app.store.outbox import LEASE
from app.workers.outbox import BATCH, FIRST_DELAY, LONGEST_DELAY, OutboxWorker, delay
from tests.integration.office import DUE, Office, working

Fails = Callable[[Message], Exception | None]


class FakeChannel(Channel):
    """Keeps what it sent, and fails as the test says."""

    name = "fake"

    def __init__(self, fails: Fails = lambda _: None) -> None:
        super().__init__(Config())
        self.fails = fails
        self.sent: list[Message] = []

    def send(self, message: Message) -> Delivery:
        """Send, or fail."""
        if (error := self.fails(message)) is not None:
            raise error
        self.sent.append(message)
        return Delivery(f"id-{len(self.sent)}")


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    """An office on an empty database."""
    with working(database_url) as found:
        yield found


def put(office: Office, key: str = "k", *audience: str, expires_at: datetime | None = None) -> None:
    """One message in the outbox."""
    with office.runtime.writing(DUE) as uow:
        uow.enqueue("test", key, audience or ("supervisor",), payload={"n": 1}, expires_at=expires_at)


def worker(office: Office, channel: FakeChannel) -> OutboxWorker:
    """A worker whose delays have no jitter."""
    return OutboxWorker(office.runtime, {channel.name: channel}, chance=lambda: 0.0)


def states(office: Office) -> list[tuple[str, int]]:
    """State and attempts of each message."""
    return [(row.state, row.attempts) for row in office.all(Outbox)]


def test_an_alert_is_put_into_the_outbox_with_its_roles(office: Office) -> None:
    ticket = office.ticket()
    office.sweep(DUE)
    office.sweep(DUE)
    (alert,) = office.alerts(ticket)
    rung = DEFAULT_LADDER.rung("complete_due")
    assert rung is not None
    assert set(rung.notify) <= set(alert.notify)
    (row,) = office.all(Outbox)
    assert (row.kind, row.alert_id, row.ticket_id, row.audience) == ("alert_raised", alert.id, ticket, alert.notify)
    assert (row.state, row.not_before, row.unit_id) == ("pending", DUE, office.units["GA"].id)


def test_a_message_is_written_once_for_its_key(office: Office) -> None:
    for _ in range(2):
        put(office)
    assert len(office.all(Outbox)) == 1


def enqueue_and_refuse(office: Office) -> None:
    """A use case that is refused after it has put a message into the outbox."""
    with office.runtime.writing(DUE) as uow:
        uow.enqueue("test", "k", ["unit"], payload={}, expires_at=None)
        raise Conflict("试", "test")


def test_a_message_of_a_refused_use_case_is_not_written(office: Office) -> None:
    with pytest.raises(Conflict):
        enqueue_and_refuse(office)
    assert office.all(Outbox) == []


def test_each_recipient_gets_the_message_once(office: Office) -> None:
    channel = FakeChannel()
    put(office, "k", "unit", "leader")
    assert worker(office, channel).once(DUE) == 1
    assert worker(office, channel).once(DUE) == 0
    assert [(m.recipient, m.dedupe_key) for m in channel.sent] == [("unit", "k"), ("leader", "k")]
    rows = office.all(DeliveryRow)
    assert [(r.recipient, r.channel, r.state, r.answer) for r in rows] == [
        ("unit", "fake", "sent", "id-1"), ("leader", "fake", "sent", "id-2")
    ]  # fmt: skip
    assert states(office) == [("sent", 1)]


def test_a_transient_failure_is_retried_after_a_delay(office: Office) -> None:
    channel = FakeChannel(lambda message: TransientFailure("503") if message.recipient == "leader" else None)
    put(office, "k", "unit", "leader")
    assert worker(office, channel).once(DUE) == 1
    assert states(office) == [("pending", 1)]
    assert worker(office, channel).once(DUE + FIRST_DELAY - timedelta(seconds=1)) == 0
    channel.fails = lambda _: None
    assert worker(office, channel).once(DUE + FIRST_DELAY) == 1
    assert [m.recipient for m in channel.sent] == ["unit", "leader"], "who has it already is not sent it again"
    assert [(r.attempt, r.state) for r in office.all(DeliveryRow)] == [(1, "sent"), (1, "transient"), (2, "sent")]
    assert states(office) == [("sent", 2)]


def test_a_permanent_failure_is_parked(office: Office) -> None:
    channel = FakeChannel(lambda message: PermanentFailure("unknown") if message.recipient == "unit" else None)
    put(office, "k", "unit", "leader")
    worker(office, channel).once(DUE)
    assert states(office) == [("failed", 1)]
    assert [m.recipient for m in channel.sent] == ["leader"]
    assert worker(office, channel).once(DUE + timedelta(days=9)) == 0


def test_a_bug_of_a_channel_loses_no_message(office: Office) -> None:
    channel = FakeChannel(lambda _: ZeroDivisionError())
    put(office)
    worker(office, channel).once(DUE)
    assert states(office) == [("pending", 1)]
    assert [r.answer for r in office.all(DeliveryRow)] == ["ZeroDivisionError"]


def test_an_expired_message_is_never_sent(office: Office) -> None:
    channel = FakeChannel(lambda _: TransientFailure("away"))
    put(office, expires_at=DUE + timedelta(seconds=5))
    worker(office, channel).once(DUE)
    channel.fails = lambda _: None
    assert worker(office, channel).once(DUE + timedelta(seconds=5)) == 0
    assert (channel.sent, states(office)) == ([], [("expired", 1)])


class Killed(BaseException):
    """A process that ends in the middle, as kill -9 ends it: nothing after it runs."""


@pytest.mark.parametrize("sent_before", [False, True], ids=["between-claim-and-send", "between-send-and-record"])
def test_a_killed_process_loses_no_message(office: Office, sent_before: bool) -> None:
    channel = FakeChannel()

    def kill(message: Message) -> Exception | None:
        if sent_before:
            channel.sent.append(message)
        raise Killed

    channel.fails = kill
    put(office)
    with pytest.raises(Killed):
        worker(office, channel).once(DUE)
    channel.fails = lambda _: None
    assert worker(office, channel).once(DUE + LEASE - timedelta(seconds=1)) == 0
    assert worker(office, channel).once(DUE + LEASE) == 1
    assert len(channel.sent) == 1 + sent_before
    assert len({m.dedupe_key for m in channel.sent}) == 1
    assert states(office) == [("sent", 2)]


def test_two_workers_never_send_the_same_message(office: Office) -> None:
    for n in range(BATCH + 10):
        put(office, f"k{n}")
    channel, start = FakeChannel(), Barrier(2)

    def work() -> None:
        mine = worker(office, channel)
        start.wait()
        for _ in range(6):
            mine.once(DUE)

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(m.dedupe_key for m in channel.sent) == sorted(f"k{n}" for n in range(BATCH + 10))
    assert set(states(office)) == {("sent", 1)}


def test_the_delay_doubles_up_to_an_hour_with_jitter() -> None:
    assert [delay(n, 0.0) for n in (1, 2, 3)] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    assert delay(99, 0.0) == LONGEST_DELAY
    assert delay(1, 1.0) == FIRST_DELAY / 2
