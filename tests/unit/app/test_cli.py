"""The command line: every command is found by its name, and wrong use says so."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from app.cli import MODULES, build


def test_each_command_is_in_the_module_that_the_table_names() -> None:
    everything = typer.main.get_command(build([])).commands  # type: ignore[attr-defined]
    assert set(everything) == set(MODULES)
    for name in MODULES:
        assert name in typer.main.get_command(build([name])).commands  # type: ignore[attr-defined]


def test_help_is_there_for_every_command() -> None:
    for name in MODULES:
        answer = CliRunner().invoke(build([name, "--help"]), [name, "--help"])
        assert answer.exit_code == 0, name
        assert "Usage" in answer.output


def test_wrong_use_ends_with_2() -> None:
    assert CliRunner().invoke(build(["nosuch"]), ["nosuch"]).exit_code == 2
    assert CliRunner().invoke(build(["serve"]), ["serve", "--port", "0"]).exit_code == 2


def run(*words: str) -> str:
    """What a command prints; it must end well."""
    answer = CliRunner().invoke(build(words), words)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_a_profile_is_proposed_and_tried_without_storing(tmp_path: Path) -> None:
    file, out = tmp_path / "letters.csv", tmp_path / "mycity.toml"
    file.write_text("信件编号,信件标题,来信时间,信件类型\n1,甲,2026/1/5,投诉\n2,乙,昨天,闲聊\n", encoding="utf-8")
    assert "信件编号" in run("profiles", "propose", str(file), "--out", str(out), "--title", "某市来信")
    assert "[values.kind] ? '闲聊'" in out.read_text("utf-8")
    seen = json.loads(run("profiles", "preview", str(file), "--profile", str(out), "--json"))
    assert (seen["rows"], seen["tickets"], seen["rejected"]) == (2, 1, 1)
    assert {error["pointer"] for error in seen["rejects"][0]["examples"][0]["errors"]} == {"/kind", "/received_at"}
    assert "工单 1" in run("profiles", "preview", str(file), "--profile", str(out))
    view = json.loads(run("profiles", "propose", str(file), "--json"))
    assert view["profile"]["fields"]["external_id"] == "信件编号"
    assert (view["file"]["format"], view["unknown_words"]) == ("csv", {"kind": ["闲聊"]})
    again = CliRunner().invoke(build(["profiles"]), ["profiles", "propose", str(file), "--out", str(out)])
    assert again.exit_code == 1, "a profile that is there is not written over"


def test_profiles_are_listed_as_before() -> None:
    listed = json.loads(run("profiles", "--json"))
    assert {"name": "pingshan", "source": "pingshan", "time_zone": "Asia/Shanghai"}.items() <= listed[-1].items()
    assert [line.split("\t")[0] for line in run("profiles").splitlines()] == [each["name"] for each in listed]
