"""The rules that the tests themselves keep, each with snippets that break it.

Tests use what is public, wait for a condition instead of a fixed time, and have names that fit a line of a report.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LONGEST_NAME = 60
LOOKS_ONCE = {
    "all_inner_texts", "count", "get_attribute", "inner_text", "input_value", "is_checked", "is_visible", "text_content",
    "title",
}  # fmt: skip

Rule = Callable[[ast.Module], Iterator[tuple[int, str]]]


@cache
def modules() -> dict[str, ast.Module]:
    """Every module below tests/, parsed, by its path there."""
    return {path.relative_to(TESTS).as_posix(): ast.parse(path.read_text("utf-8")) for path in TESTS.rglob("*.py")}


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_members(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Private members of a module or object are its own; only a class reaches its own by ``self`` and ``cls``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and _name_of(node.value) not in ("self", "cls"):
            yield node.lineno, f"uses {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"imports {alias.name}") for alias in node.names if _is_private(alias.name))
        if isinstance(node, ast.Call) and _name_of(node.func) in ("getattr", "setattr", "delattr"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            yield from ((node.lineno, f"names {text}") for text in texts if _is_private(text.rpartition(".")[2]))


def fixed_waits(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """A test waits on an event or with ``tests.waiting.until``; a yield to the event loop, ``sleep(0)``, is none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio"):
            yield from ((node.lineno, "imports sleep") for alias in node.names if alias.name == "sleep")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep", "anyio.sleep"):
            yield from ((node.lineno, f"sleeps {ast.unparse(each)}") for each in node.args if ast.unparse(each) != "0")


def looks_that_do_not_wait(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """A browser test asserts on a page with ``expect``, which looks until it is so, never on what it shows at an instant.

    A click does not wait for the page that it leads to: such a test passes on an idle machine and fails on a busy one.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert):
            continue
        for each in ast.walk(node.test):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in LOOKS_ONCE:
                yield node.lineno, f"asserts on {each.func.attr}"
            if isinstance(each, ast.Attribute) and each.attr == "url" and _name_of(each.value) == "page":
                yield node.lineno, "asserts on page.url"


def long_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The name of a test says the behaviour in at most ``LONGEST_NAME`` characters."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in functions:
        if node.name.startswith("test_") and len(node.name) > LONGEST_NAME:
            yield node.lineno, f"{node.name} has {len(node.name)} characters"


BREACHES: dict[Rule, tuple[str, ...]] = {
    private_members: (
        "module._limit", "thing.part._state = 1", "from app.db import _open", "patch.setattr(jobs, '_EVERY', 0)",
        "patch.setattr('app.db._open', None)",
    ),
    fixed_waits: ("time.sleep(1)", "await asyncio.sleep(0.1)", "from time import sleep"),
    long_names: (f"def test_{'x' * 56}() -> None: ...",),
    looks_that_do_not_wait: (
        "assert page.locator('h1').count() == 1", "assert 'x' in page.inner_text('p')", "assert page.url == first",
    ),
}  # fmt: skip
"""Each rule, with snippets that break it."""

RIGHT: dict[Rule, tuple[str, ...]] = {
    private_members: ("self._state = cls._made", "thing.__dict__", "patch.setattr(jobs, 'EVERY', 0)"),
    fixed_waits: ("await asyncio.sleep(0)", "event.wait(1)", "clock.sleep(3)"),
    long_names: (f"def test_{'x' * 55}() -> None: ...", f"def made_{'x' * 60}() -> None: ..."),
    looks_that_do_not_wait: ("expect(page).to_have_url('/')", "count = page.locator('tr').count()"),
}
"""Each rule, with snippets that keep it."""

ONLY_IN: dict[Rule, str] = {looks_that_do_not_wait: "browser/test_"}


def _cases(snippets: dict[Rule, tuple[str, ...]]) -> list[tuple[Rule, str]]:
    return [(rule, snippet) for rule, some in snippets.items() for snippet in some]


@pytest.mark.parametrize("rule", BREACHES, ids=lambda rule: rule.__name__)
def test_every_test_module_keeps_the_rule(rule: Rule) -> None:
    where = ONLY_IN.get(rule, "")
    found = [
        f"{name}:{n} {what}" for name, tree in modules().items() if name.startswith(where) for n, what in rule(tree)
    ]
    assert found == []


@pytest.mark.parametrize(("rule", "snippet"), _cases(BREACHES))
def test_a_breach_of_the_rule_is_found(rule: Rule, snippet: str) -> None:
    assert list(rule(ast.parse(snippet)))


@pytest.mark.parametrize(("rule", "snippet"), _cases(RIGHT))
def test_right_code_is_not_reported(rule: Rule, snippet: str) -> None:
    assert list(rule(ast.parse(snippet))) == []
