"""Names of the codes of a report's dimensions, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.words import KIND, PRIORITY, Words
from app.text import Text

NOT_GIVEN = Text("未填", "Not given")


@dataclass(frozen=True, slots=True)
class Names:
    """Display names: for each dimension code → (Chinese, English or ""), and the tiers of units."""

    words: Mapping[str, Words] = field(default_factory=dict)
    tiers: Mapping[str, str] = field(default_factory=dict)

    def of(self, dimension: str, code: str) -> Text:
        """Return the Chinese and English name; the code itself if it has none."""
        if not code:
            return NOT_GIVEN
        builtin = {"kind": KIND, "priority": PRIORITY}.get(dimension, {})
        zh, en = self.words.get(dimension, {}).get(code) or builtin.get(code) or (code, "")
        return Text(zh, en or zh)
