"""The quarter as lives: from a seed and a clock to tickets with timed steps. Pure: nothing is read or written here.

``quarter`` draws the number of tickets of each day and their lives; ``cast`` adds the typical tickets of a board's last
day: nearly late, late, returned, under an order. Steps after the clock are omitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from random import Random

from app.demo.life import Pushed, Story, StoryWorld
from app.demo.matters import AGAIN, CRISIS, MATTERS, OPENINGS, Matter, fill, unit_of
from app.demo.people import Citizen, citizen
from app.demo.places import STRAINED, Location, place
from app.demo.plot import TURNS, StoryPlan, live
from app.domain.tickets.policies import Policy
from app.domain.time.due import Limit, shift
from app.domain.time.workcalendar import WorkCalendar

DAYS = 91
SOURCES = (
    ("12345", "12345 政务服务热线", "12345 hotline", "RX", 52.0),
    ("sulaiban", "速来办", "Sulaiban", "SLB", 21.0),
    ("louzhang", "楼长上报", "Building heads", "LZ", 12.0),
    ("wechat", "微信群", "WeChat groups", "WX", 9.0),
    ("visit", "来访", "Visits", "LF", 6.0),
)
"""Code, names, the letters its ids begin with, and its share."""
WEEK = (1.17, 1.08, 1.04, 1.0, 0.98, 0.79, 0.72)
"""Monday brings what the weekend left."""
HOURS = (5, 3, 2, 1, 1, 2, 6, 18, 44, 72, 70, 52, 30, 38, 60, 66, 62, 50, 34, 36, 40, 30, 20, 11)
"""Receipts by hour of the day: two peaks of office hours, and one after supper, when neighbours are at home."""
OPEN_FROM, OPEN_UNTIL = 9, 17
PER_DAY = 19.0
AGAIN_SHARE = 0.055


def quarter(
    seed: int, now: datetime, calendar: WorkCalendar, policies: tuple[Policy, ...], days: int = DAYS
) -> list[Story]:
    """Every life of the ``days`` days that end at ``now``, in order of receipt, with its external ids."""
    rng = Random(f"duban-demo-{seed}")  # noqa: S311 - a story, no secret
    world = StoryWorld(rng, calendar, policies, now)
    lives: list[Story] = []
    today = now.astimezone(calendar.zone).date()
    for back in range(days - 1, -1, -1):
        receipts = _receipts(rng, calendar, today - timedelta(days=back))
        lives += [_one(world, received, 1 - back / days) for received in receipts if received <= now]
    lives += [again for life in lives for again in _again(world, life)]
    lives += cast(world)
    lives.sort(key=lambda life: life.pushed.received_at)
    _name(lives, calendar)
    return lives


def _receipts(rng: Random, calendar: WorkCalendar, day: date) -> list[datetime]:
    """The moments of receipt on one day."""
    usual = PER_DAY * WEEK[day.weekday()] * rng.uniform(0.82, 1.2)
    if day.weekday() < 5 and not calendar.is_working_day(day):
        usual *= 0.62
    found = []
    for _ in range(round(usual)):
        hour = rng.choices(range(24), HOURS)[0]
        clock = time(hour, rng.randrange(60), rng.randrange(60))
        found.append(datetime.combine(day, clock, calendar.zone))
    return sorted(found)


def _one(world: StoryWorld, received: datetime, progress: float) -> Story:
    """An ordinary life with random receipt and steps. ``progress``: 0 at the quarter's start, 1 at its end."""
    rng = world.rng
    matter = rng.choices(MATTERS, [m.weight for m in MATTERS])[0]
    where = place(rng, urban=matter.urban)
    source = _source(rng, matter, received.astimezone(world.calendar.zone))
    life = _begin(world, matter, where, source, citizen(rng), received)
    turn = rng.choices([turn.name for turn in TURNS], [turn.weight for turn in TURNS])[0]
    strain = STRAINED.get(unit_of(matter, where), 0.75) * (1.35 - 0.7 * progress)  # the quarter grows better
    live(world, life, StoryPlan(turn, late=rng.random() < 0.017 * strain, cross=rng.random() < 0.012 * strain))
    return life


def _source(rng: Random, matter: Matter, local: datetime) -> str:
    """A window is open in office hours only, and building heads sleep at night."""
    weights = [share for *_, share in SOURCES]
    if local.weekday() > 4 or not OPEN_FROM <= local.hour < OPEN_UNTIL:
        weights[4] = 0.0
    if matter.personal or not 7 <= local.hour < 22:
        weights[2] = weights[3] = 0.0
    return rng.choices([code for code, *_ in SOURCES], weights)[0]


def _begin(
    world: StoryWorld, matter: Matter, where: Location, source: str, person: Citizen, received: datetime, *,
    parent: Story | None = None, priority: str | None = None,
) -> Story:  # fmt: skip
    """A fresh life: what is pushed, in words."""
    rng = world.rng
    kind = rng.choices(list(matter.kinds), list(matter.kinds.values()))[0]
    severity = rng.choices(("ordinary", "major", "grave"), (78, 17, 5))[0] if kind == "dispute" else None
    crisis = bool(matter.crises) and (
        priority == "emergency" or (parent is None and priority is None and rng.random() < 0.09)
    )
    case = parent.case if parent is not None else CRISIS if crisis else rng.choice(matter.cases)
    if parent is not None:
        title, detail = parent.pushed.title, fill(rng.choice(case.details), rng, where)
        title = rng.choice(("再次反映：", "多次反映：", "【重复】", "")) + title
    elif crisis:
        title, detail = (fill(text, rng, where) for text in rng.choice(matter.crises))
        kind, severity = "help", None
    else:
        title, detail = (fill(rng.choice(texts), rng, where) for texts in (case.titles, case.details))
    body = rng.choice(OPENINGS[source]) + _sentence(where, title, detail, rng)
    if parent is not None:
        body += rng.choice(AGAIN)
    body += "请立即派人处置。" if crisis else fill(rng.choice(matter.asks), rng, where)
    if priority is None:
        priority = "emergency" if crisis else "urgent" if rng.random() < 0.05 else "normal"
    knows_unit = source == "louzhang" or (source == "sulaiban" and rng.random() < 0.4)
    pushed = Pushed(
        title=title[:200],
        content=body,
        kind=kind,
        category=matter.code,
        priority=priority,
        severity=severity,
        received_at=received,
        reporter=person if person.phone else None,
        address=where.address,
        grid=where.grid,
        unit=unit_of(matter, where) if knows_unit else None,
        attributes={"channel": rng.choice(("热线", "小程序", "公众号"))} if source == "sulaiban" else None,
    )
    return Story(source, pushed, matter, where, person, parent, case)


