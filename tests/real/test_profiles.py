"""The cities' own files under the bundled profiles: every row is taken, and the published answers come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.rows.profile import load_profile
from ingest.rows.ticket_in import HistoricalTicket
from ingest.rows.validate import MappedRow, map_rows, open_mapped

pytestmark = pytest.mark.real

BOSTON = [f"boston311_animal_{year}.csv.gz" for year in (2013, 2014, 2015, 2016)]


def tickets(folder: Path, profile: str, *names: str) -> Iterator[HistoricalTicket]:
    """The tickets of the files, none of whose rows may be refused."""
    for name in names:
        with open_mapped(folder / name, load_profile(profile)) as source:
            for result in map_rows(source):
                assert isinstance(result, MappedRow), (name, result)
                yield result.ticket
            assert source.file.consumed == source.file.total


def test_pingshan_gives_each_month_its_published_verdicts(real_data: Path) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    months: dict[str, Counter[str | None]] = {}
    spellings: dict[str, set[str]] = {}
    for ticket in tickets(real_data, "pingshan", "pingshan_msq_2018-02_to_2018-09.utf8.csv.gz"):
        assert ticket.received_at is not None
        months.setdefault(f"{ticket.received_at.astimezone(zone):%Y-%m}", Counter())[ticket.verdict()] += 1
        assert (ticket.status == "completed") == (ticket.verdict() is not None)
        assert ticket.completed_at is None
        spellings.setdefault(ticket.unit or "", set()).update(node.name for node in ticket.unit_path)
    assert {month: (c.total(), c["on_time"], c["late"], c[None]) for month, c in months.items()} == {
        "2018-02": (185, 151, 34, 0),
        "2018-03": (8, 5, 3, 0),
        "2018-06": (204, 182, 22, 0),
        "2018-07": (476, 418, 58, 0),
        "2018-08": (547, 465, 82, 0),
        "2018-09": (2561, 2264, 295, 2),
    }
    assert len(spellings) == 105
    assert all(len(names) <= 1 for names in spellings.values())


def test_pingshan_is_the_same_in_gb18030(real_data: Path, tmp_path: Path) -> None:
    name = "pingshan_msq_2018-02_to_2018-09.utf8.csv.gz"
    with open_mapped(real_data / name, load_profile("pingshan")) as source:
        header, rows = list(source.file.columns), [list(row.cells) for row in source.file.rows()]
    copy = tmp_path / "gb.csv"
    lines = (",".join(f'"{cell}"' for cell in row) for row in [header, *rows])
    copy.write_bytes("\r\n".join(lines).encode("gb18030"))
    assert list(tickets(tmp_path, "pingshan", "gb.csv")) == list(tickets(real_data, "pingshan", name))


def test_baltimore_has_9555_closed_of_which_7988_on_time(real_data: Path) -> None:
    verdicts: Counter[tuple[str, str | None]] = Counter()
    identifiers = set()
    for ticket in tickets(real_data, "baltimore311", "baltimore311_10k.csv.gz"):
        verdicts[ticket.status, ticket.verdict()] += 1
        identifiers.add(ticket.external_id)
    assert (verdicts["closed", "on_time"], verdicts["closed", "late"]) == (7_988, 1_567)
    assert (verdicts["void", None], len(identifiers)) == (10, 10_000)


def test_every_boston_verdict_from_the_times_is_the_citys_own(real_data: Path) -> None:
    seen: Counter[tuple[str | None, str | None]] = Counter()
    for ticket in tickets(real_data, "boston311", *BOSTON):
        assert ticket.source_verdict is None
        seen[ticket.verdict(), ticket.source_flag] += 1
    assert seen.total() == 22_078
    assert {pair: count for pair, count in seen.items() if pair[0]} == {
        ("on_time", "on_time"): 10_821,
        ("late", "late"): 390,
    }
