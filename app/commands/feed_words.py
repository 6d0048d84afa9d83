"""What a pull came to, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counts(view: Mapping[str, Any], lang: str) -> str:
    """How many records had which fate, of a feed or of a pull."""
    said = [view[key] for key in ("created", "corrected", "unchanged", "rejected")]
    if lang == "en":
        return "{} created, {} corrected, {} unchanged, {} rejected".format(*said)
    return "新建 {}，更正 {}，未变 {}，拒收 {}".format(*said)
