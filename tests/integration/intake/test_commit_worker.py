"""Pushes committed by a child process: the same answers, and nothing lost or doubled when it dies."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from app.errors import Busy, Conflict, Invalid
from app.models import Ticket, TicketEvent
from app.services.audit.seals import verify
from app.services.core import catalogue
from ingest.push.queue import OFTEN, PushQueue, worth_it
from ingest.push.transaction import Answer, Push, UnknownSource
from ingest.push.worker_process import CommitWorker
from ingest.rows.ticket_in import validate_ticket
from tests.integration.intake.test_push import FULL, count, post
from tests.support import Service, running

pytestmark = [pytest.mark.server, pytest.mark.skipif(not worth_it(), reason="needs POSIX and a second processor")]


@pytest.fixture
def apart(database_url: str) -> Iterator[Service]:
    """A service whose pushes are committed by a child process from the start."""
    with running(database_url, intake_process="always") as service:
        service.unit("GA")
        yield service


def second(intake: PushQueue) -> CommitWorker:
    """The child process of a queue."""
    process = intake.worker
    assert process is not None
    assert process.ready
    return process


def push(n: int | str, **more: Any) -> Push:
    raw = {"external_id": f"S-{n}", "title": "路灯不亮", **more}
    return Push(validate_ticket(raw), "hotline", "key:1")


def test_the_child_answers_as_the_parent_would(apart: Service) -> None:
    created = post(apart, FULL)
    assert created.status_code == 201
    read = apart.call("GET", f"/tickets/{created.json()['id']}", role="integrator")
    assert created.json() == read.json()
    assert post(apart, FULL).status_code == 200
    assert post(apart, {**FULL, "title": "别的"}).json()["fields"] == ["title"]
    refused = post(apart, {**FULL, "external_id": "F-2", "unit": "nowhere"})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/unit"]
    key = {"Idempotency-Key": "k"}
    first, again = (post(apart, {**FULL, "external_id": "F-3"}, **key) for _ in range(2))
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (201, first.content, "true")
    assert post(apart, {**FULL, "external_id": "F-4"}, **key).json()["type"].endswith("idempotency-key-reused")
    assert count(apart) == 2
    assert verify(apart.runtime.database) is None


def test_a_killed_child_loses_and_doubles_no_push(apart: Service) -> None:
    intake: PushQueue = apart.client.app.state.intake  # type: ignore[attr-defined]
    with apart.runtime.database.write() as session:
        catalogue.ensure_source(session, "hotline")
    assert second(intake).pid

    async def story() -> list[Any]:
        async with PushQueue(apart.runtime) as queue:
            process = second(queue)
            pushes = [asyncio.ensure_future(queue.push(push(n))) for n in range(400)]
            await asyncio.wait(pushes, return_when=asyncio.FIRST_COMPLETED)
            os.kill(process.pid, signal.SIGKILL)
            return await asyncio.gather(*pushes)

    answers = asyncio.run(story())
    assert {answer.status for answer in answers} == {"created"}, "also those that it had stored without an answer"
    assert len({answer.ticket_id for answer in answers}) == 400
    assert count(apart) == count(apart, TicketEvent) == 400
    assert verify(apart.runtime.database) is None


def test_the_child_starts_when_groups_stay_large(service: Service) -> None:
    service.key("integrator")

    async def story() -> int:
        async with PushQueue(service.runtime) as queue:
            for n in range(OFTEN):
                await asyncio.gather(*(queue.push(push(f"{n}-{m}")) for m in range(24)))
            begun = time.monotonic()
            while queue.worker is None and time.monotonic() - begun < 60:
                await queue.push(push("again"))
            answers = await asyncio.gather(*(queue.push(push(f"last-{m}")) for m in range(24)))
            assert all(isinstance(answer, Answer) for answer in answers)
            return second(queue).pid

    pid = asyncio.run(story())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # it has ended with its queue
    with service.runtime.database.read() as session:
        stored = session.execute(select(func.count(func.distinct(Ticket.external_id)))).scalar_one()
    assert stored == count(service) == (OFTEN + 1) * 24 + 1


def test_the_parent_commits_a_group_the_child_fails_on(apart: Service) -> None:
    with apart.runtime.database.write() as session:
        catalogue.ensure_source(session, "hotline")

    async def story() -> list[Any]:
        async with PushQueue(apart.runtime) as queue:
            damaged = Push(push(1).incoming, "hotline", "key:1", raw=b"damaged")
            found = await asyncio.gather(queue.push(damaged), queue.push(push(2)))
            assert queue.worker is None
            return [*found, await queue.push(push(3))]

    assert [answer.status for answer in asyncio.run(story())] == ["created"] * 3
    assert count(apart) == 3


@pytest.mark.parametrize(
    "error",
    [
        Invalid.at("/title", "不行", "no"),
        UnknownSource.at("/source", "没有", "none"),
        Busy("忙", "busy", retry_after=7),
        Conflict("冲突", "conflict", fields=("title",)),
    ],
)
def test_a_refusal_is_pickled_whole(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this line
    assert type(again) is type(error)
    assert (again.__dict__, str(again)) == (error.__dict__, str(error))
