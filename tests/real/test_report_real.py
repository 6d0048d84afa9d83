"""The cities' own files, imported, reported on, and held against what they say themselves; every list as long as its figure."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.config import Settings
from app.runtime import Runtime
from app.security.principal import SYSTEM
from ingest.files.importer import import_file
from ingest.rows.profile import load_profile
from reports import service
from reports.editions import store as editions
from reports.figures.body import tickets_behind

pytestmark = pytest.mark.real

NOW = datetime.fromisoformat("2026-11-02T09:00:00+08:00")
PINGSHAN = {
    "2018-02": (185, 151, 34, 0),
    "2018-03": (8, 5, 3, 0),
    "2018-06": (204, 182, 22, 0),
    "2018-07": (476, 418, 58, 0),
    "2018-08": (547, 465, 82, 0),
    "2018-09": (2561, 2264, 295, 2),
}
BOSTON = [f"boston311_animal_{year}.csv.gz" for year in (2013, 2014, 2015, 2016)]


def imported(url: str, folder: Path, profile: str, *names: str, zone: str = "Asia/Shanghai") -> tuple[Runtime, int]:
    """A service that has taken the files in, and how many tickets that made; no row may be refused."""
    runtime = Runtime.open(Settings(database_url=SecretStr(url), time_zone=zone), NOW)
    created = 0
    for name in names:
        done = import_file(runtime, folder / name, load_profile(profile), NOW)
        assert done.tally.rejected == 0
        created += done.tally.created
    return runtime, created


def made(runtime: Runtime, kind: str, period: str) -> dict[str, Any]:
    return service.produce(runtime, SYSTEM, kind, period, now=NOW).document


def test_pingshan_s_months_come_out_of_the_reports_exactly(real_data: Path, database_url: str) -> None:
    runtime, created = imported(database_url, real_data, "pingshan", "pingshan_msq_2018-02_to_2018-09.utf8.csv.gz")
    assert created == 3981
    for month, (received, on_time, late, neither) in PINGSHAN.items():
        report = made(runtime, "monthly", month)
        figures = report["figures"]
        assert figures["received"] == {"value": received}, month
        assert (figures["on_time"]["value"], figures["overdue"]["value"]) == (on_time, late), month
        assert received - figures["completed"]["value"] == neither, month
        assert report["verdicts_from_source"] == on_time + late
        assert (figures["on_time_rate"]["numerator"], figures["on_time_rate"]["denominator"]) == (
            on_time,
            on_time + late,
        )
        for dimension in ("unit", "category", "source", "kind", "grid", "priority"):
            tops = [row for row in report[f"by_{dimension}"] if row.get("parent") is None]
            assert sum(row["figures"]["received"]["value"] for row in tops) == received, (month, dimension)
    september = made(runtime, "monthly", "2018-09")
    assert september["figures"]["on_time_rate"]["value"] == 0.8847
    assert {point["period"]: point["figures"]["received"]["value"] for point in september["series"]} == {
        **{f"2017-{n:02}": 0 for n in range(9, 13)}, "2018-01": 0, "2018-04": 0, "2018-05": 0,
        **{month: counts[0] for month, counts in PINGSHAN.items()},
    }  # fmt: skip
    runtime.close()


def _every_list_is_as_long_as_its_figure(runtime: Runtime, period: str) -> None:
    with runtime.reading() as (session, ref):
        (row,) = service.list_reports(session, ref, SYSTEM, period=period)
        report = service.get(session, ref, SYSTEM, row["id"])
        editions.verify(report)
        sealed, body = editions.sealed_facts(report), editions.document(report)
        for unit in body["by_unit"][:20]:
            for key in ("received", "on_time", "overdue", "completed"):
                ids = tickets_behind(sealed.facts, sealed.period, sealed.as_of, key, f"unit:{unit['code']}")
                assert len(ids) == unit["figures"][key]["value"], (unit["code"], key)


def test_baltimore_closed_7988_on_time_and_1567_late(real_data: Path, sqlite_url: str) -> None:
    zone = "America/New_York"
    runtime, created = imported(sqlite_url, real_data, "baltimore311", "baltimore311_10k.csv.gz", zone=zone)
    assert created == 10_000
    period = "2000-01-01..2025-12-31"
    figures = made(runtime, "range", period)["figures"]
    late_and_closed = figures["overdue"]["value"] - figures["overdue_open"]["value"]
    assert (figures["on_time"]["value"], late_and_closed) == (7_988, 1_567)
    _every_list_is_as_long_as_its_figure(runtime, period)
    runtime.close()


def test_boston_s_verdicts_from_the_times_come_out(real_data: Path, sqlite_url: str) -> None:
    zone = "America/New_York"
    runtime, created = imported(sqlite_url, real_data, "boston311", *BOSTON, zone=zone)
    figures = made(runtime, "range", "2000-01-01..2025-12-31")["figures"]
    late_and_closed = figures["overdue"]["value"] - figures["overdue_open"]["value"]
    assert created == figures["received"]["value"]
    assert (figures["on_time"]["value"], late_and_closed) == (10_821, 390)
    runtime.close()
