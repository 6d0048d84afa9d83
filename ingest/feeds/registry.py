"""Feeds kept from their definitions: by the command line, which may reach into the machine, and by everybody else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from app.errors import Invalid
from app.models import Feed
from app.runtime import Runtime
from app.services.intake import feeds
from ingest.connectors.base import FileConnector
from ingest.connectors.registry import (
    AS_IT_IS,
    SpecOverrides,
    available,
    connector_of,
    load_spec,
    template_names,
    template_text,
)
from ingest.connectors.spec import FeedSpec
from ingest.profile_wizard.saved import profile_folders
from ingest.rows.profile import load_profile
from ingest.rows.toml_text import read_toml


def own_templates(runtime: Runtime) -> list[Path]:
    """The folders of feed templates besides the bundled ones: ``feeds`` in the data directory, where there is one."""
    folder = runtime.settings.data_dir / "feeds"
    return [folder] if folder.is_dir() else []


def load(runtime: Runtime, name: str, changes: SpecOverrides = AS_IT_IS) -> FeedSpec:
    """The feed of the template or ``.toml`` file ``name``, with ``changes``. Raises NotFound and Invalid, also for a
    folder whose mapping profile is not there."""
    spec = load_spec(name, own_templates(runtime), changes)
    connector = connector_of(spec)
    if issubclass(connector, FileConnector):
        load_profile(connector(spec).profile, profile_folders(runtime))
    return spec


def keep(session: Session, spec: FeedSpec, *, actor: str, now: datetime, replace: bool = False) -> Feed:
    """Keep the feed, with its source where that is missing. ``replace``: a new definition for one that is there, whose
    cursor stays. Raises Conflict where the name is taken."""
    return feeds.add(
        session, spec.name, spec.kind, spec.model_dump(mode="json"), spec.source.model_dump(), actor=actor, now=now,
        replace=replace,
    )  # fmt: skip


def check_remote(spec: FeedSpec) -> FeedSpec:
    """The definition, if it may come over the network: one that reads files of this machine, a watched folder or a
    secret in a file, is added on the command line, by whoever may read them anyway. Raises Invalid."""
    if connector_of(spec).reads_this_machine:
        raise Invalid.at(
            "/kind", "读取本机文件的接入源只能用命令行 duban feed add 添加",
            "a feed that reads files of this machine is added on the command line, by duban feed add",
        )  # fmt: skip
    if spec.signature.secret is not None and spec.signature.secret.startswith("file:"):
        raise Invalid.at(
            "/signature/secret", "密钥在文件中的接入源只能用命令行添加；此处请用 env:DUBAN_FEED_…",
            "a feed whose secret is in a file is added on the command line; use env:DUBAN_FEED_… here",
        )  # fmt: skip
    return spec


def remote_templates(runtime: Runtime) -> list[str]:
    """The names of the templates of feeds that may be added over the network."""
    folders = own_templates(runtime)
    local = {name for name, connector in available().items() if connector.reads_this_machine}
    return [name for name in template_names(folders) if _kind_of(template_text(name, folders)) not in local]


def _kind_of(text: str) -> str | None:
    """The ``kind`` in a template; none in one that cannot be read, whose mistakes its form shows."""
    try:
        return str(read_toml(text).get("kind"))
    except Invalid:
        return None
