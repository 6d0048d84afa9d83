"""A county that does not exist, 云溪县: its units as a tree, its townships with streets and estates, its grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

Fields = dict[str, str | bool | None]


@dataclass(frozen=True, slots=True)
class Township:
    """A township or sub-district: ``station`` is the police station in charge, ``weight`` its share of the tickets,
    ``quarters`` its estates or villages; ``gridded``: it has the four levels 区、片、组、群."""

    code: str
    name: str
    name_en: str
    tier: str
    station: str
    weight: float
    roads: tuple[str, ...]
    quarters: tuple[str, ...]
    urban: bool
    gridded: bool = False


TOWNSHIPS = (
    Township("CGJD", "云城街道", "Yuncheng Sub-district", "街道", "GA-CG", 26,
             ("云溪大道", "文昌路", "鼓楼街", "学府路", "建设巷", "中山南街"),
             ("云景花园", "文昌雅苑", "鼓楼新村", "锦绣华庭", "书香名邸", "供销社家属院"), True, True),
    Township("CNJD", "南屏街道", "Nanping Sub-district", "街道", "GA-CN", 22,
             ("南屏路", "迎宾大道", "新安路", "创业街", "站前路"),
             ("南屏壹号", "阳光水岸", "新安佳园", "站前公寓", "御景湾", "南苑安置小区"), True, True),
    Township("BHJD", "滨溪街道", "Binxi Sub-district", "街道", "GA-BH", 15,
             ("滨溪路", "沿江中路", "望江街", "码头巷"),
             ("滨溪名都", "江畔人家", "望江苑", "水岸新城", "老纺织厂宿舍"), True, True),
    Township("QSZ", "青岩镇", "Qingyan Town", "乡镇", "GA-QS", 10,
             ("青岩街", "兴镇路", "工业园一路"), ("青岩社区", "石桥村", "下湾村", "园区蓝领公寓"), False),
    Township("LXZ", "柳塘镇", "Liutang Town", "乡镇", "GA-LX", 8,
             ("柳塘街", "新街", "河东路"), ("柳塘社区", "大塘村", "柳林村", "杨家坪村"), False),
    Township("BMZ", "白鹭镇", "Bailu Town", "乡镇", "GA-BM", 7,
             ("白鹭街", "湖滨路"), ("白鹭社区", "湖口村", "芦花村"), False),
    Township("SLZ", "松岗镇", "Songgang Town", "乡镇", "GA-LX", 5,
             ("松岗街", "矿山路"), ("松岗社区", "上岗村", "七里村"), False),
    Township("CPZ", "茶坪镇", "Chaping Town", "乡镇", "GA-BM", 4,
             ("茶坪街", "茶厂路"), ("茶坪社区", "双井村", "云雾村"), False),
    Township("ZYX", "竹源乡", "Zhuyuan Township", "乡镇", "GA-QS", 3,
             ("竹源街",), ("竹源村", "梅子沟村", "岭上村"), False),
)  # fmt: skip

ROOT = "YX"
_OFFICES = (
    ("GA", "县公安局", "County Police Bureau", "县直部门"),
    ("CG", "县城市管理局", "Urban Management Bureau", "县直部门"),
    ("ZJ", "县住房和城乡建设局", "Housing and Construction Bureau", "县直部门"),
    ("RS", "县人力资源和社会保障局", "Human Resources and Social Security Bureau", "县直部门"),
    ("SJ", "县市场监督管理局", "Market Supervision Bureau", "县直部门"),
    ("JT", "县交通运输局", "Transport Bureau", "县直部门"),
    ("HB", "县生态环境分局", "Ecology and Environment Branch", "县直部门"),
    ("ZZ", "乡镇街道", "Townships and Sub-districts", None),
    ("GY", "公共服务企业", "Public Utilities", None),
)
_BELOW = (
    ("GA-CG", "GA", "云城派出所", "Yuncheng Police Station", "派出所"),
    ("GA-CN", "GA", "南屏派出所", "Nanping Police Station", "派出所"),
    ("GA-BH", "GA", "滨溪派出所", "Binxi Police Station", "派出所"),
    ("GA-QS", "GA", "青岩派出所", "Qingyan Police Station", "派出所"),
    ("GA-LX", "GA", "柳塘派出所", "Liutang Police Station", "派出所"),
    ("GA-BM", "GA", "白鹭派出所", "Bailu Police Station", "派出所"),
    ("GA-JJ", "GA", "交通警察大队", "Traffic Police Brigade", "业务大队"),
    ("GA-FZ", "GA", "反诈中心", "Anti-Fraud Centre", "业务大队"),
    ("GA-HZ", "GA", "户政和出入境管理大队", "Household and Exit-Entry Brigade", "业务大队"),
    ("CG-SZ", "CG", "市政设施管理所", "Municipal Facilities Office", "二级单位"),
    ("CG-HW", "CG", "环境卫生管理所", "Sanitation Office", "二级单位"),
    ("CG-ZF", "CG", "城管执法大队", "Urban Enforcement Team", "二级单位"),
    ("ZJ-WY", "ZJ", "物业管理服务中心", "Property Management Service Centre", "二级单位"),
    ("RS-JC", "RS", "劳动保障监察大队", "Labour Inspection Team", "二级单位"),
    ("SJ-XB", "SJ", "消费者权益保护中心", "Consumer Protection Centre", "二级单位"),
    ("GY-SW", "GY", "云溪供水公司", "Yunxi Water Company", "公共服务企业"),
    ("GY-DL", "GY", "云溪供电公司", "Yunxi Power Company", "公共服务企业"),
    ("GY-RQ", "GY", "云溪燃气公司", "Yunxi Gas Company", "公共服务企业"),
)
STRAINED = {"CNJD": 2.8, "ZJ-WY": 2.4, "GA-CN": 1.6, "SLZ": 2.0}
"""Units that have a bad quarter: how many times the usual share of late and of dissatisfied."""
_NUMERALS = "一二三四五六七八九"


def units() -> Iterator[Fields]:
    """Every unit as ``catalogue.create_node`` takes it, parents first."""
    yield {"code": ROOT, "name": "云溪县", "name_en": "Yunxi County", "parent": None}
    for code, name, english, tier in _OFFICES:
        yield {"code": code, "name": name, "name_en": english, "parent": ROOT, "tier": tier}
    for code, parent, name, english, tier in _BELOW:
        yield {"code": code, "name": name, "name_en": english, "parent": parent, "tier": tier}
    for town in TOWNSHIPS:
        yield {"code": town.code, "name": town.name, "name_en": town.name_en, "parent": "ZZ", "tier": town.tier}


def grids() -> Iterator[Fields]:
    """The four levels 区、片、组、群 of the sub-districts, parents first."""
    for town in TOWNSHIPS:
        if not town.gridded:
            continue
        area = f"G-{town.code}"
        yield _grid(area, f"{town.name[:2]}区", f"{town.name_en.split()[0]} Area", None)
        for a, quarter in enumerate(town.quarters[:3], 1):
            yield _grid(f"{area}-{a}", f"{quarter}片", f"Section {a}", area)
            for b in (1, 2, 3):
                yield _grid(f"{area}-{a}-{b}", f"第{_NUMERALS[b - 1]}组", f"Group {a}.{b}", f"{area}-{a}")
                for c in (1, 2, 3):
                    yield _grid(f"{area}-{a}-{b}-{c}", f"第{_NUMERALS[c - 1]}群（十户联防）", f"Ten Households {a}.{b}.{c}",
                                f"{area}-{a}-{b}")  # fmt: skip


def _grid(code: str, name: str, english: str, parent: str | None) -> Fields:
    return {"code": code, "name": name, "name_en": english, "parent": parent}


@dataclass(frozen=True, slots=True)
class Location:
    """Where a matter is: the township, a road, an estate or village, its address, and its grid where there is one."""

    town: Township
    road: str
    quarter: str
    address: str
    grid: str | None


def place(rng: Random, *, urban: bool = False) -> Location:
    """Somewhere in the county, or in its sub-districts (``urban``), which have most of the tickets."""
    towns = [town for town in TOWNSHIPS if town.urban or not urban]
    town = rng.choices(towns, [t.weight for t in towns])[0]
    index = rng.randrange(len(town.quarters))
    quarter = town.quarters[index]
    road = rng.choice(town.roads)
    if town.urban:
        where = f"{town.name}{road}{rng.randrange(2, 260)}号{quarter}{rng.randrange(1, 22)}栋"
    else:
        where = f"{town.name}{quarter}" + (f"{rng.randrange(1, 12)}组" if rng.random() < 0.7 else "")
    grid = None
    if town.gridded and index < 3:
        grid = f"G-{town.code}-{index + 1}-{rng.randrange(1, 4)}"
        if rng.random() < 0.7:
            grid += f"-{rng.randrange(1, 4)}"
    return Location(town, road, quarter, where, grid)
