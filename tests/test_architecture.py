"""The rules of the house that can be read off the source, each with a snippet that breaks it.

A rule takes ``{module name: source}`` and gives back one sentence for each breach, so that the same function judges the
project and the snippet that proves that the rule can fail.
"""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "ingest", "reports")
LAYERS = (
    {"app.text"},
    {"app.errors"},
    {"app.domain", "app.clock", "app.turns", "app.validation"},
    {"app.config", "app.models", "app.schemas"},  # app.schemas knows errors, validation and domain only
    {"app.db", "app.security"},
    {"app.store", "app.logging", "app.metrics"},
    {"app.services"},
    {"app.runtime"},  # settings, database and reference data, as every door and surface holds them
    {"app.demo"},  # sample data, told to the services
    {"app.channels", "ingest", "reports"},
    {"app.api", "app.console", "app.workers"},
    {"app.main"},
    {"app.commands"},  # above app.main, since `duban serve` starts it
    {"app.cli"},
)
"""From the ground up. A module imports its own layer and lower rows; layers of one row do not know each other."""

LONGEST = 400
WALL_CLOCK = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "Timestamp": {"now", "utcnow", "today"},
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"},
    "func": {"now", "current_timestamp", "localtimestamp"},
}
ENVIRONMENT = {"environ", "environb", "getenv"}
MACHINE_PATH = re.compile(r"(?<![\w.~$}*-])/(?:work|root|tmp|home/[a-z]\w*|Users/\w+)/\w")
REGISTRY_HOST = re.compile(
    r"py[p]i\.org|python[h]osted\.org|n[p]mjs\.org|deb\.[d]ebian\.org|gh[c]r\.io|qu[a]y\.io|dock[e]r\.io"
    r"|debian\.[o]rg/debian|https?://mirrors?\.|--(?:extra-)?index-[u]rl|--find-[l]inks"
)
"""Hosts of registries, and options that name one. No tracked file has any, not even this: hence the single letters."""

Sources = dict[str, str]
Rule = Callable[[Sources], list[str]]


# ------------------------------------------------------------------------------------------------ reading the source


@cache
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


