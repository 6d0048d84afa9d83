"""What remains of a name, a phone or an id number when it is masked."""

from __future__ import annotations

import pytest

from app.security.masking import mask_id_number, mask_name, mask_phone


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("张三", "张*"),
        ("张三丰", "张**"),
        ("欧阳修", "欧阳*"),
        ("欧阳", "欧*"),  # two characters: a surname alone would show it all
        ("王", "*"),
        ("John Smith", "J*** S****"),
        ("X", "*"),
        ("", ""),
        (None, None),
    ],
)
def test_a_masked_name_keeps_the_surname(name: str | None, shown: str | None) -> None:
    assert mask_name(name) == shown


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("13812345678", "138****5678"),
        ("138 1234 5678", "138 **** 5678"),
        ("+86 13812345678", "+86 138****5678"),
        ("053612345678", "0536****5678"),
        ("0536-8234567", "053*-***4567"),
        ("8234567", "*****67"),
        ("110", "***"),
        (None, None),
    ],
)
def test_a_masked_phone_keeps_too_little_to_dial(phone: str | None, shown: str | None) -> None:
    assert mask_phone(phone) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [("110101199003078888", "1****************8"), ("11010119900307888X", "1****************X"), ("12345", "*****")],
)
def test_a_masked_id_number_keeps_its_ends(number: str, shown: str) -> None:
    assert mask_id_number(number) == shown


@pytest.mark.parametrize("phone", ["13812345678", "053612345678", "8234567", "1234567890"])
def test_at_least_four_digits_of_a_phone_are_hidden(phone: str) -> None:
    masked = mask_phone(phone)
    assert masked is not None
    assert masked.count("*") >= 4
    assert len(masked) == len(phone)
