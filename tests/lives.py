"""Random lives of tickets, told to the real services: any legal sequence of steps, at any moment, in any order of telling.

``tell`` makes them; ``contradictions`` says what about them does not hold. The suite runs some hundreds on both databases;
``python -m tests.lives 100000`` as many as asked for, chunk by chunk, each on a fresh SQLite file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import Session

from app.config import Settings
from app.domain.tickets.life import Event, as_known, life_until
from app.domain.tickets.lifecycle import TABLE, TAKES, allowed_actions
from app.errors import DubanError
from app.models import (
    CalendarVersion,
    Deadline,
    Extension,
    PolicyVersion,
    Source,
    SupervisionOrder,
    Suspension,
    Ticket,
    TicketEvent,
    Unit,
)
from app.runtime import Runtime
from app.security.principal import Principal
from app.services.audit import seals
from app.services.core import catalogue
from app.services.core.reference import touch
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines import book as deadlines
from app.services.deadlines import verify
from app.services.intake import create as intake
from app.services.orders import actions as orders
from app.services.orders import book as order_book
from app.services.recompute import run as recompute
from app.services.supervision.sweep import sweep
from app.services.tickets import actions as lifecycle
from app.services.tickets import callbacks, change, extensions
from ingest.rows.compare import correct
from ingest.rows.ticket_in import TicketIn, fingerprint
from reports.facts.gather import gather
from reports.period import parse_period

BEGIN = datetime(2026, 1, 26, 0, 0, tzinfo=UTC)
"""Lives begin in the four weeks from here, over the Spring Festival and its make-up days."""
PHASES = tuple(BEGIN + timedelta(days=n) for n in (20, 34, 80, 160))
"""At each of these a sweep runs, and reference data changes; the last one also lies past two clock changes."""
OFFICE = Principal("user:office", "指挥中心", "admin")
RULER = Principal("user:ruler", "审批人", "supervisor")
MEMORY = Path("/dev/shm")
"""Where a file is in memory, on Linux."""
KINDS = (None, "consult", "help", "complaint", "report", "suggestion", "praise", "dispute")
UNITS = ("A", "A1", "B", "C", "C1")

_DAY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CALENDARS: dict[str, dict[str, Any]] = {
    "night": {
        "time_zone": "Asia/Shanghai",
        "week": {d: [["00:00", "02:00"], ["22:00", "24:00"]] if d != "sun" else [] for d in _DAY},
        "days": {"2026-02-17": [], "2026-03-01": [["08:00", "12:00"]]},
    },
    "ny": {"time_zone": "America/New_York", "week": {d: [["01:30", "17:00"]] for d in _DAY[:5]}},
    "round": {"time_zone": "Asia/Shanghai", "week": {d: [["00:00", "24:00"]] for d in _DAY}},
}


def _limit(unit: str, amount: float, **more: Any) -> dict[str, Any]:
    return {"unit": unit, "amount": amount, **more}


_ONE = {
    "accept": _limit("working_days", 1),
    "contact": _limit("working_days", 1),
    "callback": _limit("working_days", 1),
}
_POLICIES: tuple[dict[str, Any], ...] = (
    {"code": "hours", "match": {"unit": ["B"]}, "limits": {
        "accept": _limit("working_hours", 2), "complete": _limit("working_hours", 12.5),
        "callback": _limit("working_hours", 1), "supervise": _limit("hours", 40)}},
    {"code": "natural", "match": {"kind": ["report"]}, "limits": {
        **_ONE, "accept": _limit("hours", 3), "complete": _limit("days", 7, ends="midnight")}},
    {"code": "same", "match": {"kind": ["suggestion"]}, "limits": {
        **_ONE, "complete": _limit("working_days", 3, ends="same_time", count_first_day=True)}},
    {"code": "bare", "match": {"kind": ["praise"]}, "limits": {"complete": _limit("working_days", 2)}},
    {"code": "round", "match": {"kind": ["help"], "priority": ["urgent"]}, "calendar": "round", "extensions": 3,
     "limits": {**_ONE, "complete": _limit("working_days", 2, ends="close")}},
)  # fmt: skip


@dataclass
class World:
    """A service with units on four calendars and with policies of every form; what was tried in it is counted."""

    runtime: Runtime
    steps: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    serial: int = 0
    wrong: list[str] = field(default_factory=list)
    """What was found not to hold while the lives were told."""

    @classmethod
    def open(cls, url: str) -> World:
        """A world on the empty database at ``url``."""
        world = cls(Runtime.open(Settings(database_url=SecretStr(url)), BEGIN - timedelta(days=9)))
        with world.runtime.database.write() as session:
            session.add(Source(code="hotline", name="热线"))
            session.add(Source(code="binding", name="上级平台", binds_due=True))
            for code, spec in _CALENDARS.items():
                cls._calendar(session, code, 1, spec, BEGIN - timedelta(days=9))
            for spec in _POLICIES:
                cls._policy(session, {"name_zh": spec["code"], **spec, "version": 1}, BEGIN - timedelta(days=9))
            for code, parent in (("A", None), ("A1", "A"), ("B", None), ("C", None), ("C1", "C")):
                catalogue.create_node(session, Unit, {"code": code, "name": code, "parent": parent})
            session.flush()
            for code, calendar in (("B", "night"), ("C", "ny")):
                unit = session.execute(select(Unit).where(Unit.code == code)).scalar_one()  # type: ignore[arg-type]
                unit.calendar_code = calendar
            touch(session)
        return world

    @staticmethod
    def _calendar(session: Session, code: str, version: int, spec: dict[str, Any], now: datetime) -> None:
        row = CalendarVersion(code=code, version=version, name=code, spec=spec, created_by="test", created_at=now)
        session.add(row)

    @staticmethod
    def _policy(session: Session, spec: dict[str, Any], now: datetime) -> None:
        row = PolicyVersion(code=spec["code"], version=spec["version"], spec=spec, created_by="test", created_at=now)
        session.add(row)

    def change_reference(self, n: int, now: datetime) -> None:
        """Publish another version of a calendar and of a policy."""
        with self.runtime.writing(now) as uow:
            session, ref = uow.session, uow.ref
            _, cn = ref.calendars["cn"]
            spec = cn.to_spec()
            spec["days"] = {**spec["days"], f"2026-03-{9 + n:02d}": [], f"2026-04-{12 + n:02d}": [["09:00", "11:00"]]}
            self._calendar(session, "cn", cn.version + 1, spec, now)
            default = max((p for _, p in ref.policies if p.code == "default"), key=lambda p: p.version)
            changed = default.to_spec()
            changed["version"] = default.version + 1
            changed["limits"] = {**changed["limits"], "complete": _limit("working_days", 3 + n % 4)}
            self._policy(session, changed, now)
            session.flush()
            touch(session)


@dataclass(slots=True)
class One:
    """A life under way: which ticket, how far its own time has come, and its own chance."""

    ticket_id: int
    external_id: str
    source: str
    now: datetime
    chance: Random
    left: int
    """How many steps it is yet to take."""
    over: bool = False
    asked: bool = False
    """Whether a request for extension may be waiting."""


def tell(world: World, n: int, seed: int) -> list[int]:
    """Tell ``n`` random lives, in phases that a sweep and a change of reference data part; the ids of the tickets."""
    lives = _begin(world, n, seed)
    for number, end in enumerate(PHASES):
        for start in range(0, n, 100):
            with world.runtime.writing(end) as uow:
                for life in (one for one in lives[start : start + 100] if not one.over):
                    _live_until(world, uow, life, end)
                    uow.session.flush()
                    uow.session.expunge_all()
        sweep(world.runtime.database, world.runtime.reference, end)
        if number < len(PHASES) - 1:
            world.change_reference(number, end)
        if number == 1:  # after the first change, open deadlines stay as they were; after the second, all catch up
            recompute.catch_up(world.runtime.database, world.runtime.reference, "system:test", end)
            world.wrong += out_of_date(world)
            recompute.after_policy(world.runtime.database, world.runtime.reference, "default", "system:test", end)
    return [life.ticket_id for life in lives]


def _begin(world: World, n: int, seed: int) -> list[One]:
    lives: list[One] = []
    ids = world.runtime.ids.take(n)
    with world.runtime.writing(BEGIN) as uow:
        session, ref = uow.session, uow.ref
        prepared = []
        for ticket_id in ids:
            chance = Random(f"{seed}:{world.serial}")
            world.serial += 1
            received = BEGIN + timedelta(microseconds=chance.randrange(28 * 86_400_000_000))
            if chance.random() < 0.5:  # on a whole minute, where boundaries are met
                received = received.replace(second=0, microsecond=0, minute=chance.choice((0, 30)))
            source = chance.choice(("hotline", "hotline", "binding"))
            content = TicketIn.model_validate(
                {
                    "external_id": f"L{world.serial}", "title": "路灯不亮", "kind": chance.choice(KINDS),
                    "priority": chance.choice(("normal", "normal", "urgent", "emergency")),
                    "severity": chance.choice((None, "ordinary", "grave")), "received_at": received.isoformat(),
                    "unit": chance.choice((None, *UNITS)),
                    "source_due_at": _later(chance, received).isoformat() if chance.random() < 0.4 else None,
                }
            )  # fmt: skip
            told = received + timedelta(minutes=chance.choice((0, 0, 5, 600)))
            info = ref.source_by_code(source)
            assert info is not None
            prepared.append(
                intake.prepare(ref, content, info, ticket_id=ticket_id, fingerprint=fingerprint(content),
                               actor="key:test", now=told, zone=world.runtime.settings.zone)
            )  # fmt: skip
            lives.append(One(ticket_id, content.external_id, source, told, chance, chance.randint(2, 20)))
        intake.write(session, prepared)
    return lives


def _later(chance: Random, moment: datetime) -> datetime:
    """A moment after ``moment``: at once, or minutes, hours, days or weeks on; sometimes on a whole hour."""
    length = chance.choice((0, 1, 60, 3600, 5 * 3600, 86_400, 3 * 86_400, 9 * 86_400))
    later = moment + timedelta(microseconds=chance.randrange(length * 1_000_000 + 1))
    if chance.random() < 0.2:
        return later.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return later


def _live_until(world: World, uow: UnitOfWork, life: One, end: datetime) -> None:
    session = uow.session
    while not life.over:
        ticket = session.get_one(Ticket, life.ticket_id)
        life.now = max(life.now, change.latest_step(session, ticket))  # a sweep since then may have ended a suspension
        following = _later(life.chance, life.now)
        if ticket.due_at is not None and life.chance.random() < 0.1:  # on the very moment of the deadline, or beside it
            beside = ticket.due_at + timedelta(microseconds=life.chance.choice((-1, 0, 1)))
            following = beside if beside > life.now else following
        if following > end:
            return
        life.now = following
        name = life.chance.choice(_choices(life, ticket))
        at = _told_late(session, life, ticket, name) if life.chance.random() < 0.3 else None
        try:
            _take(uow.at(life.now), life, ticket, name, at)
            world.steps[name] += 1
        except DubanError as error:
            world.refused[f"{name}: {type(error).__name__}"] += 1
        life.left -= 1
        life.over = life.left == 0 or ticket.status == "void"


def _take(uow: UnitOfWork, life: One, ticket: Ticket, name: str, at: datetime | None) -> None:
    """One step. What may be refused half-way is undone by a savepoint, as a request is by its transaction; of the rest a
    refusal must have changed nothing, which the verification would tell."""
    move = _MOVES.get(name, _act)
    if name in ("correct", "approve"):
        with uow.savepoint():
            move(uow, life, ticket, name, at)
    else:
        move(uow, life, ticket, name, at)
    if name in ("extend", "approve", "refuse", "complete", "void"):
        life.asked = name == "extend"


def _choices(life: One, ticket: Ticket) -> list[str]:
    found = [name for name in allowed_actions(ticket.status) if name not in ("void", "urge")]
    if found and ticket.id % 7 == 0:
        found.append("void")
    found.append("urge" if "urge" in allowed_actions(ticket.status) else "reopen")
    found += [name for name in ("complete", "accept") if name in found]  # so that lives come to an end
    if life.asked:
        found += ["approve", "approve", "refuse"]
    if ticket.status not in ("closed", "void") and ticket.id % 3 == 0:
        found.append("order")
    if ticket.supervised:
        found += ["reply", "accept_reply", "refuse_reply"]
    return found


def _told_late(session: Session, life: One, ticket: Ticket, name: str) -> datetime:
    """A moment between the ticket's latest step and now, both included."""
    latest = change.latest_step(session, ticket, name)
    room = max(0, (life.now - latest) // timedelta(microseconds=1))
    return latest + timedelta(microseconds=life.chance.choice((0, room, life.chance.randint(0, room))))


def _pending(session: Session, ticket: Ticket) -> Extension | None:
    e: Any = Extension
    return session.execute(select(e).where(e.ticket_id == ticket.id, e.state == "pending")).scalar_one_or_none()


def _act(uow: UnitOfWork, life: One, ticket: Ticket, name: str, at: datetime | None) -> None:
    chance = life.chance
    words = {"reason": "理由", "note": "备注", "result": "已处理"}
    params: dict[str, Any] = {key: word for key, word in words.items() if key in TAKES[name]}
    if name in ("dispatch", "reassign"):
        params["unit"] = chance.choice(UNITS)
        if ticket.status == "returned" and chance.random() < 0.4 and ticket.unit_id is not None:
            params["unit"] = uow.ref.units[ticket.unit_id].code
    if name == "extend":
        params["days"] = chance.randint(1, 10)
    if name == "suspend" and chance.random() < 0.5:
        params["until"] = life.now + timedelta(days=1)
    lifecycle.act(uow, OFFICE, life.ticket_id, name, params, at=at)


def _call_back(uow: UnitOfWork, life: One, ticket: Ticket, name: str, at: datetime | None) -> None:
    outcome = life.chance.choice(("reached", "reached", "no_answer", "refused"))
    answers: dict[str, Any] = {"outcome": outcome}
    if outcome == "reached":
        answers |= {"satisfaction": life.chance.choice(("satisfied", "dissatisfied", None)),
                    "resolved": life.chance.choice((True, False, None)), "speed": life.chance.choice((None, 1, 5))}  # fmt: skip
    callbacks.record(uow, OFFICE, life.ticket_id, answers, at=at)


def _correct(uow: UnitOfWork, life: One, ticket: Ticket, name: str, at: datetime | None) -> None:
    chance = life.chance
    choices: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("priority", lambda: chance.choice(("normal", "urgent", "emergency"))),
        ("kind", lambda: chance.choice(KINDS)),
        ("severity", lambda: chance.choice((None, "major"))),
        ("received_at", lambda: f"{(ticket.received_at + timedelta(hours=chance.randint(-30, 30))).isoformat()}"),
        ("source_due_at", lambda: chance.choice((None, _later(chance, life.now).isoformat()))),
        ("unit", lambda: chance.choice(UNITS)),
    )
    patch = {key: make() for key, make in choices if chance.random() < 0.3}
    correct(uow, OFFICE, life.source, life.external_id, patch)


