"""The command line: parses, calls a service, prints. Each group of commands has its own module in ``app.commands``.

Exit codes: 0 done, 1 refused or failed (one line on stderr says why), 2 wrong use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import typer
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from app.config import get_settings
from app.errors import DubanError, Invalid
from app.logging import configure
from app.validation import problems_of

MODULES = {
    "serve": "service",
    "openapi": "service",
    "demo": "operation",
    "sweep": "operation",
    "config": "settings",
    "import": "imports",
    "profiles": "profiles",
    "report": "reports",
    "user": "accounts",
    "key": "accounts",
    "calendar": "deadline",
    "policy": "deadline",
    "deadline": "deadline",
    "deadlines": "deadlines",
    "audit": "audit",
    "feed": "feeds",
}
"""Which module of ``app.commands`` has a command. Only the one asked for is loaded: a sweep by cron need not wait for
the spreadsheet libraries."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command line for ``arguments``: with the command they name, or with all where they name none."""
    app = typer.Typer(
        name="duban",
        help="督办 Duban: supervise citizens' work orders to completion.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_start_logging)  # a callback also makes it a group, even with a single command loaded
    named = next((MODULES[word] for word in arguments[:1] if word in MODULES), None)
    for name in [named] if named else dict.fromkeys(MODULES.values()):
        import_module(f"app.commands.{name}").register(app)
    return app


def _start_logging() -> None:
    configure(get_settings())


def _language() -> str:
    try:
        return get_settings().lang
    except ValidationError:
        return "zh"


def main() -> None:
    """The ``duban`` command: runs it, and turns every refusal into one line on stderr and exit code 1."""
    try:
        build(sys.argv[1:])(prog_name="duban")
    except Invalid as error:
        lang = _language()
        lines = "; ".join(f"{p.pointer or '/'}: {p.text(lang)}" for p in error.problems[:5])
        sys.exit(_fail(lines))
    except DubanError as error:
        sys.exit(_fail(error.text(_language())))
    except ValidationError as error:
        first = problems_of(error.errors(include_url=False))[0]
        name = "DUBAN_" + first.pointer[1:].replace("/", "_").upper()
        sys.exit(_fail(f"{name}: {first.zh} / {first.en}"))  # the language is a setting too
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0] if error.orig else "unreachable"
        sys.exit(_fail(f"数据库无法使用 / the database cannot be used: {reason}"))
    except FileNotFoundError as error:
        missing = error.filename or str(error)
        sys.exit(_fail(f"there is no file {missing}" if _language() == "en" else f"没有这个文件：{missing}"))
    except (OSError, UnicodeError) as error:
        sys.exit(_fail(str(error)))


def _fail(text: str) -> int:
    print(f"duban: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
