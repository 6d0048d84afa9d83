"""The documents keep up with the code: settings, links, targets, and files they name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config import Settings

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)")
SETTING_ROW = re.compile(r"^\| `(DUBAN_\w+)` \| ([^|]+) \|", re.MULTILINE)


def _settings_told(text: str) -> dict[str, str]:
    return {name: default.strip() for name, default in SETTING_ROW.findall(text)}


def _links_that_lead_nowhere(document: Path, text: str) -> list[str]:
    return [link for link in LINK.findall(text) if not (document.parent / link).exists()]


@pytest.mark.parametrize("name", READMES)
def test_a_readme_lists_every_setting_and_no_other(name: str) -> None:
    told = _settings_told((ROOT / name).read_text("utf-8"))
    assert sorted(told) == sorted(f"DUBAN_{field.upper()}" for field in Settings.model_fields)


@pytest.mark.parametrize("name", READMES)
def test_a_readme_gives_the_default_of_each_setting(name: str) -> None:
    told = _settings_told((ROOT / name).read_text("utf-8"))
    del told["DUBAN_DATABASE_URL"]  # its default is put together from another
    defaults = {f"DUBAN_{field.upper()}": info.default for field, info in Settings.model_fields.items()}
    assert told == {key: f"`{_as_written(defaults[key])}`" for key in told}


def _as_written(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_operations_describes_every_setting() -> None:
    rows = []
    for name, info in Settings.model_fields.items():
        default = info.default.get_secret_value() if isinstance(info.default, SecretStr) else _as_written(info.default)
        shown = f"`{default}`" if default else ""
        rows.append(f"| `DUBAN_{name.upper()}` | {shown} | {info.description} |")
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `DUBAN_")] == rows


def test_operations_names_every_metric_that_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    source = "".join((ROOT / "app" / name).read_text("utf-8") for name in ("metrics.py", "store/gauges.py"))
    named = set(re.findall(r"`(duban_\w+?)(?:_total)?`", text))
    assert named == set(re.findall(r'"(duban_[a-z_]+)"', source))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    assert _links_that_lead_nowhere(document, document.read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert _links_that_lead_nowhere(ROOT / "README.md", "see [this](docs/no-such-page.md#part)") == [
        "docs/no-such-page.md"
    ]


@pytest.mark.parametrize("name", READMES)
def test_every_make_target_that_a_readme_names_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )?([a-z-]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))
    assert named
    assert named <= targets


def test_both_readmes_have_the_same_parts() -> None:
    chinese, english = (
        [len(mark) for mark in re.findall(r"^(#+) ", (ROOT / name).read_text("utf-8"), re.MULTILINE)]
        for name in reversed(READMES)
    )
    assert chinese == english


def test_the_changelog_has_a_part_for_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")
