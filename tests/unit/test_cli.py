"""The command line: every command is found by its name, and wrong use says so."""

from __future__ import annotations

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
