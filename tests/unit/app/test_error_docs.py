"""The list of errors in the documents is that of the code."""

from __future__ import annotations

from pathlib import Path

from app.errors import DubanError, documentation


def test_the_documentation_is_up_to_date() -> None:
    stored = Path(__file__).parents[3] / "docs" / "errors.md"
    assert stored.read_text("utf-8") == documentation(), "run: python -m app.errors > docs/errors.md"


def test_every_kind_of_error_is_listed() -> None:
    kinds = {kind for each in DubanError.__subclasses__() for kind in (each, *each.__subclasses__())}
    codes = {kind.code for kind in kinds if kind.__module__ == "app.errors"}
    assert len(codes) > 10
    assert all(f"`{code}`" in documentation() for code in codes)
