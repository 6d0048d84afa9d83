"""What becomes of a ticket: how a plan turns into timed steps, from dispatch to the last callback.

The times follow the rules that the services will apply (``StoryWorld.due``), so that what is meant to be in time is in time,
and what is meant to be late is found late by the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.demo import matters as texts
from app.demo.life import Story, StoryStep, StoryWorld
from app.demo.matters import fill, unit_of
from app.demo.places import STRAINED


@dataclass(frozen=True, slots=True)
class Turn:
    """One way a life may go, and how often of a hundred."""

    name: str
    weight: float


TURNS = (
    Turn("plain", 86.2), Turn("returned", 3.0), Turn("return_refused", 0.7), Turn("returned_twice", 0.4),
    Turn("reassigned", 2.2), Turn("extended", 2.7), Turn("extension_refused", 0.8), Turn("suspended", 2.6),
    Turn("void_early", 0.9), Turn("void_late", 0.5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoryPlan:
    """What is to become of a life: its turn, whether it is late, whether its citizen is dissatisfied (``cross``), and
    whether a supervisor's order is issued because the matter comes again (``ordered``)."""

    turn: str
    late: bool = False
    cross: bool = False
    ordered: bool = False


UNFINISHED = frozenset({"late_open", "late_replied", "late_refused", "late_twice", "due_soon", "asked_open",
                        "suspended_open", "crisis_open", "leader_open"})  # fmt: skip
QUICK = frozenset({"cross_open", "unanswered", "uncalled"})


def live(world: StoryWorld, life: Story, plan: StoryPlan) -> None:
    """Write the steps of ``life`` that lie before the world's clock."""
    plot = _Plot(world, life, plan)
    plot.run()
    life.steps = sorted((step for step in plot.steps if step.at <= world.now), key=lambda step: step.at)


