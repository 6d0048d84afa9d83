"""``duban audit verify``."""

from __future__ import annotations

import typer

from app.commands.common import JsonFlag, opened, print_json, say
from app.services.audit import seals

audit = typer.Typer(help="the event log's hash chain", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(audit, name="audit")


@audit.command("verify")
def verify(as_json: JsonFlag = False) -> None:
    """Verify the hash chains and seals of the event log; exit code 1 and the first broken link if there is one."""
    with opened() as runtime:
        broken = seals.verify(runtime.database)
    if as_json:
        print_json({"intact": broken is None, "broken": None if broken is None else broken.to_json()})
    elif broken is None:
        say("事件链完整", "the chains are intact")
    else:
        typer.echo(str(broken), err=True)
    if broken is not None:
        raise typer.Exit(1)