@cache
def project() -> Sources:
    """Every module of the three packages, by its dotted name (a package by the name of its folder)."""
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {_module_name(path): path.read_text("utf-8") for path in files}


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that is, or by the next commit may be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def _imported(node: ast.AST, known: Sources) -> Iterator[str]:
    """The project's modules that one import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name if name in known else node.module for name in inner]
    else:
        return
    yield from (name for name in dict.fromkeys(names) if name.split(".")[0] in PACKAGES)


def _imports(sources: Sources) -> Iterator[tuple[str, int, str]]:
    for module, source in sources.items():
        for node in ast.walk(_tree(source)):
            for target in _imported(node, sources):
                yield module, getattr(node, "lineno", 0), target


def _layer(module: str) -> tuple[int, str] | None:
    for height, row in enumerate(LAYERS):
        for layer in row:
            if module == layer or module.startswith(f"{layer}."):
                return height, layer
    return None


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


# --------------------------------------------------------------------------------------------------------- the rules


def imports_point_one_way(sources: Sources) -> list[str]:
    """A module imports its own layer and lower rows only."""
    found = []
    for module, line, target in _imports(sources):
        here, there = _layer(module), _layer(target)
        if here is None or there is None or here[1] == there[1] or there[0] < here[0]:
            continue
        found.append(f"{module}:{line} imports {target}: {here[1]} may not know {there[1]}")
    return found


def every_module_has_a_layer(sources: Sources) -> list[str]:
    """A new package gets its place in ``LAYERS`` before it is used."""
    return [f"{module} stands in no layer" for module in sources if module != "app" and _layer(module) is None]


def imports_make_no_cycle(sources: Sources) -> list[str]:
    """The modules can be put in an order in which each imports earlier ones only."""
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for module, _, target in _imports(sources):
        if target != module:
            graph[module].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


GROUPED = ("app.domain", "app.services", "app.console", "ingest", "reports")
"""Packages whose sub-packages are ordered: of two, at most one imports the other, directly or through others."""


def packages_are_imported_one_way(sources: Sources) -> list[str]:
    """The sub-packages of a grouped package can be put in an order in which each imports earlier ones only."""
    found = []
    for package in GROUPED:
        graph: dict[str, set[str]] = {}
        for module, _, target in _imports(sources):
            rooms = [".".join(name.split(".")[: package.count(".") + 2]) for name in (module, target)]
            if all(room.startswith(f"{package}.") for room in rooms) and rooms[0] != rooms[1]:
                graph.setdefault(rooms[0], set()).add(rooms[1])
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            found.append(" imports ".join(reversed(error.args[1])))
    return found


def domain_imports_the_standard_library_alone(sources: Sources) -> list[str]:
    """``app.domain`` knows no library, and of the project only the error tree, which imports nothing."""
    found = []
    for module, source in sources.items():
        if (_layer(module) or (0, ""))[1] != "app.domain":
            continue
        for node in ast.walk(_tree(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            own = {"app.domain", "app.errors", "app.text"}
            strange = [
                n
                for n in names
                if n.split(".")[0] not in sys.stdlib_module_names and (_layer(n) or (0, ""))[1] not in own
            ]
            found += [f"{module} imports {name}" for name in strange]
    return found


def no_project_import_stands_inside_a_function(sources: Sources) -> list[str]:
    """An import inside a function hides a cycle from whoever reads the top of the file."""
    found = []
    for module, source in sources.items():
        for outer in ast.walk(_tree(source)):
            if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
                targets = {t for node in ast.walk(outer) for t in _imported(node, sources)}
                found += [f"{module}:{outer.lineno} {outer.name} imports {target}" for target in sorted(targets)]
    return found


def the_wall_clock_is_read_in_one_place(sources: Sources) -> list[str]:
    """Whoever needs the time is given ``now``; ``app.clock`` reads it."""
    found = []
    for module, source in sources.items():
        if module == "app.clock":
            continue
        for node in ast.walk(_tree(source)):
            if isinstance(node, ast.Attribute) and node.attr in WALL_CLOCK.get(_name_of(node.value), ()):
                found.append(f"{module}:{node.lineno} reads {_name_of(node.value)}.{node.attr}")
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                taken = {alias.name for alias in node.names} & WALL_CLOCK["time"]
                found += [f"{module}:{node.lineno} takes {name} from time" for name in sorted(taken)]
    return found


def no_error_is_swallowed(sources: Sources) -> list[str]:
    """An ``except`` does something, and nobody suppresses every error there is."""
    found = []
    for module, source in sources.items():
        for node in ast.walk(_tree(source)):
            if isinstance(node, ast.ExceptHandler) and all(_does_nothing(step) for step in node.body):
                found.append(f"{module}:{node.lineno} swallows an error")
            if isinstance(node, ast.Call) and _name_of(node.func) == "suppress":
                broad = {_name_of(argument) for argument in node.args} & {"Exception", "BaseException"}
                found += [f"{module}:{node.lineno} suppresses every {name}" for name in broad]
    return found


def _does_nothing(step: ast.stmt) -> bool:
    return isinstance(step, ast.Pass) or (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))


def files_are_read_at_a_sitting(sources: Sources) -> list[str]:
    """A file beyond 400 lines says in its docstring, in a sentence with the word *long*, why it is."""
    found = []
    for module, source in sources.items():
        lines = source.count("\n")
        reason = re.search(r"(?<!no )\blong(er)?\b", ast.get_docstring(_tree(source)) or "", re.IGNORECASE)
        if lines > LONGEST and not reason:
            found.append(f"{module} has {lines} lines, and its docstring does not say why it is so long")
    return found


def modules_say_what_they_are_for(sources: Sources) -> list[str]:
    """Every module that holds code begins with a docstring."""
    trees = {module: _tree(source) for module, source in sources.items()}
    return [f"{module} has no docstring" for module, tree in trees.items() if tree.body and not ast.get_docstring(tree)]


def public_functions_say_what_they_promise(sources: Sources) -> list[str]:
    """Every public function and class at the top of a module has a docstring, and its types."""
    found = []
    for module, source in sources.items():
        for node in _tree(source).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                found.append(f"{module}:{node.lineno} {node.name} has no docstring")
            if not isinstance(node, ast.ClassDef) and node.returns is None:
                found.append(f"{module}:{node.lineno} {node.name} does not say what it returns")
    return found


def the_environment_is_read_in_one_place(sources: Sources) -> list[str]:
    """Settings come from ``app.config``, where each has a type, a default and a row in the documents. A child process is
    given its parent's environment whole."""
    found = []
    for module, source in sources.items():
        if module in ("app.config", "ingest.child_process"):
            continue
        for node in ast.walk(_tree(source)):
            if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT and _name_of(node.value) == "os":
                found.append(f"{module}:{node.lineno} reads os.{node.attr}")
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                taken = {alias.name for alias in node.names} & ENVIRONMENT
                found += [f"{module}:{node.lineno} imports {name} from os" for name in sorted(taken)]
    return found


