"""Where in a feed's TOML a mistake is: the line of its key, or of the table that it is missing from."""

from __future__ import annotations

import pytest

from app.errors import FieldProblem
from ingest.feeds.trial import line_of

TEXT = """name = "x"
[limits]
every_seconds = 1

[mapping.fields]
"reporter.name" = "who"
title.columns = ["a"]
"""


@pytest.mark.parametrize(
    ("pointer", "line"),
    [("/name", 1), ("/limits/every_seconds", 3), ("/limits/attempts", 2), ("/mapping/fields/reporter.name", 6),
     ("/mapping/fields/title/columns/0", 7), ("/base_url", None), ("", None)],
)  # fmt: skip
def test_a_pointer_leads_to_its_line(pointer: str, line: int | None) -> None:
    assert line_of(TEXT, FieldProblem(pointer, "", "")) == line
