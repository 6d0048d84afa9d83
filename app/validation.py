"""Validation messages: one table that words every problem of every input in Chinese and English.

Pushes, batches, files, request bodies and parameters, rule documents, settings, mapping profiles and feed specifications
are validated by pydantic. A problem has a *code* (pydantic's error type, or one that a validator raises with ``refusal``),
a JSON pointer, and a sentence in each language that says what is wrong and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, GetPydanticSchema, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from app.errors import FieldProblem, Invalid

MOST_PROBLEMS = 50
"""Problems reported of one input: enough to correct it, too few to flood a log."""
NO_NUL = r"^[^\x00]*$"
"""The pattern of text that a database can store; what does not match it has a message of its own."""
CODE = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
"""The pattern of the code of a policy or a calendar."""

MESSAGES: Mapping[str, tuple[str, str]] = {
    "missing": ("缺少必填字段", "is required"),
    "extra_forbidden": ("不认识的字段", "unknown field"),
    "string_type": ("应为文本", "must be text"),
    "string_empty": ("不能为空", "must not be empty"),
    "string_too_short": ("至少 {min_length} 个字", "needs at least {min_length} characters"),
    "string_too_long": ("最多 {max_length} 个字，现有 {actual} 个", "at most {max_length} characters, not {actual}"),
    "string_nul": ("含有无法保存的空字符 (U+0000)", "contains a NUL character (U+0000), which cannot be stored"),
    "code_format": ("应为 1–64 个小写字母、数字、- _ .", "must be 1–64 of a–z, 0–9, - _ . in lower case"),
    "string_pattern_mismatch": ("格式应符合 {pattern}", "must match {pattern}"),
    "string_unicode": (
        "含有不成字符的字节（文件损坏或编码不符，或单独的代理码位），无法保存",
        "contains bytes that are no character (a damaged file, another encoding, a lone surrogate): it cannot be stored",
    ),
    "value_masked": (
        "含有遮盖符号，是隐去后的内容；请填写完整内容或留空",
        "is masked: give the full value, or leave it out",
    ),
    "unstorable": ("含有无法保存的字符", "holds text that cannot be stored"),
    "literal_error": ("应为 {expected} 之一", "must be one of {expected}"),
    "enum": ("应为 {expected} 之一", "must be one of {expected}"),
    "int_type": ("应为整数", "must be a whole number"),
    "int_parsing": ("应为整数", "must be a whole number"),
    "int_parsing_size": ("整数过大", "is too large a number"),
    "int_from_float": ("应为整数", "must be a whole number"),
    "float_type": ("应为数字", "must be a number"),
    "float_parsing": ("应为数字", "must be a number"),
    "finite_number": ("应为有限的数字，不能是 NaN 或无穷", "must be a finite number, not NaN or infinity"),
    "greater_than_equal": ("不能小于 {ge}", "must be at least {ge}"),
    "less_than_equal": ("不能大于 {le}", "must be at most {le}"),
    "greater_than": ("应大于 {gt}", "must be above {gt}"),
    "less_than": ("应小于 {lt}", "must be below {lt}"),
    "bool_type": ("应为 true 或 false", "must be true or false"),
    "bool_parsing": ("应为 true 或 false", "must be true or false"),
    "too_short": ("至少要有 {min_length} 项", "needs at least {min_length}"),
    "too_long": ("最多 {max_length} 项", "at most {max_length}"),
    "list_type": ("应为数组 […]", "must be an array […]"),
    "tuple_type": ("应为数组 […]", "must be an array […]"),
    "dict_type": ("应为对象 {{…}}", "must be an object {{…}}"),
    "model_type": ("应为对象 {{…}}", "must be an object {{…}}"),
    "model_attributes_type": ("应为对象 {{…}}", "must be an object {{…}}"),
    "date_type": ("应为日期，如 2026-02-17", "must be a date such as 2026-02-17"),
    "date_parsing": ("没有这一天；日期写作 2026-02-17", "no such day; a date is written 2026-02-17"),
    "date_from_datetime_parsing": ("没有这一天；日期写作 2026-02-17", "no such day; a date is written 2026-02-17"),
    "time_zone": (
        "没有时区 {zone!r}；应形如 Asia/Shanghai",
        "no such time zone {zone!r}; an IANA name such as Asia/Shanghai is needed",
    ),
    "year_range": ("年份应在 {first}–{last}", "the year must be within {first}–{last}"),
    "not_in_year": ("不在 {year} 年", "is not in {year}"),
    "clock": ("时刻应在 00:00–24:00，写作 09:00", "a time of day is 00:00–24:00, written 09:00"),
    "clock_end": ("24:00 只能作结束；开始请写 00:00", "24:00 is an end only; begin at 00:00"),
    "span_empty": (
        '起止相同；全天请写 ["00:00", "24:00"]',
        'begins and ends at the same time; round the clock is ["00:00", "24:00"]',
    ),
    "hours_overlap": ("时段重叠：{first} 与 {second}", "hours overlap: {first} and {second}"),
    "duplicate": ("{value} 重复", "{value} is a duplicate"),
    "terms_order": ("截止期不能早于起始期；null 表示不限", "the last term is before the first; null for no last term"),
    "moment_type": (
        '应为 RFC 3339 时间文本，例如 "2026-03-02T09:30:00+08:00"',
        'must be an RFC 3339 time as text, such as "2026-03-02T09:30:00+08:00"',
    ),
    "moment_format": (
        "不是 RFC 3339 时间，应形如 2026-03-02T09:30:00+08:00",
        "is not an RFC 3339 time; it should look like 2026-03-02T09:30:00+08:00",
    ),
    "moment_naive": (
        "时间没有时区偏移，请写成 2026-03-02T09:30:00+08:00 或以 Z 结尾",
        "has no offset: write 2026-03-02T09:30:00+08:00, or end it with Z",
    ),
    "moment_impossible": ("没有这样的日期或时间", "there is no such date or time"),
    "moment_range": ("年份应在 {first} 至 {last} 之间", "the year must be between {first} and {last}"),
    "moment_future": (
        "比现在晚 {minutes} 分钟以上，请检查时钟或时区偏移",
        "lies more than {minutes} minutes in the future: check the clock or the offset",
    ),
    "attributes_size": (
        "写成 JSON 后最多 {limit} 字节，现有 {actual} 字节",
        "at most {limit} bytes as JSON, not {actual}",
    ),
    "attributes_depth": ("最多嵌套 {limit} 层", "must not be nested deeper than {limit} levels"),
    "attributes_number": (
        "数字应为有限值，整数不超过 64 位",
        "numbers must be finite, and whole numbers must fit 64 bits",
    ),
    "attributes_type": (
        "应为文本、数字、布尔、null、数组或对象",
        "must be text, number, boolean, null, array or object",
    ),
    "moment_written": (
        "“{value}”不是配置中列出的任何一种时间写法",
        "{value!r} is written in none of the profile's time formats",
    ),
    "value_unknown": (
        "配置中没有“{value}”的对应值，请补充；已有：{known}",
        "the profile maps no value {value!r}; add it, or use one of {known}",
    ),
    "verdict_both": ("同时标为按期和超期", "is flagged both on time and late"),
    "code_too_long": ("代码最多 {limit} 个字", "a code has at most {limit} characters"),
    "row_of_sums": ("这是合计行，不是工单", "this row adds up others; it is no ticket"),
    "column_count": ("应有 {expected} 列，实有 {actual} 列", "expected {expected} columns, found {actual}"),
    "record_unreadable": ("这一行无法按分隔文本读取", "the row cannot be read as delimited text"),
    "record_too_long": ("这一行超过 {limit} 个字", "the row is longer than {limit} characters"),
    "quote_unclosed": (
        "引号没有闭合，后面的行已从下一行起重新读取",
        "a quotation mark is never closed; reading went on with the next line",
    ),
    "json_invalid": ("不是合法的 JSON", "is not valid JSON"),
}  # fmt: skip
"""Error type → sentence in Chinese and in English; the braces are filled from the error's own context."""