def _rule(uow: UnitOfWork, life: One, ticket: Ticket, name: str, at: datetime | None) -> None:
    pending = _pending(uow.session, ticket)
    if pending is None or pending.id is None:  # withdrawn: another unit has the ticket
        return
    extensions.rule(uow, RULER, pending.id, approve=name == "approve", params={})


def _order(uow: UnitOfWork, life: One, ticket: Ticket, name: str, at: datetime | None) -> None:
    if name == "order":
        orders.issue(uow, OFFICE, ticket.id, trigger_code="leader", demand=None, signatory=None)
        return
    live = order_book.find_live(uow.session, ticket.id)
    if live is None or live.id is None:
        return
    if name == "reply":
        orders.reply(uow, OFFICE, live.id, "已办")
    elif name == "accept_reply":
        orders.accept_reply(uow, OFFICE, live.id, None)
    else:
        orders.refuse_reply(uow, OFFICE, live.id, "不符")


_MOVES: dict[str, Callable[[UnitOfWork, One, Ticket, str, datetime | None], None]] = {
    "callback": _call_back, "correct": _correct, "approve": _rule, "refuse": _rule,
    "order": _order, "reply": _order, "accept_reply": _order, "refuse_reply": _order,
}  # fmt: skip


def contradictions(world: World) -> Iterator[str]:
    """What does not hold of the lives told: a deadline kept step by step that is not the one recomputed from the log, a
    chain that is broken, a deadline that runs on after the end."""
    for difference in verify.verify(world.runtime.database, world.runtime.reference, now=PHASES[-1]):
        yield f"kept is not recomputed: {difference.to_json()}"
    yield from world.wrong
    broken = seals.verify(world.runtime.database)
    if broken is not None:
        yield f"broken chain: {broken}"
    yield from running_after_the_end(world)


