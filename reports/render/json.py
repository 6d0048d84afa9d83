"""A report or clear-out list as JSON: the contract's document, indented, keys in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson


def render(document: dict[str, Any], path: Path) -> None:
    """Write ``document`` to ``path`` as UTF-8 JSON with an indent and a final line break."""
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