class _Plot:
    """One life under construction: its current time, its unit, and its due time."""

    def __init__(self, world: StoryWorld, life: Story, plan: StoryPlan) -> None:
        self.world, self.rng, self.life, self.plan = world, world.rng, life, plan
        self.policy = world.policy(life)
        self.limit = self.policy.limits["complete"]
        self.steps: list[StoryStep] = []
        self.t = life.pushed.received_at
        self.unit = life.pushed.unit or ""
        self.start = self.due = self.t
        self.crisis = life.pushed.priority == "emergency"

    # -- the course of it

    def run(self) -> None:
        turn = self.plan.turn
        if turn == "undispatched":
            return
        if turn == "void_early":
            self.add(self.world.soon(self.t, 10, 80), "void", "dispatcher", reason=self.rng.choice(texts.VOIDS))
            return
        self.dispatch()
        if turn == "unaccepted":
            return
        self.detours()
        if turn == "returned_open":
            return
        if turn == "void_late":
            self.add(self.world.after(self.t, 1, 6), "void", "dispatcher", reason=self.rng.choice(texts.VOIDS))
            return
        self.delays()
        if turn in UNFINISHED:
            self.leave_open()
            return
        self.finish()
        if turn != "uncalled":
            self.call_back(1)

    def detours(self) -> None:
        """Sign for it, unless it is sent back or on first."""
        turn = self.plan.turn
        if turn in ("returned", "returned_twice", "returned_open", "return_refused"):
            for _ in range(2 if turn == "returned_twice" else 1):
                if self.rng.random() < 0.4:
                    self.accept()
                self.add(self.world.after(self.t, 0.8, 5), "return", "unit", reason=self.rng.choice(texts.RETURNS))
                if turn == "returned_open":
                    return
                self.send_on("dispatch", keep=turn == "return_refused")
        elif turn == "reassigned":
            self.accept()
            self.send_on("reassign", reason=self.rng.choice(texts.REASSIGNS))
        self.accept()
        self.contact()

    def delays(self) -> None:
        """What moves the deadline, and who presses."""
        turn = self.plan.turn
        if self.plan.ordered:
            self.order("supervisor", "repeated")
        if turn == "leader_open":
            self.order("leader", "leader")
        if turn in ("extended", "extension_refused", "asked_open") and not self.crisis:
            self.extension(turn)
        elif turn in ("suspended", "suspended_open") and not self.crisis:
            self.suspension(ends=turn == "suspended")
        if self.rng.random() < 0.05 and turn not in ("asked_open", "suspended_open"):
            for _ in range(self.rng.choice((1, 1, 2))):
                self.add(self.world.after(self.t, 0.5, 4), "urge", "caller", note=self.rng.choice(texts.URGES))

    def dispatch(self) -> None:
        if self.unit:  # its source has sent it there already
            self.begin_clock(self.t)
            return
        self.unit = unit_of(self.life.matter, self.life.place)
        at = self.minutes(1, 6) if self.crisis else self.world.soon(self.t, 3, 45)
        self.add(at, "dispatch", "dispatcher", unit=self.unit)
        self.begin_clock(at)

    def send_on(self, action: str, *, keep: bool = False, **more: Any) -> None:
        """To another unit, with a fresh clock; or back to the same one (``keep``), whose clock runs on."""
        if not keep:
            ways = (self.life.matter.other, self.life.matter.unit, "town", "station")
            codes = [unit_of(self.life.matter, self.life.place, way) for way in ways]
            self.unit = next(code for code in codes if code != self.unit)
        at = self.minutes(6, 30) if self.crisis else self.world.soon(self.t, 15, 110)
        self.add(at, action, "dispatcher", unit=self.unit, **more)
        if not keep:
            self.begin_clock(at)

    def begin_clock(self, at: datetime) -> None:
        self.start = at
        self.due = self.world.due(at, self.limit)

    def accept(self) -> None:
        slow = self.rng.random() < 0.01 * STRAINED.get(self.unit, 0.8)
        if self.crisis:
            at = self.minutes(2, 14)
        elif slow:
            at = self.world.after(self.world.due(self.start, self.policy.limits["accept"]), 0.2, 3)
        elif self.unit.startswith("GA-"):  # a police station is open at all hours
            at = self.world.soon(self.t, 4, 75)
        else:
            at = self.world.after(self.t, 0.1, 3.5)
        self.add(at, "accept", "unit")

    def contact(self) -> None:
        if self.rng.random() < 0.015 and not self.crisis:
            return
        at = self.minutes(4, 18) if self.crisis else self.world.after(self.t, 0.2, 3)
        self.add(at, "contact", "unit", note=self.rng.choice(texts.CONTACTS))

    def order(self, by: str, trigger: str) -> None:
        signatory = "分管副县长" if by == "leader" else "督办室"
        self.add(self.world.after(self.t, 0.5, 4), "order", by, trigger=trigger, signatory=signatory,
                 demand=self.rng.choice(texts.DEMANDS))  # fmt: skip

    def extension(self, turn: str) -> None:
        asked = max(
            self.world.between(self.start, self.due, self.rng.uniform(0.5, 0.75)), self.world.after(self.t, 0.1, 0.4)
        )
        days = self.rng.choice((3, 5, 5, 7, 10))
        if asked >= self.due:
            return
        self.add(asked, "extend", "unit", days=days, reason=self.rng.choice(texts.EXTENSIONS))
        if turn == "asked_open":
            return
        approve = turn == "extended"
        note = "情况属实，同意延期。" if approve else "理由不充分，请按期办结。"
        self.add(self.world.after(asked, 0.5, 3), "rule", self.rng.choice(("supervisor", "supervisor", "leader")),
                 approve=approve, note=note)  # fmt: skip
        if approve:
            self.due = self.world.due(self.start, self.limit, days)

    def suspension(self, *, ends: bool) -> None:
        begins = self.world.after(self.t, 0.5, 4)
        if begins >= self.due:
            return
        reason = self.rng.choice(texts.SUSPENSIONS)
        resumes = self.world.after(begins, 7, 40)
        # asked for with room: it ends when the unit is ready, else by itself
        until = resumes + timedelta(days=1) if ends else max(resumes, self.world.now + timedelta(days=3))
        self.add(begins, "suspend", "unit", reason=reason, until=until.replace(second=0, microsecond=0))
        if ends:
            self.add(resumes, "resume", "unit")
            self.due = self.world.due(self.start, self.limit, 0, [(begins, resumes)])

    # -- how it ends

    def leave_open(self) -> None:
        """Not completed when the story ends; what the office does about it meanwhile."""
        turn = self.plan.turn
        if turn.startswith("late") and self.rng.random() < 0.6:
            self.acknowledge()
        if turn in ("late_replied", "late_refused"):
            self.add(self.world.after(self.due, 2, 7), "reply", "unit", text=self.rng.choice(texts.REPLIES))
        if turn == "late_refused":
            self.add(self.world.after(self.t, 1, 4), "refuse_reply", "supervisor",
                     ruling=self.rng.choice(texts.RULINGS_BAD))  # fmt: skip

    def acknowledge(self) -> None:
        at = (
            self.due + timedelta(minutes=self.rng.uniform(2, 40)) if self.crisis else self.world.after(self.due, 0.1, 2)
        )
        self.steps.append(StoryStep(at, "ack", "supervisor"))

    def finish(self) -> None:
        if self.plan.late:
            at = self.lateness()
        elif self.crisis:
            at = min(self.minutes(8, 45), self.due - timedelta(minutes=3))
        elif self.plan.turn in QUICK:
            at = self.world.after(self.t, 3, 9)
        else:
            share = 0.06 + 0.9 * self.rng.betavariate(1.7, 2.5)
            at = self.world.between(self.start, self.due, share)
        if at <= self.t:
            at = self.minutes(3, 9) if self.crisis else self.world.after(self.t, 0.2, 1.2)
        self.complete(at)

    def lateness(self) -> datetime:
        """A little late mostly; now and then so late that the supervision order runs out too."""
        self.acknowledge()
        if self.crisis:
            return self.due + timedelta(minutes=self.rng.uniform(12, 90))
        least, most = self.rng.choices(((0.4, 8), (8, 18), (22, 36)), (72, 20, 8))[0]
        at = self.world.after(self.due, least, most)
        if least >= 8 and self.rng.random() < 0.5:
            replied = self.world.after(self.due, 1, 4)
            self.steps.append(StoryStep(replied, "reply", "unit", {"text": self.rng.choice(texts.REPLIES)}))
            ruled = self.world.after(replied, 0.5, 3)
            good = self.rng.random() < 0.7
            words = texts.RULINGS_GOOD if good else texts.RULINGS_BAD
            action = "accept_reply" if good else "refuse_reply"
            self.steps.append(StoryStep(ruled, action, "supervisor", {"ruling": self.rng.choice(words)}))
        return at

    def complete(self, at: datetime) -> None:
        result = fill(self.rng.choice(self.life.case.results), self.rng, self.life.place)
        self.add(at, "complete", "unit", result=result + self.rng.choice(texts.CLOSINGS))

    def call_back(self, attempt: int) -> None:
        """Ask the citizen; where that ends in another round, live through it."""
        chance = self.rng.random()
        late = self.rng.random() < 0.012
        self.t = self.world.after(self.t, 14, 18) if late else self.world.after(self.t, 0.8, 7)
        turn = self.plan.turn
        if turn == "unanswered":
            for _ in range(self.rng.choice((1, 2))):
                self.ring()
            return
        if turn == "cross_open" or (self.plan.cross and (attempt == 1 or (attempt < 4 and chance < 0.12))):
            self.hear(False)
            if turn != "cross_open":
                self.once_more(attempt)
        elif chance < 0.014:
            for _ in range(3):
                self.ring()
        elif chance < 0.026:
            self.add(self.t, "callback", "caller", outcome="refused", remark="群众表示不便接受回访")
        else:
            if chance < 0.095:
                self.ring()
            self.hear(True)

    def ring(self) -> None:
        """Nobody answers; the next attempt is in another half-day."""
        self.add(self.t, "callback", "caller", outcome="no_answer")
        local = self.t.astimezone(self.world.calendar.zone)
        noon = local.replace(hour=13, minute=30) if local.hour < 12 else local.replace(hour=23, minute=0)
        self.t = self.world.after(noon, 0.3, 2.5)

    def hear(self, content: bool) -> None:
        """The citizen answers."""
        if content:
            grade = self.rng.choices(("very_satisfied", "satisfied", "basically_satisfied"), (47, 47, 6))[0]
            remark = self.rng.choice(texts.SO_SO if grade == "basically_satisfied" else texts.GLAD)
            resolved = grade != "basically_satisfied" or self.rng.random() < 0.8
        else:
            grade = self.rng.choices(("dissatisfied", "very_dissatisfied"), (4, 1))[0]
            remark, resolved = self.rng.choice(texts.CROSS), False
        low, high = {"very_satisfied": (4, 5), "satisfied": (4, 5), "basically_satisfied": (3, 4)}.get(grade, (1, 3))
        scores = {}
        if self.rng.random() < 0.85:
            scores = {key: self.rng.randint(low, high) for key in ("speed", "attitude", "result_score")}
            scores["attitude"] = min(5, scores["attitude"] + self.rng.choice((0, 0, 1)))
        self.add(self.t, "callback", "caller", outcome="reached", satisfaction=grade, resolved=resolved,
                 remark=remark or None, **scores)  # fmt: skip

    def once_more(self, attempt: int) -> None:
        """Reopened: the unit goes there again, inside the limit of the supervision order."""
        began = self.t
        self.add(self.world.after(began, 0.3, 3), "contact", "unit", note=self.rng.choice(texts.CONTACTS))
        at = self.world.between(
            began, self.world.due(began, self.policy.limits["supervise"]), self.rng.uniform(0.3, 0.85)
        )
        self.complete(max(at, self.world.after(self.t, 0.2, 1)))
        self.call_back(attempt + 1)

    # -- small things

    def add(self, at: datetime, action: str, by: str, **params: Any) -> None:
        self.steps.append(StoryStep(at, action, by, params))
        self.t = at

    def minutes(self, least: float, most: float) -> datetime:
        return self.t + timedelta(minutes=self.rng.uniform(least, most))
