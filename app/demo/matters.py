"""What citizens report: the category tree, and how each matter is put into words (``matters.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from app.demo.places import Fields, Location

VENUES = ("烧烤店", "棋牌室", "歌厅", "大排档", "健身房", "台球室", "奶茶店")
SHOPS = ("美容院", "健身房", "洗车店", "理发店", "摄影工作室", "瑜伽馆", "儿童乐园")
FOOD = ("小超市", "烧烤店", "早餐店", "水果店", "火锅店", "面包店", "快餐店")
EMPLOYERS = ("家具厂", "制衣厂", "餐饮公司", "物流公司", "培训机构", "电子厂", "装饰公司", "保安公司")


@dataclass(frozen=True, slots=True)
class Incident:
    """One kind of matter: its title, the texts reported, and its results."""

    titles: tuple[str, ...]
    details: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matter:
    """One category of the lowest level. ``kinds`` weighs the kinds it comes as; ``unit`` is a unit's code, ``station``
    or ``town`` (those of the place); ``other`` is where it goes when the first unit returns it. ``crises`` are titles
    with details that make a ticket an emergency; ``urban``: it happens in the sub-districts only; ``personal``: only the
    person concerned reports it."""

    code: str
    name: str
    name_en: str
    parent: str
    practical: bool
    weight: float
    kinds: Mapping[str, float]
    unit: str
    other: str
    asks: tuple[str, ...]
    cases: tuple[Incident, ...]
    crises: tuple[tuple[str, str], ...] = ()
    urban: bool = False
    personal: bool = False


CRISIS = Incident(
    (),
    ("情况紧急，周边群众已聚集。",),
    (
        "接报后立即组织力量到场处置，险情已排除，无人员伤亡。",
        "现场设置警戒区，抢修人员连续作业，已恢复正常。",
        "民警与专业抢险队同步到场，妥善处置完毕，已安抚周边群众。",
    ),
)
"""How emergencies end."""


def _matter(table: dict[str, Any]) -> Matter:
    cases = tuple(Incident(*(tuple(part.split("|")) for part in case)) for case in table.pop("cases"))
    crises = tuple((title, detail) for title, detail in table.pop("crises", ()))
    return Matter(**{**table, "asks": tuple(table["asks"]), "cases": cases, "crises": crises})


def _read() -> tuple[Matter, ...]:
    text = Path(__file__).with_name("matters.toml").read_text("utf-8")
    return tuple(_matter(table) for table in tomllib.loads(text)["matter"])


MATTERS: tuple[Matter, ...] = _read()
GROUPS = (
    ("ZA", "治安与邻里", "Public order and neighbours"),
    ("JT", "交通出行", "Traffic and roads"),
    ("CG", "城市管理", "City management"),
    ("MS", "供水供电与物业", "Utilities and property"),
    ("LD", "劳动与社保", "Labour and social security"),
    ("XF", "市场与消费", "Market and consumers"),
    ("HJ", "生态环境", "Environment"),
    ("ZX", "政策咨询与其他", "Advice and other"),
)


def categories() -> Iterator[Fields]:
    """The category tree as ``catalogue.create_node`` takes it, parents first."""
    for code, name, english in GROUPS:
        yield {"code": code, "name": name, "name_en": english, "parent": None}
    for m in MATTERS:
        yield {"code": m.code, "name": m.name, "name_en": m.name_en, "parent": m.parent, "practical": m.practical}


def fill(template: str, rng: Random, place: Location) -> str:
    """The template with its slots (``matters.toml`` lists them) filled from the place and by chance."""
    return template.format(
        t=place.town.name,
        r=place.road,
        q=place.quarter,
        n=rng.randrange(2, 13),
        d=rng.choice((3, 4, 5, 7, 10, 15, 20, 30)),
        h=rng.choice((10, 11, 12)),
        m=rng.choice((380, 680, 1200, 1980, 2600, 3600, 5800, 8000, 12500, 18000)),
        v=rng.choice(VENUES),
        c=rng.choice(SHOPS),
        f=rng.choice(FOOD),
        k=rng.choice(EMPLOYERS),
    )


def unit_of(matter: Matter, place: Location, where: str | None = None) -> str:
    """The code of the unit that ``where`` (the matter's own unit, where none is given) means at this place."""
    wanted = where or matter.unit
    return {"station": place.town.station, "town": place.town.code}.get(wanted, wanted)


OPENINGS: Mapping[str, tuple[str, ...]] = {
    "12345": ("市民来电反映：", "来电人反映，", "群众来电称，", "来电诉求：", "来电人表示，"),
    "sulaiban": ("群众通过速来办提交：", "线上提交诉求：", "", "速来办留言："),
    "louzhang": ("楼长上报：", "楼长巡楼发现，", "本楼栋住户委托反映，", "楼长代住户反映，"),
    "wechat": ("微信群内群众反映，", "网格微信群留言：", "群内多名住户反映，"),
    "visit": ("群众到窗口当面反映，", "来访人陈述：", "来访反映，"),
}
AGAIN = (
    "此前已反映过，问题仍未解决，现再次反映。",
    "上次答复后没几天又出现同样情况，要求彻底解决。",
    "该问题已是多次反映，希望引起重视。",
    "对上次处理结果不认可，再次来电。",
)
CLOSINGS = (
    "已将办理情况告知来电人。",
    "群众表示知晓。",
    "已电话回复，群众认可。",
    "后续将加强巡查。",
    "已纳入日常巡查点位。",
    "",
)
RETURNS = (
    "经核实，该事项不属于我单位职责范围，建议转主管部门办理。",
    "现场核实，该路段养护权属不在我单位，申请退单。",
    "反映地址不在本辖区，请改派属地单位。",
    "该小区尚未移交，责任主体为建设单位主管部门，申请退单。",
)
REASSIGNS = ("属地核实后确认责任主体为另一单位", "职责清单调整，按首问负责商定改派", "需由行业主管部门牵头办理")
EXTENSIONS = (
    "涉及多方协商，业主代表下周方能到场，需延长办理时间。",
    "所需配件从外地采购，预计一周后到货。",
    "需委托第三方检测，检测报告尚未出具。",
    "涉事企业负责人在外地，约定返程后当面处理。",
    "连日降雨，路面不具备施工条件。",
)
SUSPENSIONS = (
    "当事人外出，约定返回后再行调处。",
    "等待上级主管部门对政策适用的书面答复。",
    "等待施工许可审批，期间无法开挖。",
    "当事人住院治疗，暂不能到场。",
)
VOIDS = ("与在办工单为同一诉求，重复录入，作废。", "来电人主动撤回诉求。", "反映地点不在本县范围，已告知拨打当地热线。",
         "内容无法识别，三次联系未果。")  # fmt: skip
URGES = (
    "群众再次来电询问进度，请尽快办理。",
    "来电催办，希望今日能有答复。",
    "群众反映至今无人联系。",
    "询问办理进展，已安抚。",
)
CONTACTS = (
    "已电话联系，核实具体位置和诉求。",
    "已与反映人取得联系，约定上门时间。",
    "联系群众，说明办理流程和时限。",
    "到现场与反映人见面了解情况。",
)
GLAD = ("处理很及时，谢谢。", "比想象中快。", "工作人员态度很好。", "问题解决了，感谢。", "", "", "", "", "")
SO_SO = ("处理了，但时间有点长。", "基本解决，希望不要反弹。", "解释得清楚，效果一般。", "")
CROSS = (
    "只是打了电话，问题没有解决。",
    "处理完第二天又恢复原样。",
    "答复与实际不符，现场没有人来过。",
    "互相推诿，没有给明确说法。",
    "对处理结果不认可，要求重新办理。",
)
DEMANDS = (
    "请主要负责同志亲自过问，限期办结并书面报告。",
    "同一诉求多次反映，请举一反三，彻底解决。",
    "请牵头单位会同属地现场办公，拿出整改方案。",
)
REPLIES = (
    "我单位高度重视，分管负责人已到现场督办，预计两日内办结。",
    "已约谈责任人员，正在按整改方案推进。",
    "已会同属地召开协调会，明确了整改时限。",
)
RULINGS_GOOD = ("措施具体，同意。", "同意按方案推进，办结后报备。")
RULINGS_BAD = ("未说明整改时限，退回补充。", "现场情况未反映，请附照片后重报。")
