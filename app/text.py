"""A text in both languages of the office: Chinese, which comes first, and English."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """One text in Chinese (``zh``) and English (``en``)."""

    zh: str
    en: str

    def to(self, lang: str) -> str:
        """The text in ``lang``: ``en``, or else Chinese."""
        return self.en if lang == "en" else self.zh

    def fill(self, **values: object) -> Text:
        """The text with ``values`` put into its ``{placeholders}``, in both languages."""
        return Text(self.zh.format(**values), self.en.format(**values))
