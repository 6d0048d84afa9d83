"""The result of a pull as one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counts(view: Mapping[str, Any], lang: str) -> str:
    """Format the counts of a feed or of a pull: created, corrected, unchanged, rejected."""
    numbers = [view[key] for key in ("created", "corrected", "unchanged", "rejected")]
    if lang == "en":
        return "{} created, {} corrected, {} unchanged, {} rejected".format(*numbers)
    return "新建 {}，更正 {}，未变 {}，拒收 {}".format(*numbers)
