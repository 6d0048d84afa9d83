"""The default calendar ``cn``: the State Council's days off and make-up workdays, from the chinesecalendar package."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from chinese_calendar.constants import Holiday, holidays, workdays

HOURS: Final = [["09:00", "12:00"], ["13:30", "17:30"]]

_NAMES: Final = {
    Holiday.new_years_day: "元旦",
    Holiday.spring_festival: "春节",
    Holiday.tomb_sweeping_day: "清明节",
    Holiday.labour_day: "劳动节",
    Holiday.dragon_boat_festival: "端午节",
    Holiday.national_day: "国庆节",
    Holiday.mid_autumn_festival: "中秋节",
    Holiday.anti_fascist_70th_day: "抗战胜利70周年纪念日",
}
_BY_VALUE: Final = {holiday.value: name for holiday, name in _NAMES.items()}


def known_years() -> tuple[int, ...]:
    """The years whose holidays the installed chinesecalendar knows (it raises for any other)."""
    return tuple(range(min(holidays).year, max(holidays).year + 1))


def china_spec(years: Iterable[int] | None = None) -> dict[str, Any]:
    """The calendar ``cn`` as the contract's object, with ``years`` published (None: all that are known).

    Asia/Shanghai, Monday to Friday 09:00–12:00 and 13:30–17:30; holidays off; make-up days work the same hours. A year
    that chinesecalendar does not know is left out: it is not published, its weekdays are assumed.
    """
    known = known_years()
    wanted = [year for year in known if years is None or year in set(years)]
    days: dict[str, list[list[str]]] = {}
    names: dict[str, str] = {}
    for table, hours in ((holidays, []), (workdays, HOURS)):
        for day, name in table.items():
            if day.year in wanted and _changes(day, hours):
                days[day.isoformat()] = [list(span) for span in hours]
            if day.year in wanted:
                names[day.isoformat()] = _BY_VALUE.get(str(getattr(name, "value", name)), str(name))
    working = {day: [list(span) for span in HOURS] for day in ("mon", "tue", "wed", "thu", "fri")}
    return {
        "time_zone": "Asia/Shanghai",
        "week": {**working, "sat": [], "sun": []},
        "days": dict(sorted(days.items())),
        "published": wanted,
        "names": dict(sorted(names.items())),
    }


def _changes(day: date, hours: list[list[str]]) -> bool:
    """Whether the hours differ from those of the weekday: a Saturday within a holiday is off as it is."""
    return bool(hours) != (day.weekday() < 5)
