"""Compute a report: the facts of its period, compared with earlier periods as known at the same age."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pandas as pd
from sqlalchemy import func, select
from sqlmodel import Session, col

from app.models import Report, Ticket
from app.services.core.reference import Node, Reference
from reports.editions import store as editions
from reports.editions.store import RUNNING, UnsealedReport
from reports.facts.frame import empty
from reports.facts.gather import gather, names_of
from reports.figures.body import EarlierFacts, Point, compute, figures_of
from reports.figures.counting import Figure, Figures
from reports.metrics import definitions_version
from reports.period import Period, last_ended, moment_at_same_age

_NEAR = 30
"""A sealed edition stands in for an earlier period's figures where its ``as_of`` is off by this part of it at most."""


def make(
    session: Session, ref: Reference, period: Period, as_of: datetime, *, unit: Node | None, relapse_days: int
) -> UnsealedReport:
    """Compute the report of ``period`` (not of kind ``clear-out``) as known at ``as_of``, with comparisons and series.

    Writes nothing. Raises BalanceBroken.
    """
    scope = unit.code if unit else ""
    past = _Past(session, ref, period, as_of, unit, relapse_days)
    facts = past.gather(period, as_of)
    compared = {"previous": period.previous(), "last_year": period.last_year()}
    body = compute(
        facts,
        period,
        as_of,
        {"unit": scope or None},
        names=names_of(ref),
        past={key: past.earlier_facts(other) for key, other in compared.items()},
        series=[past.point(other, facts) for other in period.series()],
    ).as_json()
    draft = UnsealedReport(period, as_of, scope, body, facts)
    del body["hash"]
    body |= {"time_zone": period.zone, "running": draft.running}
    return draft


@cache
def _nothing() -> pd.DataFrame:
    """The facts of a period without tickets: one shared empty frame."""
    return empty()


@cache
def _no_figures() -> Figures:
    """The figures of a period without tickets."""
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    return figures_of(_nothing(), last_ended("daily", moment, "UTC"), moment)


class _Past:
    """Earlier periods at the age of the current one, read from sealed editions where possible, else computed; each once."""

    def __init__(
        self, session: Session, ref: Reference, this: Period, as_of: datetime, unit: Node | None, relapse_days: int
    ) -> None:
        self.session, self.ref, self.this, self.as_of, self.unit = session, ref, this, as_of, unit
        self.relapse_days = relapse_days
        self._held: dict[str, EarlierFacts] = {}
        self._begins = session.execute(select(func.min(col(Ticket.received_at)))).scalar_one()
        self._sealed = self._editions([*this.series(), this.previous(), this.last_year()])

    def gather(self, period: Period, as_of: datetime) -> pd.DataFrame:
        """Gather the facts of a period within the scope."""
        if self._begins is None or self._begins >= period.end.astimezone(UTC):
            return _nothing()  # A new installation has many empty periods; each would cost thirteen queries.
        return gather(
            self.session, self.ref, period, as_of, relapse_days=self.relapse_days,
            unit_id=self.unit.id if self.unit else None,
        )  # fmt: skip

    def earlier_facts(self, period: Period) -> EarlierFacts:
        """Return an earlier period with its facts."""
        if period.key not in self._held:
            report_id, as_of = self._nearest(period)
            if report_id is None:
                facts = self.gather(period, as_of)
            else:
                query = select(col(Report.facts)).where(col(Report.id) == report_id)
                facts = editions.from_parquet(self.session.execute(query).scalar_one())
            self._held[period.key] = EarlierFacts(period, as_of, facts)
        return self._held[period.key]

    def point(self, period: Period, facts: pd.DataFrame) -> Point:
        """Return one point of the series; ``facts`` are the current period's."""
        if period == self.this:
            return Point(period, self.as_of, figures_of(facts, period, self.as_of))
        report_id, as_of = self._nearest(period)
        if report_id is not None:
            query = select(col(Report.body)).where(col(Report.id) == report_id)
            return Point(period, as_of, _figures(self.session.execute(query).scalar_one()["figures"]))
        past = self.earlier_facts(period)
        if past.facts is _nothing():
            return Point(period, past.as_of, _no_figures())
        return Point(period, past.as_of, figures_of(past.facts, period, past.as_of))

    def _editions(self, periods: list[Period]) -> dict[str, list[tuple[int, datetime]]]:
        query = select(col(Report.period), col(Report.id), col(Report.as_of)).where(
            col(Report.kind) == periods[0].kind,
            col(Report.period).in_(sorted({period.key for period in periods} - {self.this.key})),
            col(Report.scope) == (self.unit.code if self.unit else ""),
            col(Report.definitions_version) == definitions_version(),
            col(Report.edition) > RUNNING,
        )
        found: dict[str, list[tuple[int, datetime]]] = {}
        for key, report_id, as_of in self.session.execute(query.order_by(col(Report.edition))):
            found.setdefault(key, []).append((report_id or 0, as_of))
        return found

    def _nearest(self, period: Period) -> tuple[int | None, datetime]:
        """Return the edition that represents ``period`` and its ``as_of``; else None and the moment to compute it as of."""
        wanted = min(moment_at_same_age(period, self.this, self.as_of), self.as_of)
        allowed = (period.end.astimezone(UTC) - period.start.astimezone(UTC)) / _NEAR
        near = [
            (abs(as_of - wanted), -report_id, report_id, as_of) for report_id, as_of in self._sealed.get(period.key, ())
        ]
        if near and min(near)[0] <= allowed:
            return min(near)[2:]
        return None, wanted


def _figures(body: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Return figures as stored in a sealed body; JSON decimals are the rounded values that were written."""
    found: Figures = {}
    for key, figure in body.items():
        value = figure["value"]
        exact = Decimal(str(value)) if isinstance(value, float) else value
        found[key] = Figure(exact, figure.get("numerator"), figure.get("denominator"), figure.get("n"))
    return found
