"""Mask a citizen's name, phone and id number for readers without permission: enough to recognize, not to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

COMPOUND_SURNAMES = frozenset(
    {
        "欧阳",
        "司马",
        "上官",
        "诸葛",
        "东方",
        "皇甫",
        "尉迟",
        "公孙",
        "慕容",
        "令狐",
        "宇文",
        "长孙",
        "司徒",
        "夏侯",
        "端木",
    }
)
"""Surnames of two characters that are common enough to be kept whole."""


def mask_name(name: str | None) -> str | None:
    """The surname and stars: 张三丰 → 张**, 欧阳修 → 欧阳*. A name in Latin letters keeps the first letter of each word
    (John Smith → J*** S****). A single character is hidden whole."""
    if not name:
        return name
    text = name.strip()
    if text.isascii():
        return " ".join(word[0] + "*" * (len(word) - 1) if len(word) > 1 else "*" for word in text.split())
    if len(text) < 2:
        return "*" * len(text)
    kept = 2 if len(text) > 2 and text[:2] in COMPOUND_SURNAMES else 1
    return text[:kept] + "*" * (len(text) - kept)


def mask_phone(phone: str | None) -> str | None:
    """A mobile number keeps three digits in front and four behind (13812345678 → 138****5678); any other number of
    seven digits or more keeps its last two; a shorter one is hidden whole. What is not a digit stays in its place."""
    if not phone:
        return phone
    digits = [place for place, char in enumerate(phone) if char.isdigit()]
    if len(digits) >= 11:
        hidden = digits[-8:-4]
    elif len(digits) >= 7:
        hidden = digits[:-2]
    else:
        return "*" * len(phone)
    chars = list(phone)
    for place in hidden:
        chars[place] = "*"
    return "".join(chars)


def mask_id_number(number: str | None) -> str | None:
    """The first and the last character stay, all others are stars; what is shorter than six is hidden whole."""
    if not number:
        return number
    if len(number) < 6:
        return "*" * len(number)
    return number[0] + "*" * (len(number) - 2) + number[-1]


MASKS: Final[Mapping[str, Callable[[str | None], str | None]]] = {
    "name": mask_name,
    "phone": mask_phone,
    "id_number": mask_id_number,
}
"""The parts of a reporter, each with what hides it."""
