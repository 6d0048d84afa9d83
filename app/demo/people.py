"""Citizens who do not exist: names put together by chance, phones of a block that is given to nobody."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

SURNAMES = "陈林黄周吴徐孙胡朱高何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟"
GIVEN = "安柏辰川岱恩帆谷禾景康岚茂宁培青然舒桐文溪霞雅云泽竹芷佑亭山清平秋良静慧和海桂芳东春波"
TITLES = ("先生", "女士", "先生", "女士", "阿姨", "师傅")
FIRST_DIGITS = "1990000"
"""No carrier hands out this block: nobody's telephone rings."""


@dataclass(frozen=True, slots=True)
class Citizen:
    """Who reports a matter, as ``services.intake`` takes it."""

    name: str | None
    phone: str | None
    id_number: str | None = None


def citizen(rng: Random) -> Citizen:
    """A citizen: half of them give their full name, the others a surname only; one in thirty nothing at all."""
    surname = rng.choice(SURNAMES)
    chance = rng.random()
    if chance < 0.03:
        return Citizen(None, None)
    if chance < 0.55:
        name = surname + "".join(rng.choice(GIVEN) for _ in range(rng.choice((1, 2, 2, 2))))
    else:
        name = surname + rng.choice(TITLES)
    return Citizen(name, f"{FIRST_DIGITS}{rng.randrange(10_000):04d}")
