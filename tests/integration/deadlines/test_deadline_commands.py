"""``duban deadline``, ``duban calendar`` and ``duban policy`` as they are typed: what they print, and how they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.config import get_settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """``run("deadline", "--days", "5")``: the exit code, and what went to stdout and to stderr, in English."""
    monkeypatch.setenv("DUBAN_DATABASE_URL", database_url)
    monkeypatch.setenv("DUBAN_LANG", "en")
    get_settings.cache_clear()

    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["duban", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    yield typed
    get_settings.cache_clear()


def test_a_deadline_with_its_receipt(run: Run) -> None:
    assert run("deadline", "--start", "2026-02-13T16:00", "--days", "5") == (0, "2026-02-27T17:30:00+08:00\n", "")
    assert run("deadline", "--start", "2026-02-24T09:00+08:00", "--days", "-1")[1] == "2026-02-14T17:30:00+08:00\n"
    assert run("deadline", "--start", "2026-12-30T16:00", "--days", "5")[1].endswith("(provisional)\n")
    told = run("deadline", "--start", "2026-02-13T16:00", "--days", "2", "--explain")[1].splitlines()
    assert told[6:8] == [
        "2026-02-14 Sat  Spring Festival make-up workday, day 1", "2026-02-15 Sun  not counted: Spring Festival",
    ]  # fmt: skip
    as_json = json.loads(run("deadline", "--start", "2026-02-13T16:00", "--hours", "1.5", "--explain", "--json")[1])
    assert (as_json["due_at"], as_json["provisional"]) == ("2026-02-13T17:30:00+08:00", False)
    assert [line["verdict"] for line in as_json["receipt"]] == ["started", "due"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--start", "9999-12-31T10:00", "--days", "5"],
            "duban: --start: the year must be within 1900–2999, not 9999\n",
        ),
        (["--start", "2026-02-29T10:00", "--days", "5"], "duban: --start: '2026-02-29T10:00' is not a time; "),
        (["--start", "2026-02-13T16:00", "--days", "1000000000"], "duban: --days: must be within ±20,000\n"),
        (
            ["--start", "2026-02-13T16:00", "--hours", "nan"],
            "duban: --hours: must be a finite number, not NaN or infinity\n",
        ),
        (["--start", "2026-02-13T16:00", "--days", "5", "--code", "nope"], "duban: no calendar 'nope'\n"),
    ],
)
def test_a_deadline_that_cannot_be_is_refused_in_one_line(run: Run, words: list[str], said: str) -> None:
    code, out, err = run("deadline", *words)
    assert (code, out) == (1, "")
    assert err.startswith(said)
    assert err.count("\n") == 1


FILES = {
    "twice.json": '{"year": 2027, "days": [{"name": "a", "date": "2027-01-01", "isOffDay": true},'
    ' {"name": "a", "date": "2027-01-01", "isOffDay": true}]}',
    "years.json": '{"year": 2027, "year": 2028, "days": []}',
    "feb.json": '{"year": 2027, "days": [{"name": "a", "date": "2027-02-29", "isOffDay": true}]}',
    "feb.csv": "date,kind,name\n2027-02-29,off,x\n",
    "hours.csv": "date,kind,name,hours\n2027-03-01,work,x,09:00-12:00 11:00-13:00\n",
    "feb.ics": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20270229\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n",
    "letter.pdf": "Dear office",
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("twice.json", "/days/1/date: 2027-01-01 stands twice"),
        ("years.json", "/year: 'year' stands twice in one object"),
        ("feb.json", "/days/0/date: no such day"),
        ("feb.csv", "/line/2: line 2: '2027-02-29': no such day"),
        ("hours.csv", "/line/2: line 2: hours overlap: 09:00–12:00 and 11:00–13:00"),
        ("feb.ics", "/line/3: line 3: an all-day event is expected"),
        ("letter.pdf", "/: a .json, .ics or .csv file is expected"),
        ("nowhere.json", "there is no file "),
    ],
)
def test_a_wrong_file_of_days_off_is_refused_unchanged(run: Run, tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    if name in FILES:
        path.write_text(FILES[name], "utf-8")
    code, out, err = run("calendar", "load", str(path))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"duban: {said}")
    assert run("calendar", "show", "2027")[1].startswith("cn version 1, 2027 (not published")


def test_days_off_are_loaded_from_each_shape_and_once_is_enough(run: Run, tmp_path: Path) -> None:
    files = {
        "a.json": '{"year": 2027, "days": [{"name": "元旦", "date": "2027-01-01", "isOffDay": true}]}',
        "b.csv": "日期,类型,名称,工时\n2028-01-03,休,元旦,\n2028-02-05,班,春节,09:00-12:00\n",
        "c.ics": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20290501\nDTEND;VALUE=DATE:20290503\n"
        "SUMMARY:劳动节 休\nEND:VEVENT\nEND:VCALENDAR\n",
    }
    for version, (name, text) in enumerate(files.items(), 2):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        told = json.loads(run("calendar", "load", str(path), "--json")[1])
        assert (told["version"], told["changed"]) == (version, True)
        again = json.loads(run("calendar", "load", str(path), "--json")[1])
        assert (again["version"], again["changed"]) == (version, False)
    assert "2028-02-05\twork\t春节\t09:00–12:00" in run("calendar", "show", "2028")[1]
    year = json.loads(run("calendar", "show", "2029", "--json")[1])
    assert [(day["date"], day["kind"]) for day in year["days"]] == [
        ("2029-05-01", "holiday"),
        ("2029-05-02", "holiday"),
    ]


def test_policies_go_out_as_toml_come_back_and_are_tried_before(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    assert run("policy", "export", str(path))[0] == 0
    unchanged = {"created": [], "changed": [], "unchanged": ["complex", "consult", "default", "emergency"]}
    assert unchanged.items() <= json.loads(run("policy", "import", str(path), "--json")[1]).items()
    path.write_text(path.read_text("utf-8").replace("amount = 15", "amount = -1"), "utf-8")
    code, _, err = run("policy", "import", str(path))
    assert (code, err) == (1, "duban: /policy/0/limits/complete/amount: must be above 0\n")
    path.write_text(path.read_text("utf-8").replace("amount = -1", "amount = 12"), "utf-8")
    answer = run("policy", "replay", str(path), "--from", "2026-01-01", "--to", "2026-04-01")
    assert answer[:2] == (0, "unit\ttickets\toverdue before\toverdue after\ntotal\t0\t0\t0\n")
    assert run("policy", "import", str(path))[1] == "created 0, changed 1, unchanged 3; deadlines moved 0\n"
    path.write_text("[weather]\nsunny = true\n", "utf-8")
    assert run("policy", "replay", str(path), "--from", "2026-01-01", "--to", "2026-04-01")[2].startswith(
        "duban: /weather"
    )
