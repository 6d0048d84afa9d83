"""Store feeds from their definitions: from the command line, which may read local files, and over the network."""

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
    """Return the folders of feed templates besides the bundled ones: ``feeds`` in the data directory, if it exists."""
    folder = runtime.settings.data_dir / "feeds"
    return [folder] if folder.is_dir() else []


def load(runtime: Runtime, name: str, changes: SpecOverrides = AS_IT_IS) -> FeedSpec:
    """Load the feed of the template or ``.toml`` file ``name`` with ``changes`` applied. Raises NotFound and Invalid, also
    for a folder feed whose mapping profile does not exist."""
    spec = load_spec(name, own_templates(runtime), changes)
    connector = connector_of(spec)
    if issubclass(connector, FileConnector):
        load_profile(connector(spec).profile, profile_folders(runtime))
    return spec


def keep(session: Session, spec: FeedSpec, *, actor: str, now: datetime, replace: bool = False) -> Feed:
    """Store the feed, and its source where missing. ``replace``: update an existing feed and leave its cursor unchanged.
    Raises Conflict where the name is taken."""
    return feeds.add(
        session, spec.name, spec.kind, spec.model_dump(mode="json"), spec.source.model_dump(), actor=actor, now=now,
        replace=replace,
    )  # fmt: skip


def check_remote(spec: FeedSpec) -> FeedSpec:
    """Return the definition if it may be submitted over the network. One that reads local files (a watched folder, a
    secret in a file) is added on the command line by a user who has access to them. Raises Invalid."""
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
