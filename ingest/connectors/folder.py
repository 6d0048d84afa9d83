"""The connector ``folder``: a folder watched for files, which are imported and then moved into ``done`` or ``failed``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from app.errors import Invalid
from ingest.connectors.base import FileConnector
from ingest.connectors.spec import FeedSpec, SpecPart

DONE, FAILED = "done", "failed"


class Folder(SpecPart):
    """A folder watched for files: those that match ``pattern`` and have not changed for ``quiet_seconds`` are imported by
    ``profile``, and then moved into ``done`` (or ``failed``) below it."""

    path: str
    pattern: str = "*"
    profile: str
    quiet_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    live: bool = True


class FolderSpec(FeedSpec):
    """A feed of ``kind = folder``."""

    folder: Folder


class FolderFeed(FileConnector):
    """Watches one folder."""

    name = "folder"
    spec_type = FolderSpec
    reads_this_machine = True

    def __init__(self, spec: FeedSpec) -> None:
        assert isinstance(spec, FolderSpec), "the registry validates by spec_type"
        self._folder = spec.folder
        self.profile, self.live = spec.folder.profile, spec.folder.live

    def files(self, now: datetime) -> Iterator[Path]:
        """The files that match and have not changed for ``quiet_seconds``, the oldest first; hidden and partial ones
        (``.part``, ``.tmp``, ``~``), links and folders are skipped. Raises ``Invalid`` where there is no such folder."""
        folder = self._folder
        root = Path(folder.path)
        if not root.is_dir():
            raise Invalid.at("/folder/path", f"没有文件夹 {folder.path}", f"there is no folder {folder.path}")
        found: list[tuple[float, Path]] = []
        for path in root.glob(folder.pattern):
            if path.name.startswith(".") or path.name.endswith((".part", ".tmp", "~")) or path.is_symlink():
                continue
            if path.parent == root and path.is_file():
                changed = path.stat().st_mtime
                if now.timestamp() - changed >= folder.quiet_seconds:
                    found.append((changed, path))
        for _, path in sorted(found):
            yield path

    def finish(self, path: Path, now: datetime, *, failed: bool) -> None:
        """Move ``path`` into ``done`` or ``failed`` beside it, under a free name."""
        target = path.parent / (FAILED if failed else DONE)
        target.mkdir(exist_ok=True)
        place = target / path.name
        if place.exists():
            place = target / f"{path.stem}.{now:%Y%m%dT%H%M%S%f}{path.suffix}"
        os.replace(path, place)  # noqa: PTH105 - atomic within one file system, and says so by its name