_PATTERNS = {NO_NUL: "string_nul", CODE: "code_format"}
_UNLISTED = ("内容不符合要求", "is not acceptable")
_T = TypeVar("_T")


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of ``path``: each step after a slash, with ``~`` and ``/`` escaped."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def problem(code: str, path: Iterable[str | int] = (), **context: Any) -> FieldProblem:
    """The problem ``code`` at ``path``, worded from ``MESSAGES`` with ``context`` filled in."""
    return _worded(code, code, path, context)


def refusal(code: str, at: Sequence[str | int] = (), **context: Any) -> PydanticCustomError:
    """What a validator raises to report ``code``; ``at`` is the path below the field it validates."""
    shown = {  # pydantic renders the context, and fails on a lone surrogate
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in context.items()
    }
    return PydanticCustomError(code, "invalid", {"at": list(at), **shown})


def objection(zh: str, en: str) -> PydanticCustomError:
    """What a validator raises to report something that is in no table."""
    return nested(Invalid.at("", zh, en))


def nested(error: Invalid) -> PydanticCustomError:
    """What a validator raises to report the problems of a part, each below the field it validates."""
    return PydanticCustomError("invalid", "invalid", {"problems": list(error.problems)})


def validated(validate: Callable[[Any], _T], value: object, known: Iterable[str] = ()) -> _T:
    """``validate(value)``, whose pydantic errors become ``Invalid``; ``known`` as for ``problems_of``."""
    try:
        return validate(value)
    except ValidationError as error:
        raise Invalid(problems_of(error.errors(include_url=False), known)) from error


