"""Custom profiles: stored as files in ``profiles`` in the data directory, where every entry point loads them."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import tomli_w

from app.errors import Conflict, Invalid, NotFound
from app.runtime import Runtime
from ingest.profile_wizard.draft import document_of
from ingest.rows.profile import BUNDLED, Profile, list_profiles, load_profile

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def toml_of(profile: Profile) -> str:
    """Return the profile as TOML, as read by ``--profile path.toml`` and from the folder of profiles."""
    return tomli_w.dumps(document_of(profile))


def is_bundled(name: str) -> bool:
    """Return whether a profile of this name is bundled."""
    return (BUNDLED / f"{name}.toml").is_file()


def saved_profiles(folder: Path) -> list[Profile]:
    """Return the bundled profiles and those in ``folder``, by name; ``folder`` need not exist."""
    return list_profiles([folder] if folder.is_dir() else [])


def named_profile(name: str, folder: Path) -> Profile:
    """Return the profile called ``name``: bundled, or in ``folder``. Raises ``NotFound``, also for an invalid name such
    as a path."""
    if not _NAME.fullmatch(name):
        raise NotFound(f"没有名为 {name[:64]!r} 的映射配置", f"no profile is called {name[:64]!r}")
    return load_profile(name, [folder] if folder.is_dir() else [])


def save_profile(folder: Path, profile: Profile, *, replace: bool = False, override_bundled: bool = False) -> Path:
    """Store ``profile`` in ``folder`` atomically and return its path.

    ``replace``: overwrite a profile of this name. ``override_bundled``: store a changed version of a bundled profile,
    which takes precedence over it. Raises ``Conflict`` where the name is taken otherwise, and ``Invalid``.
    """
    if is_bundled(profile.name) and not override_bundled:
        raise Conflict(
            f"“{profile.name}” 是内置配置的名称，请换一个",
            f"{profile.name!r} is the name of a bundled profile; choose another",
        )
    if not _NAME.fullmatch(profile.name):
        raise Invalid.at("/name", "名称只能用小写字母、数字、- 和 _", "a name is of small letters, digits, - and _")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{profile.name}.toml"
    handle, draft = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(toml_of(profile))
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o640)
        if replace or override_bundled:
            os.replace(draft, path)  # noqa: PTH105 - atomic within one file system
        else:
            os.link(draft, path)
    except FileExistsError as error:
        raise Conflict(
            f"已有名为 {profile.name} 的配置；如需替换，请明确选择替换",
            f"there is a profile {profile.name!r} already; choose to replace it",
        ) from error
    finally:
        Path(draft).unlink(missing_ok=True)
    return path


def profile_folders(runtime: Runtime) -> list[Path]:
    """Return the folders of profiles besides the bundled ones: ``profiles`` in the data directory, if it exists."""
    folder = runtime.settings.data_dir / "profiles"
    return [folder] if folder.is_dir() else []
