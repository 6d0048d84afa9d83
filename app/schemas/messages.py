"""What pydantic says of a bad ticket, put into Chinese and English in one table.

A problem has a *code* (what rejects are grouped by), a JSON pointer and a sentence in each language that says what is
wrong and what would be right. The codes are pydantic's error types, and those that ``ingest.rows.ticket_in`` adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from app.errors import FieldProblem

MOST_PROBLEMS = 50
"""A caller learns this many problems of one ticket at a time: enough to mend it, too few to flood a log."""

MESSAGES: Mapping[str, tuple[str, str]] = {
    "missing": ("缺少必填字段", "is required"),
    "extra_forbidden": (
        "不认识的字段{hint}；自定义字段请放在 attributes 中",
        "unknown field{hint}; put fields of your own under attributes",
    ),
    "string_type": ("应为文本", "must be text"),
    "string_too_short": ("不能为空", "must not be empty"),
    "string_too_long": ("最多 {max_length} 个字，现有 {actual} 个", "at most {max_length} characters, not {actual}"),
    "string_pattern_mismatch": (
        "含有无法保存的空字符 (U+0000)",
        "contains a NUL character (U+0000), which cannot be stored",
    ),
    "string_unicode": (
        "含有不成字符的字节（文件损坏或编码不符，或单独的代理码位），无法保存",
        "contains bytes that are no character (a damaged file, another encoding, a lone surrogate): it cannot be stored",
    ),
    "literal_error": ("应为 {expected} 之一", "must be one of {expected}"),
    "float_type": ("应为数字", "must be a number"),
    "float_parsing": ("应为数字", "must be a number"),
    "finite_number": ("应为有限的数字，不能是 NaN 或无穷", "must be a finite number, not NaN or infinity"),
    "greater_than_equal": ("不能小于 {ge:g}", "must be at least {ge:g}"),
    "less_than_equal": ("不能大于 {le:g}", "must be at most {le:g}"),
    "bool_type": ("应为 true 或 false", "must be true or false"),
    "too_short": ("至少要有 {min_length} 项", "needs at least {min_length}"),
    "tuple_type": ("应为数组 […]", "must be an array […]"),
    "dict_type": ("应为对象 {{…}}", "must be an object {{…}}"),
    "model_type": ("应为对象 {{…}}", "must be an object {{…}}"),
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

_UNLISTED = ("内容不符合要求", "is not acceptable")


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of ``path``: each step after a slash, with ``~`` and ``/`` escaped."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def problem(code: str, path: Iterable[str | int] = (), **context: Any) -> FieldProblem:
    """The problem ``code`` at ``path``, worded from ``MESSAGES`` with ``context`` filled in."""
    zh, en = MESSAGES.get(code, _UNLISTED)
    return FieldProblem(pointer(path), zh.format(**context), en.format(**context), code)


def refusal(code: str, at: Sequence[str | int] = (), **context: Any) -> PydanticCustomError:
    """What a validator raises to report ``code``; ``at`` is the path below the field it validates."""
    return PydanticCustomError(code, "{why}", {"why": code, "at": list(at), **context})


def objection(zh: str, en: str) -> PydanticCustomError:
    """What a validator raises to say something that stands in no table."""
    return PydanticCustomError("invalid", "{why}", {"why": "invalid", "zh": zh, "en": en})


def problems_of(error: ValidationError, known: Iterable[str] = ()) -> list[FieldProblem]:
    """The problems that ``error`` tells of, at most ``MOST_PROBLEMS``; ``known`` are field names to suggest from."""
    names = tuple(known)
    return [_translate(found, names) for found in error.errors(include_url=False)[:MOST_PROBLEMS]]


def _translate(found: Mapping[str, Any], known: Sequence[str]) -> FieldProblem:
    code = found["type"]
    context = dict(found.get("ctx") or {})
    path = [*found["loc"], *context.pop("at", ())]
    if "zh" in context:
        return FieldProblem(pointer(path), context["zh"], context["en"], code)
    if code == "extra_forbidden":
        near = get_close_matches(str(path[-1]), known, n=1)
        zh, en = MESSAGES[code]
        zh_hint, en_hint = (f"（是否想写 {near[0]}？）", f" (did you mean {near[0]}?)") if near else ("", "")
        return FieldProblem(pointer(path), zh.format(hint=zh_hint), en.format(hint=en_hint), code)
    if code == "string_too_long":
        context["actual"] = len(found["input"].strip())
    elif code == "literal_error":
        context["expected"] = str(context["expected"]).replace(" or ", ", ")
    return problem(code, path, **context)
