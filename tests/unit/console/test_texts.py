"""What the pages say: every text in both languages, none missing, none idle, and none outside the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.console.base import i18n
from app.console.base.i18n import LANGUAGES, Texts, catalogue
from app.domain.words import EVENT, GROUPS

CONSOLE = Path(i18n.__file__).parents[1]
TEMPLATES = sorted(CONSOLE.rglob("*.html"))
SOURCES = [*TEMPLATES, *sorted(CONSOLE.rglob("*.py"))]
APP = CONSOLE.parent

KEY = re.compile(r"""\bt\(\s*["']([a-z_]+\.[a-z_]+)["']""")
JOINED = re.compile(r"""\bt\(\s*["']([a-z_]+\.[a-z_]+)["']\s*~""")
GROUP = re.compile(r"""\bword\(\s*["']([a-z_]+)["']""")
FIELD_GROUP = re.compile(r"""\bgroup="([a-z_]+)"|Form\([^)]*?"(ruling|action)",""")
ATTRIBUTES = re.compile(
    r"\{% block (?:head|body_\w+|html_class) %\}.*?\{% endblock %\}|\{% set attributes %\}.*?\{% endset %\}", re.DOTALL
)
"""Parts of a template that hold attributes of a tag, and no text."""
HAN = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"\{(\w*)\}")


def read_all() -> str:
    return "\n".join(path.read_text("utf-8") for path in SOURCES)


def used_groups() -> set[str]:
    text = read_all()
    coded = set(
        re.findall(r'^    "\w+": "(\w+)",$', (CONSOLE / "tickets" / "timeline.py").read_text("utf-8"), re.MULTILINE)
    )
    return set(GROUP.findall(text)) | {a or b for a, b in FIELD_GROUP.findall(text)} | coded


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_each_text_has_both_languages_with_the_same_placeholders(key: str) -> None:
    zh, en = catalogue()[key]
    assert zh.strip()
    assert en.strip()
    assert sorted(PLACEHOLDER.findall(zh)) == sorted(PLACEHOLDER.findall(en))
    if key != "app.other_language":
        assert not HAN.search(en), "the English text has Chinese in it"


def test_each_text_that_is_asked_for_is_there() -> None:
    asked = set(KEY.findall(read_all())) - set(JOINED.findall(read_all()))
    assert asked
    assert {key for key in asked if key not in catalogue()} == set()


def test_each_group_that_is_asked_for_is_there() -> None:
    there = set(GROUPS) | {key.split(".")[0] for key in catalogue()}
    assert used_groups() - there == set()


def test_no_text_is_idle() -> None:
    text = read_all()
    asked = set(KEY.findall(text))
    beginnings = tuple(JOINED.findall(text))
    groups = used_groups()
    idle = {
        key
        for key in catalogue()
        if key not in asked and key.split(".")[0] not in groups and not (beginnings and key.startswith(beginnings))
    }
    assert idle == set()


def words_outside_tags(template: str) -> str:
    """The text of a template that stands for itself: neither a tag, nor of the template language; with the attributes
    that people read or hear."""
    text = ATTRIBUTES.sub(" ", template)
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", text, flags=re.DOTALL)
    said = " ".join(re.findall(r'\b(?:title|alt|placeholder|aria-label|label)="([^"]*)"', text))
    return re.sub(r"<[^>]*>", " ", text, flags=re.DOTALL) + " " + said


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_speaks_for_itself(path: Path) -> None:
    found = re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", re.sub(r"&\w+;", " ", words_outside_tags(path.read_text("utf-8"))))
    assert found == []


def test_a_template_that_speaks_for_itself_would_be_found() -> None:
    assert "Save" in words_outside_tags("<p>{{ t('a.b') }}</p><button>Save</button>")
    assert "Shut" in words_outside_tags('<a title="Shut">{# note #}</a>')


def test_no_script_speaks_chinese() -> None:
    for path in sorted((CONSOLE / "static").glob("*.js")):
        assert not HAN.search(path.read_text("utf-8")), path.name


def test_each_kind_of_event_that_is_written_has_its_words() -> None:
    """Events are written all over the services; a page that shows a bare code would be the first to notice."""
    written = set()
    for path in [*(APP / "services").rglob("*.py"), *(APP.parent / "ingest").rglob("*.py")]:
        source = path.read_text("utf-8")
        written |= set(re.findall(r'\.log\(\s*"(\w+)"', source))
        written |= set(re.findall(r'(?:append|tell)\(\s*(?:[\w.]+,\s*)+"(\w+)"', source))
    assert {"dispatched", "completed", "stage_raised", "alert_raised"} <= written
    assert {event for event in written if event not in EVENT} == set()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_unnamed_code_is_shown_as_is_and_none_as_a_dash(lang: i18n.Lang) -> None:
    t = Texts(lang)
    assert t.word("status", "nonsense") == "nonsense"
    assert t.word("event", "nonsense") == "nonsense"
    assert t.word("status", None) == "–"
    assert t.word("status", "void") == {"zh": "已作废", "en": "Void"}[lang]


def test_a_text_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Texts("zh")("nav.nowhere")
