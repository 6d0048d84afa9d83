"""The texts of the pages, in Chinese and English: one catalogue (``texts.toml``), both languages side by side.

The labels of a ticket's fields come from ``app.domain.tickets.fields``, the words of codes (states, stages, events, roles …)
from ``app.domain.words``; groups of the catalogue hold those that only pages show.

Which language: ``?lang=`` of the address, else the choice kept in a cookie, else the person's own setting, else
``DUBAN_LANG``. The browser's Accept-Language is ignored: many office machines in China report English
because of how they were installed, and a page that changes language unasked is reported as broken.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from app.domain.tickets.fields import FIELDS
from app.domain.words import GROUPS, say
from app.text import Text

Lang = Literal["zh", "en"]
LANGUAGES: tuple[Lang, ...] = ("zh", "en")
TEXTS = Path(__file__).parent / "texts.toml"


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Text]:
    """Load every text by its key (``group.name``), in both languages."""
    found: dict[str, Text] = {f"field.{field.part}": field.label for field in FIELDS}
    for group, texts in tomllib.loads(TEXTS.read_text("utf-8")).items():
        for name, pair in texts.items():
            if not (isinstance(pair, list) and len(pair) == 2):
                raise ValueError(f"{TEXTS.name}: {group}.{name} needs two texts, Chinese and English")
            found[f"{group}.{name}"] = Text(*pair)
    return found


class Texts:
    """The catalogue in one language. ``t("nav.board")`` is a text, ``t.word("status", "void")`` the label of a code."""

    def __init__(self, lang: Lang) -> None:
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of ``key``, formatted with ``values``; raises KeyError for an unknown key."""
        text = catalogue()[key].to(self.lang)
        return text.format(**values) if values else text

    def word(self, group: str, code: str | None) -> str:
        """Return the label of ``code`` in ``group``; the code itself if it has none, and – for None."""
        if code is None:
            return "–"
        if group in GROUPS:
            return say(GROUPS[group].words, code, self.lang)
        found = catalogue().get(f"{group}.{code}")
        return code if found is None else found.to(self.lang)


@lru_cache(maxsize=2)
def texts(lang: Lang) -> Texts:
    """Return the catalogue in ``lang``."""
    return Texts(lang)


def as_lang(value: str | None) -> Lang | None:
    """Return ``value`` if it is ``zh`` or ``en``, else None."""
    return "zh" if value == "zh" else "en" if value == "en" else None
