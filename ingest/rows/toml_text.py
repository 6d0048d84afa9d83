"""Parse untrusted TOML: errors carry their position, and the parsing time is bounded."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from app.errors import Invalid

_DEEP = re.compile(r"(?<![^\s.=\[\]\"'])(?:[^\s.=\[\]\"']+[ \t]{0,8}\.[ \t]{0,8}){32}")
"""A dotted key of more than 32 parts: the parser's time is quadratic in them."""


def read_toml(text: str) -> dict[str, Any]:
    """Return the document in ``text``. Raises ``Invalid``."""
    if _DEEP.search(text):
        raise Invalid.at("", "键的层级过深（超过 32 级）", "a key has more than 32 parts")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid.at("", f"不是合法的 TOML：{error}", f"not valid TOML: {error}") from error
