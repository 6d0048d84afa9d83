"""``duban feed``: the commands as an operator types them, their exit codes, and the trial that a newcomer begins with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.config import get_settings
from ingest.connectors.registry import template_text
from ingest.devtools.simulator.server import BASES, SECRET, SECRET_VARIABLES, serving
from ingest.devtools.simulator.world import Faults, SimulatedUpstream
from tests.integration.upstream import Moving
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shell:
    """The command line on one database, in this process; ``start`` runs it in one of its own."""

    def __init__(
        self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        variables = {"DUBAN_DATABASE_URL": url, "DUBAN_DATA_DIR": str(folder), "DUBAN_LANG": "en",
                     **dict.fromkeys(SECRET_VARIABLES.values(), SECRET)}  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    def run(self, *arguments: str, code: int = 0) -> str:
        """What it printed (on stderr where ``code`` says that it must fail)."""
        get_settings.cache_clear()
        self._monkeypatch.setattr(sys, "argv", ["duban", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        get_settings.cache_clear()
        out, error = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, (out, error)
        return error if code else out

    def json(self, *arguments: str) -> Any:
        """What it printed as JSON."""
        return json.loads(self.run(*arguments, "--json"))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """``duban`` with these arguments as a process, begun."""
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments], cwd=ROOT, env={**os.environ, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture
def shell(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    return Shell(sqlite_url, tmp_path / "data", monkeypatch, capsys)


def test_a_feed_is_added_pulled_compared_and_switched_off(shell: Shell, moving: Moving, tmp_path: Path) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    file = tmp_path / "east.toml"
    file.write_text(template_text("hotline12345").replace("[limits]", "[limits]\nattempts = 1"), "utf-8")
    with serving(world) as address:
        world.advance(9)
        added = shell.json("feed", "add", str(file), "--name", "east", "--url", address + BASES["hotline12345"])
        assert (added["name"], added["source"], added["state"]) == ("east", "hotline12345", "new")
        assert "already" in shell.run("feed", "add", str(file), "--name", "east", code=1)
        done = shell.json("feed", "pull", "east")
        assert (done["state"], done["created"], done["error"]) == ("done", 9, None)
        assert shell.run("feed", "pull", "east") == "2 pages  0 created, 0 corrected, 9 unchanged, 0 rejected\n"
        day = moving.moment.astimezone().date().isoformat()
        compared = shell.json("feed", "reconcile", "east", "--day", day)
        assert (compared["missing"], compared["extra"]) == ([], [])
    assert "cannot be reached" in shell.run("feed", "pull", "east", code=1)
    (listed,) = shell.json("feed", "list")
    assert (listed["name"], listed["state"], listed["created"]) == ("east", "failing", 9)
    assert shell.json("feed", "off", "east")["state"] == "off"
    assert shell.run("feed", "pull", "east", code=1) == "duban: the feed east is switched off\n"
    assert shell.json("feed", "on", "east")["state"] == "ok"
    assert shell.json("feed", "rewind", "east")["position"] == {}
    assert [row["state"] for row in shell.json("feed", "show", "east")["pulls"]] == ["failed", "done", "done", "done"]


def test_a_folder_of_files_is_watched(shell: Shell, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "a.csv").write_text("工单编号,标题\nA1,路灯不亮\n", "utf-8")
    os.utime(drop / "a.csv", (1, 1))
    shell.run("feed", "add", "folder", "--folder", str(drop))
    assert shell.json("feed", "pull", "folder")["created"] == 1
    assert (drop / "done" / "a.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "nope"], 1, "there are: folder, hotline12345, open311, sulaiban"),
        (["add", "nowhere.toml"], 1, "no file nowhere.toml"),
        (["add", "hotline12345", "--url", "http://12345.example.org"], 1, "must be https"),
        (["pull", "nope"], 1, "there is no feed 'nope'"),
        (["reconcile", "nope", "--day", "2026-02-30"], 1, "2026-03-15"),
        (["pull"], 2, "Missing argument"),
        (["nosuch"], 2, "No such command"),
        (["simulate", "--kind", "nope"], 2, "hotline12345"),
    ],
)
def test_wrong_use_is_told_in_a_line(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    error = shell.run("feed", *arguments, code=code)
    assert said in error
    if code == 1:
        assert error.count("\n") == 1


def test_the_trial_runs_its_feeds_and_says_where_everything_is(shell: Shell) -> None:
    told = shell.json("feed", "simulate", "--seconds", "2", "--every", "1", "--records", "10")["upstreams"]
    assert [each["feed"] for each in told] == ["sim-hotline12345", "sim-sulaiban", "sim-open311"]
    for each in told:
        assert each["offered"] >= 10
        assert each["lost"] == []
        assert each["tickets"] + each["rejects"] >= each["offered"]
    assert {view["state"] for view in shell.json("feed", "list")} == {"off"}, "its upstreams are gone"
    again = shell.json("feed", "simulate", "--kind", "sulaiban", "--seconds", "1", "--smooth")["upstreams"]
    assert again[0]["lost"] == [], "a second trial on the same database"


def test_the_trial_ends_in_good_order_when_it_is_told_to(shell: Shell) -> None:
    process = shell.start("feed", "simulate", "--kind", "sulaiban", "--every", "60", "--smooth")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("the upstream of sim-sulaiban: http://127.0.0.1:")
    assert "6 created" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "sim-sulaiban: 6 offered by the upstream, 6 tickets, 0 open rejects, 0 lost" in out


def test_the_trial_keeps_away_from_real_tickets(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("工单编号,标题\nA1,路灯不亮\n", "utf-8")
    shell.run("import", str(tmp_path / "a.csv"), "--profile", "duban")
    assert "DUBAN_DATA_DIR" in shell.run("feed", "simulate", "--seconds", "1", code=1)


def test_a_worker_process_pulls_what_is_due(shell: Shell) -> None:
    world = SimulatedUpstream(1, Moving().now, Faults(update=0))
    with serving(world) as address:
        world.advance(5)
        shell.run("feed", "add", "sulaiban", "--url", address + BASES["sulaiban"])
        worker = shell.start("serve", "--port", str(free_port()), DUBAN_ROLE="worker")
        try:
            until(lambda: world.requests >= 2, "nothing was pulled")
        finally:
            worker.terminate()
            worker.communicate(timeout=60)
    (view,) = shell.json("feed", "list")
    assert (view["state"], view["created"], view["failures"]) == ("ok", 5, 0)
