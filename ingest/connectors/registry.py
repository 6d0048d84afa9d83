"""The connectors by name, each a module of this package that is discovered, and the definitions of feeds read by them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import ingest.connectors
from app.errors import Invalid, NotFound
from app.services.intake.feeds import LISTING_KINDS
from app.validation import validated
from ingest.connectors.base import Connector, FileConnector, PageConnector, no_list
from ingest.connectors.http import RequestPace, Upstream
from ingest.connectors.spec import FeedSpec
from ingest.rows.toml_text import read_toml

BUNDLED = Path(__file__).resolve().parents[1] / "feeds" / "templates"
_SIZE = 256 * 1024

for _module in pkgutil.iter_modules(ingest.connectors.__path__):
    importlib.import_module(f"ingest.connectors.{_module.name}")


def available() -> dict[str, type[Connector]]:
    """The class of every connector, by its name: the ``kind`` of a feed."""
    return {found.name: found for family in (PageConnector, FileConnector) for found in family.__subclasses__()}


def connector_of(spec: FeedSpec) -> type[Connector]:
    """The connector that reads ``spec``."""
    return available()[spec.kind]


LISTING_KINDS.update(name for name, found in available().items() if found.lists_ids)


@contextmanager
def connected(
    spec: FeedSpec,
    pace: RequestPace,
    before_each: Callable[[], None] = lambda: None,
    widen: timedelta = timedelta(0),
    *,
    quote: bool = False,
) -> Iterator[PageConnector]:
    """A connection to the feed's upstream for one pull, trial or comparison. Raises ``Conflict`` where its secret is
    missing, and ``Invalid`` for a feed that has no pages. ``quote``: errors quote the refusals of the upstream."""
    found = connector_of(spec)
    if not issubclass(found, PageConnector):
        raise no_list()
    with Upstream(spec, pace, before_each, found.explain if quote else None) as upstream:
        yield found(spec, upstream, widen)


@dataclass(frozen=True, slots=True)
class SpecOverrides:
    """What of a template is replaced: its name, the code of its source, its upstream's address, its folder."""

    name: str | None = None
    source: str | None = None
    base_url: str | None = None
    folder: str | None = None


AS_IT_IS = SpecOverrides()


def parse_spec(text: str, changes: SpecOverrides = AS_IT_IS) -> FeedSpec:
    """The feed in the TOML ``text``, with ``changes``. Raises ``Invalid`` with a pointer for each mistake."""
    content = read_toml(text)
    if changes.name is not None:
        content["name"] = changes.name
    if changes.source is not None:
        content["source"] = {**_table(content.get("source")), "code": changes.source}
    if changes.base_url is not None:
        content["base_url"] = changes.base_url.rstrip("/")
    if changes.folder is not None:
        kind = str(content.get("kind"))
        content[kind] = {**_table(content.get(kind)), "path": changes.folder}
    return spec_of(content)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def spec_of(content: Mapping[str, Any]) -> FeedSpec:
    """The feed stored as ``content``, checked by the ``spec_type`` of its connector. Raises ``Invalid``."""
    known = available()
    connector = known.get(str(content.get("kind")))
    spec_type = FeedSpec if connector is None else connector.spec_type
    given = {name: value for name, value in content.items() if value is not None}
    spec = validated(spec_type.model_validate, given, spec_type.model_fields)
    if connector is None:
        names = sorted(known)
        raise Invalid.at("/kind", f"应为 {'、'.join(names)} 之一", f"must be one of {', '.join(names)}")
    return spec


def template_names(folders: Iterable[Path] = ()) -> list[str]:
    """The names of the templates in ``folders`` and of the bundled ones."""
    return sorted({path.stem for place in (*folders, BUNDLED) for path in place.glob("*.toml")})


def template_text(name: str, folders: Iterable[Path] = ()) -> str:
    """The TOML of the template called ``name``. Raises ``NotFound``, naming those there are, and ``Invalid``."""
    places = [*folders]
    known = template_names(places)
    if name not in known:
        raise NotFound(
            f"没有名为 {name} 的接入源模板，现有：{'、'.join(known)}",
            f"no feed template {name!r}; there are: {', '.join(known)}",
        )
    return read_file(next(found for place in (*places, BUNDLED) if (found := place / f"{name}.toml").is_file()))


def read_file(path: Path) -> str:
    """The text of a feed file. Raises ``NotFound``, and ``Invalid`` for what is no feed file at all."""
    if not path.is_file():
        raise NotFound(f"没有文件 {path}", f"there is no file {path}")
    if path.stat().st_size > _SIZE:
        raise Invalid.at("", "接入源配置文件过大", "the feed file is too large")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid.at("", "接入源配置应为 UTF-8 编码", "a feed file must be UTF-8") from error


def load_spec(name: str, folders: Iterable[Path] = (), changes: SpecOverrides = AS_IT_IS) -> FeedSpec:
    """The feed of the template called ``name``, or of the file ``name`` where that ends in ``.toml``, with ``changes``.
    Raises ``NotFound`` and ``Invalid``."""
    return parse_spec(read_file(Path(name)) if name.endswith(".toml") else template_text(name, folders), changes)
