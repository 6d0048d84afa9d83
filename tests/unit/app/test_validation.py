"""One table words every validation problem, whichever input it is found in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.config import Settings
from app.errors import Invalid
from app.validation import (
    CODE,
    MESSAGES,
    NO_NUL,
    Code,
    TimeZone,
    built,
    nested,
    objection,
    pointer,
    problems_of,
    refusal,
    validated,
)


def test_every_message_is_in_both_languages() -> None:
    for code, (zh, en) in MESSAGES.items():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in zh), code
        assert en.isascii() or "…" in en or "–" in en, code


def test_a_pointer_escapes_slash_and_tilde() -> None:
    assert pointer(["a/b", 0, "m~n"]) == "/a~1b/0/m~0n"


def refused(kind: Any, value: object, known: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        validated(TypeAdapter(kind).validate_python, value, known)
    return [(found.pointer, found.en) for found in caught.value.problems]


class Part(BaseModel):
    model_config = {"extra": "forbid"}

    size: Annotated[int, Field(gt=0, le=9)] = 1
    share: Annotated[float, Field(ge=0.5)] = 1


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (dict[Code, int], {"A B": 1}, ("/A B", "must be 1–64 of a–z, 0–9, - _ . in lower case")),
        (
            Annotated[str, Field(pattern=NO_NUL)],
            "a\0",
            ("", "contains a NUL character (U+0000), which cannot be stored"),
        ),
        (Annotated[str, Field(pattern="^x$")], "y", ("", "must match ^x$")),
        (Annotated[str, Field(min_length=1)], "", ("", "must not be empty")),
        (Annotated[str, Field(min_length=8)], "a", ("", "needs at least 8 characters")),
        (Annotated[str, Field(max_length=2)], "abc", ("", "at most 2 characters, not 3")),
        (Part, {"size": 0}, ("/size", "must be above 0")),
        (Part, {"size": 10}, ("/size", "must be at most 9")),
        (Part, {"share": 0.25}, ("/share", "must be at least 0.5")),
        (list[Part], [{}, {"colour": 1}], ("/1/colour", "unknown field")),
        (TimeZone, "\ud800", ("", "no such time zone '?'; an IANA name such as Asia/Shanghai is needed")),
        (TimeZone, "Mars", ("", "no such time zone 'Mars'; an IANA name such as Asia/Shanghai is needed")),
    ],
)
def test_a_problem_names_its_place_and_the_rule(kind: Any, value: object, wanted: tuple[str, str]) -> None:
    assert refused(kind, value) == [wanted]


@pytest.mark.parametrize(
    ("known", "hint"),
    [
        (("size", "share"), "unknown field (did you mean size?)"),
        (("colour", "weight"), "unknown field; there are colour, weight"),
        (("size", "attributes"), "unknown field (did you mean size?); put fields of your own under attributes"),
    ],
)
def test_an_unknown_field_suggests_known_ones(known: tuple[str, ...], hint: str) -> None:
    assert refused(Part, {"sise": 1}, known) == [("/sise", hint)]


def raises(error: Callable[[], Exception]) -> Any:
    def build(_: object) -> object:
        raise error()

    return Annotated[int, built(int, build)]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (lambda: refusal("duplicate", [2], value="x"), ("/2", "x is a duplicate")),
        (lambda: objection("不行", "no"), ("", "no")),
        (lambda: objection("不行\ud800", "no \ud800"), ("", "no \ud800")),
        (lambda: nested(Invalid.at("/deep", "不行", "no")), ("/deep", "no")),
        (lambda: Invalid.at("/deep", "不行", "no"), ("/deep", "no")),
        (lambda: ValueError("secret"), ("", "is not acceptable")),
    ],
)
def test_a_validator_reports_below_its_value(error: Callable[[], Exception], wanted: tuple[str, str]) -> None:
    assert refused(raises(error), 1) == [wanted]


def test_at_most_fifty_problems_are_reported() -> None:
    assert len(refused(list[int], ["x"] * 60)) == 50


@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("time_zone", "Mars", "no such time zone 'Mars'; an IANA name such as Asia/Shanghai is needed"),
        ("database_url", "mysql://x", "mysql is not supported; sqlite or postgresql is needed"),
        ("sweep_batch", "many", "must be a whole number"),
    ],
)
def test_a_wrong_setting_is_worded_by_the_same_table(setting: str, value: str, wanted: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({setting: value})
    assert [(p.pointer, p.en) for p in problems_of(caught.value.errors())] == [(f"/{setting}", wanted)]


def test_a_code_is_at_most_64_characters() -> None:
    adapter = TypeAdapter(Code)
    assert adapter.validate_python("a" * 64) == "a" * 64
    assert CODE.endswith("$")
    for wrong in ("a" * 65, "", "-a", "a\n"):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
