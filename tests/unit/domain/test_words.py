"""The catalogue of words: complete in both languages, one word per code, and the glossary generated from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.domain.words import GROUPS, STATUS, TERMS, glossary, say

STORED = Path(__file__).resolve().parents[3] / "docs" / "glossary.md"
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("key", GROUPS)
def test_each_code_has_a_word_in_both_languages(key: str) -> None:
    for code, word in GROUPS[key].words.items():
        assert HAN.search(word.zh), code
        assert word.en.strip(), code
        assert not HAN.search(word.en), code


@pytest.mark.parametrize("key", GROUPS)
def test_no_two_codes_of_a_group_share_a_word(key: str) -> None:
    words = GROUPS[key].words
    assert len({word.zh for word in words.values()}) == len(words)
    assert len({word.en.lower() for word in words.values()}) == len(words)


def test_each_term_says_what_it_means() -> None:
    assert {code for code, term in TERMS.items() if not (HAN.search(term.meaning.zh) and term.meaning.en)} == set()


def test_the_stored_glossary_is_the_generated_one() -> None:
    assert STORED.read_text("utf-8") == glossary(), "run: python -m app.domain.words > docs/glossary.md"


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert say(STATUS, "nonsense") == "nonsense"
    assert (say(STATUS, "void"), say(STATUS, "void", "en")) == ("已作废", "Void")
