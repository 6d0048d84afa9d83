"""The channels by name: every module of this package that defines one is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import app.channels
from app.channels.base import Channel

for _module in pkgutil.iter_modules(app.channels.__path__):
    importlib.import_module(f"app.channels.{_module.name}")


def available() -> dict[str, type[Channel]]:
    """The class of every channel, by its name."""
    return {kind.name: kind for kind in Channel.__subclasses__()}


def configured(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Channel]:
    """The channels that ``settings`` names, each with its configuration.

    Raises ValueError for a name that is no channel, and ``pydantic.ValidationError`` for a wrong configuration."""
    kinds = available()
    if unknown := sorted(set(settings) - set(kinds)):
        raise ValueError(f"no channel {', '.join(unknown)}; there are: {', '.join(sorted(kinds))}")
    return {name: kinds[name](kinds[name].config_type.model_validate(values)) for name, values in settings.items()}