def out_of_date(world: World) -> Iterator[str]:
    """Deadlines that run and would stand elsewhere by the calendar in force: a recompute has left out one that it touches."""
    d: Any = Deadline
    t: Any = Ticket
    query = select(Deadline, t.unit_id, t.status).join(Ticket, t.id == d.ticket_id)
    with world.runtime.reading() as (session, ref):
        spans: dict[int, list[Any]] = {}
        for span in session.execute(select(Suspension)).scalars():
            spans.setdefault(span.ticket_id, []).append((span.from_at, span.to_at))
        for row, unit_id, status in session.execute(query.where(d.met_at.is_(None), d.cancelled_at.is_(None))):
            answer = deadlines.compute(ref, row, unit_id, spans.get(row.ticket_id, []))
            if (answer.due_at, answer.provisional) != (row.due_at, row.provisional):
                yield f"ticket {row.ticket_id} ({status}): {row.target} is {row.due_at}, by the calendar in force {answer}"


def running_after_the_end(world: World) -> Iterator[str]:
    """Deadlines still open where the ticket is closed or void; unit targets still open where it is completed; two of one
    target open at once; and live orders of ended tickets."""
    d: Any = Deadline
    t: Any = Ticket
    o: Any = SupervisionOrder
    query = (
        select(d.ticket_id, d.target, d.round, t.status)
        .join(Ticket, t.id == d.ticket_id)
        .where(d.met_at.is_(None), d.cancelled_at.is_(None))
    )
    seen: Counter[tuple[int, str]] = Counter()
    with world.runtime.database.read() as session:
        for ticket_id, target, round_, status in session.execute(query):
            seen[ticket_id, target] += 1
            unit = target in ("accept", "contact", "complete")
            if status in ("closed", "void") or (status == "completed" and unit):
                yield f"ticket {ticket_id} is {status} and its {target}-deadline {round_} runs on"
            if seen[ticket_id, target] == 2:
                yield f"ticket {ticket_id} has two {target}-deadlines running"
        ended = select(o.ticket_id).join(Ticket, t.id == o.ticket_id).where(o.live, t.status == "void")
        for (ticket_id,) in session.execute(ended):
            yield f"ticket {ticket_id} is void and its supervision order lives on"