def problems_of(errors: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> list[FieldProblem]:
    """Pydantic's ``errors`` in both languages, at most ``MOST_PROBLEMS``; ``known``: field names to suggest from."""
    names = tuple(known)
    return [found for error in errors for found in _translated(error, names)][:MOST_PROBLEMS]


def built(document: Any, build: Callable[[Any], Any]) -> GetPydanticSchema:
    """Annotates a domain value that is validated as ``document`` (a model or another type) and then made by ``build``,
    which may raise ``Invalid`` with pointers below the value."""

    def make(valid: Any) -> Any:
        try:
            return build(valid)
        except Invalid as wrong:
            raise nested(wrong) from wrong

    return GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(make, handler.generate_schema(document))
    )


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise refusal("time_zone", zone=name[:64]) from error
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The name of a time zone that this installation knows."""
Code = Annotated[str, Field(pattern=CODE)]
"""The code of a policy or a calendar."""


def _translated(error: Mapping[str, Any], known: Sequence[str]) -> Iterable[FieldProblem]:
    code: str = error["type"]
    context = dict(error.get("ctx") or {})
    path = list(error["loc"])
    if len(path) > 1 and path[-1] == "[key]":  # pydantic's mark of a wrong key, not a step
        path.pop()
    path += context.pop("at", ())
    if "problems" in context:
        at = pointer(path)
        return [FieldProblem(at + each.pointer, each.zh, each.en, each.code) for each in context["problems"]]
    key = code
    if code == "extra_forbidden":
        zh, en = MESSAGES[code]
        zh_hint, en_hint = _hint(path, known)
        return [FieldProblem(pointer(path), zh + zh_hint, en + en_hint, code)]
    if code == "string_too_long":
        context["actual"] = len(error["input"].strip())
    elif code == "string_too_short" and context["min_length"] == 1:
        key = "string_empty"
    elif code == "string_pattern_mismatch":
        key = _PATTERNS.get(context.get("pattern", NO_NUL), code)
    elif code == "literal_error":
        context["expected"] = str(context["expected"]).replace(" or ", ", ")
    return [_worded(key, code, path, context)]


def _worded(key: str, code: str, path: Iterable[str | int], context: Mapping[str, Any]) -> FieldProblem:
    zh, en = MESSAGES.get(key, _UNLISTED)
    values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return FieldProblem(pointer(path), zh.format(**values), en.format(**values), code)


def _hint(path: Sequence[str | int], known: Sequence[str]) -> tuple[str, str]:
    if len(path) != 1 or not known:
        return "", ""
    near = get_close_matches(str(path[0]), known, n=1)
    zh, en = (f"（是否想写 {near[0]}？）", f" (did you mean {near[0]}?)") if near else ("", "")
    if "attributes" in known:
        return f"{zh}；自定义字段请放在 attributes 中", f"{en}; put fields of your own under attributes"
    return (zh, en) if near else (f"；可用：{'、'.join(known)}", f"; there are {', '.join(known)}")
