"""A folder watched for files: which of them are whole, and where they go once they were taken in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from app.errors import Invalid
from ingest.connectors.spec import Folder

DONE, FAILED = "done", "failed"


def waiting_files(folder: Folder, now: datetime) -> Iterator[Path]:
    """The files that match and have rested for ``quiet_seconds``, the oldest first; hidden and half-uploaded ones
    (``.part``, ``.tmp``, ``~``), links and folders are left alone. Raises ``Invalid`` where there is no such folder."""
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


def put_away(path: Path, into: str, now: datetime) -> Path:
    """Move ``path`` into the folder ``into`` beside it, under a name that is free; where it is now."""
    target = path.parent / into
    target.mkdir(exist_ok=True)
    place = target / path.name
    if place.exists():
        place = target / f"{path.stem}.{now:%Y%m%dT%H%M%S%f}{path.suffix}"
    os.replace(path, place)  # noqa: PTH105 - atomic within one file system, and says so by its name
    return place