def events_are_logged_in_one_way(sources: Sources) -> list[str]:
    """Loggers come from ``app.logging``, which adds the context and removes personal data."""
    return [
        f"{module}:{node.lineno} imports the standard library's logging"
        for module, source in sources.items()
        if module != "app.logging"
        for node in ast.walk(_tree(source))
        if (isinstance(node, ast.Import) and any(alias.name == "logging" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "logging")
    ]


ROW_ACCESS = {"app.store.scope", "app.security.permissions"}
PRINCIPALS = {"who", "principal", "caller", "viewer", "Who", "Principal"}
BOUNDS = {"role", "unit_id", "unit_path", "source_id"}
COMPARES = {"startswith", "in_", "is_", "is_not", "contains", "path_subtree", "unit_subtree", "isinstance", "bool"}


def row_access_is_decided_in_one_place(sources: Sources) -> list[str]:
    """A principal's role, unit and source are compared in ``app.store.scope`` (rows) and ``app.security.permissions``
    (actions, fields) alone. Elsewhere they are handed on, as an argument of a call, and nothing else."""
    found = []
    for module, source in sources.items():
        if module in ROW_ACCESS:
            continue
        tree = _tree(source)
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        names = PRINCIPALS | {
            arg.arg for arg in ast.walk(tree) if isinstance(arg, ast.arg) and _is_principal(arg.annotation)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and "in_subtree" in {alias.name for alias in node.names}:
                found.append(f"{module}:{node.lineno} takes the test of a subtree from {node.module}")
            if isinstance(node, ast.Attribute) and node.attr in BOUNDS and _name_of(node.value) in names:
                above = parents[node]
                while isinstance(above, ast.BoolOp | ast.keyword):
                    above = parents[above]
                if not (isinstance(above, ast.Call) and _name_of(above.func) not in COMPARES):
                    found.append(f"{module}:{node.lineno} decides by {ast.unparse(node)}")
    return found


def _is_principal(annotation: ast.expr | None) -> bool:
    return annotation is not None and _name_of(annotation) in {"Who", "Principal"}


RULES: dict[Rule, Sources] = {
    imports_point_one_way: {"app.store.x": "import app.services.y", "app.services.y": ""},
    every_module_has_a_layer: {"app.misc": ""},
    imports_make_no_cycle: {"app.store.x": "from app.store import y", "app.store.y": "import app.store.x"},
    packages_are_imported_one_way: {
        "ingest.rows.a": "from ingest.files import b",
        "ingest.rows.c": "",
        "ingest.files.b": "",
        "ingest.files.d": "from ingest.rows import c",
    },
    domain_imports_the_standard_library_alone: {"app.domain.x": "import orjson"},
    no_project_import_stands_inside_a_function: {
        "app.store.x": "def f():\n    from app.store import y",
        "app.store.y": "",
    },
    the_wall_clock_is_read_in_one_place: {"app.api.x": "import datetime as d\nnow = d.datetime.now"},
    the_environment_is_read_in_one_place: {"app.db": "import os\nwanted = os.environ.get('DUBAN_X')"},
    events_are_logged_in_one_way: {"app.api.x": "import logging\nlog = logging.getLogger('x')"},
    no_error_is_swallowed: {"app.api.x": "try:\n    f()\nexcept OSError:\n    pass"},
    files_are_read_at_a_sitting: {"app.api.x": '"""A file."""\n' + "x = 1\n" * 400},
    modules_say_what_they_are_for: {"app.api.x": "x = 1"},
    public_functions_say_what_they_promise: {"app.api.x": "def f() -> int:\n    return 1"},
    row_access_is_decided_in_one_place: {"app.services.x": "if who.role == 'unit':\n    rows = []"},
}
"""Each rule, with a small project that breaks it."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Rule) -> None:
    assert rule(project()) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_can_fail(rule: Rule) -> None:
    assert rule(RULES[rule]) != []


@pytest.mark.parametrize(
    ("rule", "snippet"),
    [
        (imports_point_one_way, {"app.api.x": "import app.console.y", "app.console.y": ""}),
        (imports_point_one_way, {"app.clock": "from app.config import get_settings", "app.config": ""}),
        (imports_point_one_way, {"ingest.x": "if TYPE_CHECKING:\n    from reports import y", "reports.y": ""}),
        (domain_imports_the_standard_library_alone, {"app.domain.x": "from app.models import Ticket"}),
        (the_wall_clock_is_read_in_one_place, {"app.api.x": "import time\nstart = time.time()"}),
        (the_wall_clock_is_read_in_one_place, {"app.api.x": "from time import time"}),
        (the_wall_clock_is_read_in_one_place, {"app.models.x": "made = Column(server_default=func.now())"}),
        (the_environment_is_read_in_one_place, {"app.db": "from os import getenv"}),
        (no_error_is_swallowed, {"app.api.x": "with suppress(Exception):\n    f()"}),
        (no_error_is_swallowed, {"app.api.x": "try:\n    f()\nexcept OSError:\n    ..."}),
        (public_functions_say_what_they_promise, {"app.api.x": 'async def f():\n    """Does."""'}),
        (row_access_is_decided_in_one_place, {"app.api.x": "path = looking.who.unit_path"}),
        (row_access_is_decided_in_one_place, {"app.api.x": "from app.security.permissions import in_subtree"}),
        (row_access_is_decided_in_one_place, {"reports.x": "seen = unit.path.startswith(who.unit_path or '/')"}),
        (row_access_is_decided_in_one_place, {"ingest.x": "query.where(source == principal.source_id)"}),
        (row_access_is_decided_in_one_place, {"app.api.x": "def f(me: Principal):\n    return me.role in ROLES"}),
        (row_access_is_decided_in_one_place, {"app.api.x": "match who.role:\n    case 'unit': f()"}),
        (row_access_is_decided_in_one_place, {"app.api.x": "rows = BY_ROLE[who.role]"}),
        (row_access_is_decided_in_one_place, {"app.api.x": "query.where(unit_id.in_(who.unit_id))"}),
    ],
)
def test_subtler_breaches_are_seen_too(rule: Rule, snippet: Sources) -> None:
    assert rule(snippet) != []


@pytest.mark.parametrize(
    ("rule", "snippet"),
    [
        (imports_point_one_way, {"app.api.x": "from app.services import y", "app.services.y": ""}),
        (
            imports_make_no_cycle,
            {"app.store": "from app.store import x", "app.store.x": "import app.store.y", "app.store.y": ""},
        ),
        (
            the_wall_clock_is_read_in_one_place,
            {"app.api.x": "from app import clock\nnow = clock.now()\nt = time.monotonic()"},
        ),
        (no_error_is_swallowed, {"app.api.x": "try:\n    f()\nexcept OSError:\n    count += 1"}),
        (
            row_access_is_decided_in_one_place,
            {"app.api.x": "allowed_actions(ticket.status, who.role)\nif user.role == x: f()"},
        ),
        (row_access_is_decided_in_one_place, {"app.store.scope": "seen = who.role == 'leader'"}),
        (files_are_read_at_a_sitting, {"app.api.x": '"""Long because it is one table."""\n' + "x = 1\n" * 400}),
    ],
)
def test_what_is_right_is_let_be(rule: Rule, snippet: Sources) -> None:
    assert rule(snippet) == []


# ------------------------------------------------------------------------------------------------ files, not modules


def _lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked_files():
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture or a font
        found += [
            f"{path.relative_to(ROOT)}:{n} {line.strip()[:80]}"
            for n, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_path_of_some_machine() -> None:
    assert _lines_that_match(MACHINE_PATH) == []


def test_no_file_names_the_host_of_a_registry() -> None:
    assert _lines_that_match(REGISTRY_HOST) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "open('/ho" + "me/li/data.csv')"),
        (MACHINE_PATH, "see /tm" + "p/result.json"),
        (REGISTRY_HOST, "https://py" + "pi.org/simple"),
        (REGISTRY_HOST, "https://files.python" + "hosted.org/packages"),
        (REGISTRY_HOST, "registry.n" + "pmjs.org"),
        (REGISTRY_HOST, "http://deb." + "debian.org"),
        (REGISTRY_HOST, "http://ftp.debian." + "org/debian"),
        (REGISTRY_HOST, "FROM gh" + "cr.io/x"),
        (REGISTRY_HOST, "FROM qu" + "ay.io/x"),
        (REGISTRY_HOST, "FROM dock" + "er.io/x"),
        (REGISTRY_HOST, "https://mirror" + ".example.org/x"),
        (REGISTRY_HOST, "pip install --extra-index" + "-url x"),
        (REGISTRY_HOST, "pip install --find" + "-links wheels"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


def application_imports(source: str) -> list[str]:
    """What a migration imports of the application, which will have changed when the migration is run."""
    nodes = list(ast.walk(_tree(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return [name for name in names if name.split(".")[0] in PACKAGES]


def test_migrations_import_nothing_of_the_application() -> None:
    """Column types are written out, as ``alembic/script.py.mako`` shows; tables are named by literals."""
    files = sorted((ROOT / "alembic" / "versions").glob("*.py"))
    assert {file.name: application_imports(file.read_text("utf-8")) for file in files} == {f.name: [] for f in files}


@pytest.mark.parametrize("line", ["from app.models.types import Json", "import app.models", "from app import db"])
def test_an_import_of_the_application_is_found(line: str) -> None:
    assert application_imports(line) != []


def test_the_folder_of_migrations_is_no_package() -> None:
    """With an ``__init__.py`` it would stand in front of the library of the same name."""
    assert (ROOT / "alembic" / "env.py").is_file()
    assert list((ROOT / "alembic").rglob("__init__.py")) == []
