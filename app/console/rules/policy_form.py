"""A deadline policy to form fields and back, and its summary in words.

A field is named by its path in the policy's object, with dots: ``limits.complete.amount``; a problem at
``/limits/complete/amount`` is therefore the field's. What is typed wrong goes on as it was typed, for the policy's own
reader to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from app.console.base.choices import Option, source_choices, tree_choices
from app.console.base.i18n import Texts
from app.domain.tickets.policies import CRITERIA, TARGETS, Policy
from app.domain.time.limit import Limit
from app.domain.time.receipt import limit_words
from app.domain.words import KIND, PRIORITY, SEVERITY
from app.services.core.reference import Reference

COUNTS: Final = ("extension_days", "extensions", "return_days", "max_returns")
MOMENTS: Final = ("valid_from", "valid_to")
_CODED: Final[Mapping[str, Mapping[str, Any]]] = {"kind": KIND, "priority": PRIORITY, "severity": SEVERITY}


def choices(ref: Reference, match: Mapping[str, Sequence[str]], t: Texts) -> dict[str, list[Option]]:
    """Return the options of each criterion, including retired codes used by ``match``."""
    found = {key: [Option(code, t.word(key, code)) for code in words] for key, words in _CODED.items()}
    found["source"] = source_choices(ref, t.lang)
    found["unit"] = tree_choices(ref.units, t.lang)
    found["category"] = tree_choices(ref.categories, t.lang)
    for key, codes in match.items():
        listed = {choice.code for choice in found[key]}
        found[key] += [Option(code, code) for code in codes if code not in listed]
    return {key: found[key] for key in CRITERIA}


def fields_of(spec: Mapping[str, Any], zone: tzinfo) -> dict[str, str]:
    """Convert a policy's object (``Policy.to_spec``) to form fields."""
    found = {key: str(spec[key]) for key in ("code", "name_zh", "name_en", "calendar", *COUNTS) if key in spec}
    for key, codes in spec.get("match", {}).items():
        found |= {f"match.{key}.{code}": "1" for code in codes}
    for target, limit in spec.get("limits", {}).items():
        found[f"limits.{target}.amount"] = f"{limit['amount']:g}"
        found |= {f"limits.{target}.{key}": str(limit[key]) for key in ("unit", "ends")}
        if limit.get("count_first_day"):
            found[f"limits.{target}.count_first_day"] = "1"
    for key in MOMENTS:
        if spec.get(key):
            found[key] = datetime.fromisoformat(spec[key]).astimezone(zone).strftime("%Y-%m-%dT%H:%M")
    return found


def spec_of(fields: Mapping[str, str], zone: tzinfo) -> dict[str, Any]:
    """Convert form fields to a policy's object; empty ones are None, or omitted from ``match`` and ``limits``."""
    given = {key: value.strip() for key, value in fields.items() if value.strip()}
    spec: dict[str, Any] = {key: given.get(key) for key in ("name_zh", "name_en", "calendar")}
    spec |= {key: _number(given.get(key, "")) for key in COUNTS}
    spec |= {key: _moment(given.get(key), zone) for key in MOMENTS}
    match: dict[str, list[str]] = {}
    for name in given:
        if name.startswith("match."):
            _, key, code = name.split(".", 2)
            match.setdefault(key, []).append(code)
    limits: dict[str, Any] = {}
    for target in TARGETS:
        amount = given.get(f"limits.{target}.amount")
        if amount is not None:
            limits[target] = {
                "unit": given.get(f"limits.{target}.unit", ""), "amount": _number(amount),
                "ends": given.get(f"limits.{target}.ends", "close"),
                "count_first_day": f"limits.{target}.count_first_day" in given,
            }  # fmt: skip
    return {**spec, "match": match, "limits": limits}


def _number(text: str) -> int | float | str:
    """Parse a number; return the text itself if it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _moment(text: str | None, zone: tzinfo) -> str | None:
    """Parse a form's local time and add its offset."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).isoformat()


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """A policy in words: its conditions, its limit for each target (None: none), and its validity."""

    conditions: tuple[tuple[str, str], ...]
    limits: Mapping[str, str | None]
    valid_from: datetime | None
    valid_to: datetime | None


def summary_of(policy: Policy, ref: Reference, t: Texts) -> PolicySummary:
    """Return the summary of ``policy``."""
    named: dict[str, dict[str, str]] = {
        key: {choice.code: choice.name for choice in listed} for key, listed in choices(ref, policy.match, t).items()
    }
    conditions = tuple(
        (t.word("field", key), t("policy.or").join(named[key].get(code, code) for code in policy.match[key]))
        for key in CRITERIA
        if key in policy.match
    )
    limits = {target: _short(policy.limits.get(target), t) for target in TARGETS}
    return PolicySummary(conditions, limits, policy.valid_from, policy.valid_to)


def _short(limit: Limit | None, t: Texts) -> str | None:
    """Format a limit; its form of end is shown only if it is not the default."""
    if limit is None:
        return None
    usual = limit.ends == "close" and not limit.count_first_day
    return limit_words(limit, ends=not usual)[t.lang == "en"]