def _sentence(where: Location, title: str, detail: str, rng: Random) -> str:
    bare = title.rsplit("：", maxsplit=1)[-1].removeprefix("【重复】")
    return rng.choice(
        (f"{where.address}，{bare}，{detail}", f"{bare}。{detail}", f"在{where.address}，{bare}。{detail}")
    )


def _again(world: StoryWorld, life: Story) -> Iterator[Story]:
    """Later reports of the same matter by the same person: most of them once, a few again and again."""
    rng = world.rng
    if rng.random() > AGAIN_SHARE or life.person.phone is None or life.pushed.kind in ("praise", "consult"):
        return
    received = life.pushed.received_at
    for _ in range(rng.choices((1, 2, 3, 4), (72, 18, 7, 3))[0]):
        received += timedelta(days=rng.uniform(2, 17), hours=rng.uniform(-3, 3))
        local = received.astimezone(world.calendar.zone)
        if not 8 <= local.hour < 21:
            received += timedelta(hours=10)
        if received > world.now:
            return
        again = _begin(world, life.matter, life.place, life.source, life.person, received, parent=life)
        live(
            world,
            again,
            StoryPlan("plain", late=rng.random() < 0.05, cross=rng.random() < 0.05, ordered=rng.random() < 0.3),
        )
        yield again


CAST = (
    # turn, working days before now, how many
    ("late_open", 6.6, 2), ("late_open", 7.3, 2), ("late_open", 6.2, 1), ("late_replied", 8.4, 2), ("late_twice", 11.5, 2),
    ("late_refused", 9.3, 1), ("due_soon", 4.3, 3), ("due_soon", 4.7, 3), ("due_soon", 5.1, 4), ("cross_open", 5.2, 2),
    ("cross_open", 4.4, 1), ("suspended_open", 4.5, 2), ("suspended_open", 9.0, 1), ("returned_open", 2.2, 3),
    ("asked_open", 4.6, 4), ("unaccepted", 2.2, 3), ("unanswered", 3.6, 4), ("uncalled", 6.0, 3), ("undispatched", 0.02, 3),
    ("undispatched", 0.05, 2), ("crisis_open", 0.1, 1), ("leader_open", 3.2, 2),
    ("late_twice", 19.3, 2), ("late_twice", 28.6, 2), ("late_twice", 41.4, 1), ("late_twice", 52.5, 1),
    ("suspended_open", 33.4, 1), ("suspended_open", 55.7, 1),
)  # fmt: skip


def cast(world: StoryWorld) -> Iterator[Story]:
    """The lives that a board shows on its last day, in each state there is."""
    rng = world.rng
    plain = [m for m in MATTERS if "consult" not in m.kinds and "praise" not in m.kinds and "dispute" not in m.kinds]
    crises = [m for m in MATTERS if m.crises]
    for turn, days, count in CAST:
        for _ in range(count):
            matter = rng.choice(crises if turn == "crisis_open" else plain)
            received = _before(world, days, rng)
            priority = "emergency" if turn == "crisis_open" else "normal"
            source = rng.choice(("12345", "12345", "sulaiban", "wechat"))
            life = _begin(world, matter, place(rng, urban=matter.urban), source, citizen(rng), received,
                          priority=priority)  # fmt: skip
            life.pushed = replace(life.pushed, unit=None, kind="complaint" if turn != "crisis_open" else "help")
            live(world, life, StoryPlan(turn))
            yield life


def _before(world: StoryWorld, days: float, rng: Random) -> datetime:
    """So many working days before the clock; parts of a day are natural minutes."""
    if days < 1:
        return world.now - timedelta(minutes=days * 600 + rng.uniform(0, 8))
    back = shift(world.calendar, world.now, Limit("working_days", -int(days), ends="same_time"))
    day = back.astimezone(world.calendar.zone).date()
    clock = time(9 + int((1 - days % 1) * 8), rng.randrange(60), rng.randrange(60))
    return min(datetime.combine(day, clock, world.calendar.zone), world.now - timedelta(minutes=5))


def _name(lives: list[Story], calendar: WorkCalendar) -> None:
    """Give every ticket the id its source would have given it: letters, date, number of the day."""
    letters = {code: prefix for code, _, _, prefix, _ in SOURCES}
    counts: Counter[tuple[str, date]] = Counter()
    for life in lives:
        day = life.pushed.received_at.astimezone(calendar.zone).date()
        counts[life.source, day] += 1
        number = f"{letters[life.source]}{day:%Y%m%d}{counts[life.source, day]:04d}"
        life.pushed = replace(life.pushed, external_id=number)
    for life in lives:
        if life.parent is not None:
            life.pushed = replace(life.pushed, parent_external_id=life.parent.pushed.external_id)
