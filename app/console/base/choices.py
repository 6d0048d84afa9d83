"""Trees as option lists: units, categories, grids, sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.security.principal import Principal
from app.services.core.reference import Node, Reference
from app.store.scope import covers


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a list: its code, its name, and its depth."""

    code: str
    name: str
    depth: int = 0


def _walk(nodes: Iterable[Node], lang: str) -> list[Option]:
    listed = list(nodes)
    present = {node.id for node in listed}
    below: dict[int | None, list[Node]] = {}
    for node in sorted(listed, key=lambda n: n.id):
        below.setdefault(node.parent_id if node.parent_id in present else None, []).append(node)
    found: list[Option] = []
    waiting = [(node, 0) for node in reversed(below.get(None, []))]
    while waiting:
        node, depth = waiting.pop()
        found.append(Option(node.code, node.called(lang), depth))
        waiting.extend((child, depth + 1) for child in reversed(below.get(node.id, [])))
    return found


def unit_choices(ref: Reference, who: Principal, lang: str) -> list[Option]:
    """Return the active units that ``who`` may filter by, each below its parent."""
    return _walk((n for n in ref.units.values() if n.active and covers(who, n)), lang)


def tree_choices(nodes: Mapping[int, Node], lang: str) -> list[Option]:
    """Return the active nodes of a tree, each below its parent."""
    return _walk((n for n in nodes.values() if n.active), lang)


def source_choices(ref: Reference, lang: str) -> list[Option]:
    """Return the active sources."""
    return [
        Option(s.code, (s.name_en or s.name) if lang == "en" else s.name)
        for s in sorted(ref.sources.values(), key=lambda s: s.id)
        if s.active
    ]
