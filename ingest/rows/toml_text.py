"""TOML that somebody else wrote, read without trust: a mistake has its place, and no text takes minutes."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from app.errors import Invalid

_DEEP = re.compile(r"(?<![^\s.=\[\]\"'])(?:[^\s.=\[\]\"']+[ \t]{0,8}\.[ \t]{0,8}){32}")
"""A key of so many parts: the parser's time grows with the square of them."""


def read_toml(text: str) -> dict[str, Any]:
    """The document in ``text``. Raises ``Invalid``."""
    if _DEEP.search(text):
        raise Invalid.at("", "键的层级过深（超过 32 级）", "a key has more than 32 parts")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid.at("", f"不是合法的 TOML：{error}", f"not valid TOML: {error}") from error
