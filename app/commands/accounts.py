"""``duban user add`` and ``duban key create``."""

from __future__ import annotations

from typing import Annotated

import typer

from app import clock
from app.commands.common import JsonFlag, opened, print_json, say
from app.security.principal import RoleName
from app.services.access import accounts

Role = Annotated[RoleName, typer.Option("--role", help="role of the account")]
UnitCode = Annotated[str | None, typer.Option("--unit", help="code of its unit, for role `unit`")]

user = typer.Typer(help="people who sign in", no_args_is_help=True)
key = typer.Typer(help="API keys", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(user, name="user")
    app.add_typer(key, name="key")


@user.command("add")
def user_add(
    name: str,
    role: Role,
    unit: UnitCode = None,
    display_name: Annotated[str | None, typer.Option("--display-name")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create an account; its one-time password is shown once."""
    with opened() as runtime, runtime.database.write() as session:
        made, password = accounts.create_user(
            session,
            name,
            role,
            None,
            unit,
            display_name or name,
            now=clock.now(),
        )
        number = made.id
    if as_json:
        print_json({"id": number, "name": name, "secret": password})
        return
    say(f"账号 {name} 已建立，一次性密码：{password}", f"account {name} made, one-time password: {password}")


@key.command("create")
def key_create(
    role: Role,
    source: Annotated[str | None, typer.Option("--source", help="code of its source, for role `integrator`")] = None,
    unit: UnitCode = None,
    name: Annotated[str | None, typer.Option("--name", help="what the key is for")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create an API key; its secret is shown once."""
    with opened() as runtime, runtime.database.write() as session:
        made, secret = accounts.create_key(
            session,
            name or role,
            role,
            source,
            unit,
            actor="system:cli",
            now=clock.now(),
        )
        number = made.id
    if as_json:
        print_json({"id": number, "secret": secret})
        return
    say(f"密钥 {number}：{secret}（仅显示这一次）", f"key {number}: {secret} (shown this once)")


@key.command("revoke")
def key_revoke(key_id: int) -> None:
    """Revoke a key permanently."""
    with opened() as runtime, runtime.database.write() as session:
        accounts.revoke_key(session, key_id, clock.now())
    say(f"密钥 {key_id} 已吊销", f"key {key_id} revoked")
