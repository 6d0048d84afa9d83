"""``duban config``."""

from __future__ import annotations

from typing import Any

import typer

from app.commands.common import JsonFlag, print_json
from app.config import Settings, get_settings


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("config")(show_config)


def show_config(as_json: JsonFlag = False) -> None:
    """Print the settings in force, secrets masked."""
    settings = get_settings()
    shown: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        shown[f"DUBAN_{name.upper()}"] = masked_url(settings) if name == "database_url" else value
    if as_json:
        print_json(
            {key: value if isinstance(value, bool | int | float) else str(value) for key, value in shown.items()}
        )
        return
    for key, value in shown.items():
        typer.echo(f"{key}={value}")


def masked_url(settings: Settings) -> str:
    """Return the database URL in force, its password masked."""
    from_url = settings.url
    head, at, tail = from_url.rpartition("@")
    if not at:
        return from_url
    scheme, _, login = head.partition("://")
    name, colon, _ = login.partition(":")
    return f"{scheme}://{name}{':***' if colon else ''}@{tail}"