def facts_that_differ(world: World, as_of: datetime, month: str) -> Iterator[str]:
    """Facts of a month as known at ``as_of`` that are not what the events until then tell."""
    zone = "Asia/Shanghai"
    period = parse_period("monthly", month, zone)
    events: dict[int, list[Event]] = {}
    with world.runtime.reading() as (session, ref):
        frame = gather(session, ref, period, as_of, relapse_days=30)
        e: Any = TicketEvent
        for row in session.execute(select(e.ticket_id, e.type, e.at, e.data).order_by(e.ticket_id, e.seq)):
            events.setdefault(row.ticket_id, []).append((row.type, row.at, row.data))
    end = min(period.end, as_of)
    for fact in frame.to_dict("records"):
        told = events[int(fact["ticket_id"])]
        life = life_until(told, as_of, included=True)
        told = as_known(told, life)
        expected = {name: getattr(life, name) for name in _ALIKE}
        expected |= {
            f"{target}_due_at": life.due.get(target) for target in ("accept", "contact", "complete", "callback")
        }
        expected |= {
            "start_state": life_until(told, period.start, included=False).state,
            "end_state": life_until(told, end, included=as_of < period.end).state,
            "callback_attempts": life.attempts, "score_speed": life.speed, "reopened": life.reopens,
            "returned": life.returns, "extended": life.extensions > 0, "suspended": life.was_suspended,
            "void": life.status == "void",
        }  # fmt: skip
        for name, value in expected.items():
            stored: Any = None if pd.isna(fact[name]) else fact[name]
            if stored != value:
                yield f"ticket {fact['ticket_id']} as of {as_of}: {name} is {stored}, its events tell {value}"


