"""Structured logging: one configuration for the service, its workers, its child processes and the commands.

An event is a name with fields: ``log.warning("sweep failed; retrying", ticket=7, delay=300)``. It is written to standard
error as one JSON object or one console line, with the time, the level, the logger, the fields of the request or job under
way (``context``, ``bind``), and without personal data (``redact``). Records of the standard library's logging (uvicorn,
alembic, apscheduler) go through the same processors.

Until ``configure`` is called, events go to the standard library's logging, as those of any library do.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from app.config import Settings
from app.security.masking import mask_id_number, mask_phone

REMOVED: Final = "[removed]"
PERSONAL_FIELDS: Final = frozenset({"reporter", "phone", "id_number", "address", "raw", "body"})
"""Fields whose values are never logged, whatever they hold."""
PINNED: Final = {"uvicorn.access": logging.ERROR, "uvicorn.error": logging.INFO, "uvicorn": logging.INFO}
"""Levels of other loggers where they are not the default for libraries, WARNING. uvicorn's access log would be a second one
and shows queries; HTTP clients log whole addresses at INFO, with the secrets in them."""

_PHONE = re.compile(r"(?<!\d)(?:1[3-9]\d[ -]?\d{4}[ -]?\d{4}|0\d{2,3}[ -]?\d{7,8})(?!\d)")
_ID_NUMBER = re.compile(
    r"(?<!\d)[1-9]\d{5}(?:(?:18|19|20)\d{2}|\d{2})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{3}[\dXx]|\d{3})(?!\d)"
)
_THREE_DIGITS = re.compile(r"\d{3}")
"""What every number that is looked for begins with; most values hold none, and are done with one search."""
_ROW_DETAIL = re.compile(r"^DETAIL:.*$", re.MULTILINE)
"""Where PostgreSQL quotes the row that it refuses."""
_SHORTEST: Final = 10
"""Characters of the shortest phone number that is looked for."""
_context: ContextVar[dict[str, Any] | None] = ContextVar("duban_log_context", default=None)


# ------------------------------------------------------------------------------------------------- for those who log


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of that name, such as ``duban.sweep``; it may be made before ``configure``."""
    return cast("FilteringBoundLogger", structlog.get_logger(name, logger_name=name))


@contextmanager
def context(**fields: Any) -> Iterator[dict[str, Any]]:
    """Add ``fields`` to every event logged in this block, in the threads and tasks it starts included."""
    held = {**(_context.get() or {}), **fields}
    token = _context.set(held)
    try:
        yield held
    finally:
        _context.reset(token)


def bind(**fields: Any) -> None:
    """Add ``fields`` to the innermost ``context`` under way, for all threads that share it; outside of any, nothing."""
    held = _context.get()
    if held is not None:
        held.update(fields)


# --------------------------------------------------------------------------------------------------------- processors


def redact(logger: object, method: str, event: EventDict) -> EventDict:
    """Mask phone and id numbers in every value of ``event``, and remove the values of ``PERSONAL_FIELDS``."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: object, value: Any) -> Any:
    if key in PERSONAL_FIELDS:
        return REMOVED
    if isinstance(value, str):  # the common case first: every event of every request passes here
        return _mask(key, value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        text = str(value)
        masked = _mask(key, text)
        return value if masked == text else masked
    if isinstance(value, Mapping):
        return {str(inner): _clean(inner, each) for inner, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", each) for each in value]
    return _mask(key, str(value))


def _mask(key: object, text: str) -> str:
    if len(text) < _SHORTEST:
        return text
    if key == "exception":
        text = _ROW_DETAIL.sub(f"DETAIL: {REMOVED}", text)
    if _THREE_DIGITS.search(text) is None:
        return text
    text = _ID_NUMBER.sub(lambda found: mask_id_number(found[0]) or "", text)
    return _PHONE.sub(lambda found: mask_phone(found[0]) or "", text)


def _merge_context(logger: object, method: str, event: EventDict) -> EventDict:
    name = event.pop("logger_name", "")  # structlog takes no initial value called "logger"
    return {"logger": name, **(_context.get() or {}), **event}


def _to_json(logger: object, method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, or a number of more than 64 bits
        return json.dumps(event, default=str)


def _as_record(logger: object, method: str, event: EventDict) -> tuple[tuple[str], dict[str, Any]]:
    """An event as a call of the standard library's logging, its fields in the message."""
    error = event.pop("exc_info", None)
    fields = dict(redact(logger, method, event))
    name = fields.pop("event")
    fields.pop("logger", None)
    text = " ".join([name, *(f"{key}={value}" for key, value in fields.items())])
    return (text,), {"exc_info": sys.exc_info() if error is True else error}


# ------------------------------------------------------------------------------------------------------ configuration


class _Stream:
    """Writes lines. A closed stream fails no request: lines that cannot be written are counted and dropped."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line, whole."""
        try:
            with self._lock:
                self._file.write(line + "\n")
                self._file.flush()
        except (OSError, ValueError):
            self.lost += 1

    debug = info = warning = error = critical = exception = msg


class _Forward(logging.Handler):
    """Hands the records of the standard library's logging to the processors."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as an event whose name is its message."""
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        get_logger(record.name).log(level, record.getMessage(), exc_info=record.exc_info)


def configure(settings: Settings, file: TextIO | None = None) -> None:
    """Log to ``file`` (standard error) as ``settings`` say. Where the root logger has handlers already, the program around
    Duban has logging of its own, and nothing is changed; so the first call counts."""
    root = logging.getLogger()
    if root.handlers:
        return
    stream = sys.stderr if file is None else file
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    destination = _Stream(stream)
    structlog.configure(
        processors=[
            _merge_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            _to_json if as_json else console,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: destination,
        cache_logger_on_first_use=True,
    )
    root.addHandler(_Forward())
    root.setLevel(max(level, logging.WARNING))
    for name, own in PINNED.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(level, own))


structlog.configure(
    processors=[structlog.stdlib.filter_by_level, _merge_context, _as_record],
    wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=False,
)
