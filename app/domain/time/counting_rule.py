"""The rule by which a limit is counted, as cited in a receipt.

Days are counted by the Civil Code of the People's Republic of China, articles 201 (the day of the start is not counted)
and 203 (a last day that is a statutory day off gives way to the day after; it ends at 24:00, or where business activity
stops), unless the policy sets another rule; hours by the hour.
"""

from __future__ import annotations

from typing import Any, Final

from app.domain.time.limit import Limit

_FIRST_OUT: Final = (
    "《民法典》第二百零一条（开始的当日不计入，自下一日开始计算）",
    "Civil Code art. 201 (the day of the start is not counted; counting begins the next day)",
)
_FIRST_IN: Final = (
    "规则另定：开始的当日计入（不按《民法典》第二百零一条）",
    "set by the policy: the day of the start is counted (other than Civil Code art. 201)",
)
_WORKING: Final = (
    "仅计工作日，法定休假日顺延（第二百零三条）",
    "working days alone are counted: a last day off gives way to the next working day (art. 203)",
)
_NATURAL: Final = ("逐日计算，休假日不顺延", "every day is counted, and a day off does not put the end off")
_ENDS: Final = {
    "close": (
        "截止于末日停止业务活动的时间（第二百零三条）",
        "it ends where business activity stops on the last day (art. 203)",
    ),
    "midnight": ("截止于末日二十四时（第二百零三条）", "it ends at 24:00 of the last day (art. 203)"),
    "same_time": (
        "规则另定：截止于末日与起算相同的时刻",
        "set by the policy: it ends on the last day at the clock time of the start",
    ),
}
_HOURS: Final = {
    "working_hours": (
        "按工作小时计算：自起算时刻起，只计日历上的工作时间",
        "working hours: from the moment of the start, working time of the calendar alone is counted",
    ),
    "hours": (
        "按小时计算：自起算时刻起连续计算，不分昼夜和休假日（《民法典》第二百零一条第二款）",
        "hours: counted on end from the moment of the start, day and night, days off too (Civil Code art. 201, second paragraph)",
    ),
}


def rule_of(limit: Limit) -> dict[str, Any]:
    """Return the rule by which ``limit`` is counted: ``{"code", "zh", "en"}``. ``code`` is ``civil_code`` if both articles
    apply in full, ``same_time``, ``first_day`` or ``first_day_same_time`` if the policy sets otherwise, ``days`` for calendar
    days, ``working_hours`` or ``hours``. A limit counted backward follows the same rule."""
    if not limit.in_days:
        zh, en = _HOURS[limit.unit]
        return {"code": limit.unit, "zh": zh, "en": en}
    parts = (
        _FIRST_IN if limit.count_first_day else _FIRST_OUT,
        _WORKING if limit.working else _NATURAL,
        _ENDS[limit.ends],
    )
    chosen = [
        name for name, so in (("first_day", limit.count_first_day), ("same_time", limit.ends == "same_time")) if so
    ]
    code = "_".join(chosen) or ("civil_code" if limit.working else "days")
    return {"code": code, "zh": "；".join(zh for zh, _ in parts), "en": "; ".join(en for _, en in parts)}