_ALIKE = (
    "kind", "unit", "first_unit", "priority", "severity", "status", "received_at", "dispatched_at", "accepted_at",
    "contacted_at", "completed_at", "first_completed_at", "closed_at", "voided_at", "satisfaction", "resolved",
    "supervised",
)  # fmt: skip


def unused(worlds: Sequence[World]) -> set[str]:
    """The actions of the table, and of extensions and orders, that no life took."""
    taken: Counter[str] = sum((world.steps for world in worlds), Counter())
    return {*TABLE, *_MOVES} - taken.keys()


# -- as many as asked for ----------------------------------------------------------------------------------------------


def _chunk(job: tuple[int, int, float]) -> tuple[int, Counter[str], Counter[str], list[str]]:
    n, seed, until = job
    if time.monotonic() > until:
        return 0, Counter(), Counter(), []
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        world = World.open(f"sqlite:///{Path(folder, 'lives.db').as_posix()}")
        try:
            tell(world, n, seed)
            wrong = list(contradictions(world))
            for as_of, month in ((PHASES[0], "2026-02"), (PHASES[2] + timedelta(hours=9), "2026-03")):
                wrong += facts_that_differ(world, as_of, month)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its seed, and the others go on
            wrong = [f"raised {type(error).__name__}: {str(error)[:500]}"]
        finally:
            world.runtime.close()
    return n, world.steps, world.refused, [f"seed {seed}: {line}" for line in wrong]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """``python -m tests.lives N``: tell N lives, and print what does not hold of them; exit code 1 where anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.lives")
    parser.add_argument("lives", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further chunk after so long")
    chosen = parser.parse_args()
    began = time.monotonic()

    jobs = [
        (min(chosen.chunk, chosen.lives - start), chosen.seed * 1_000_000 + number, began + chosen.seconds)
        for number, start in enumerate(range(0, chosen.lives, chosen.chunk))
    ]
    told, steps, refused, wrong = 0, Counter[str](), Counter[str](), list[str]()
    with multiprocessing.get_context("spawn").Pool(chosen.processes) as pool:
        for n, taken, denied, found in pool.imap_unordered(_chunk, jobs):
            if n == 0:
                continue
            told, wrong = told + n, wrong + found
            for line in found[:10]:
                _say(line)
            steps.update(taken)
            refused.update(denied)
            _say(f"{told} lives, {steps.total()} steps, {len(wrong)} contradictions")
            if len(wrong) > 20:
                break
    seconds = time.monotonic() - began
    _say(f"{told} lives, {steps.total()} steps taken, {refused.total()} refused, {seconds:.0f} s")
    _say(f"taken: {dict(steps.most_common())}")
    _say(f"refused: {dict(refused.most_common())}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
