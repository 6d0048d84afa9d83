"""Logging: one line an event, with its context, whatever logged it, and without personal data."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
import structlog
from pydantic import BaseModel

from app.config import Settings
from app.logging import REMOVED, bind, configure, context, get_logger, redact

PHONE, MASKED = "13912345678", "139****5678"
ID_NUMBER = "110101199003078515"


class Lines(io.StringIO):
    """What was logged."""

    def events(self) -> list[dict[str, Any]]:
        """Every line as an object."""
        return [json.loads(line) for line in self.getvalue().splitlines()]


@contextmanager
def bare_root() -> Iterator[None]:
    """The root logger without the handlers of the test run, and everything as it was afterwards."""
    logger, before = logging.getLogger(), structlog.get_config()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers.clear()
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        structlog.configure(**before)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Where a process logs whose standard error is no terminal."""
    stream = Lines()
    with bare_root():
        configure(Settings(), stream)
        yield stream


def test_an_event_is_one_object_with_time_level_and_fields(lines: Lines) -> None:
    get_logger("duban.test").warning("sweep failed; retrying", ticket=7, delay=300.0)
    (event,) = lines.events()
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "sweep failed; retrying",
        "level": "warning",
        "logger": "duban.test",
        "ticket": 7,
        "delay": 300.0,
    }


def test_a_traceback_stays_within_its_event(lines: Lines) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger("duban.test").exception("job failed")
    (event,) = lines.events()
    assert event["exception"].startswith("Traceback")
    assert event["exception"].endswith("ValueError: broken")


def test_records_of_libraries_become_events_from_warning_on(lines: Lines) -> None:
    library = logging.getLogger("apscheduler.scheduler")
    library.info("Running job %s", "seal")
    library.warning("Run time of job %s was missed", "seal")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    logging.getLogger("httpx").info("HTTP Request: GET https://upstream.example/?secret=x")
    logging.getLogger("uvicorn.access").info("GET /tickets?q=somebody")
    assert [(e["logger"], e["level"], e["event"]) for e in lines.events()] == [
        ("apscheduler.scheduler", "warning", "Run time of job seal was missed"),
        ("uvicorn.error", "info", "Started server process [7]"),
    ]


def test_context_reaches_every_event_of_its_block(lines: Lines) -> None:
    log = get_logger("duban.test")
    with context(job="seal"):
        bind(period="2026-03")
        log.info("job begun")
        with context(ticket=3):
            log.info("inner")
    log.info("outside")
    bind(lost=True)
    fields = [
        {k: v for k, v in e.items() if k not in ("timestamp", "level", "logger", "event")} for e in lines.events()
    ]
    assert fields == [{"job": "seal", "period": "2026-03"}, {"job": "seal", "period": "2026-03", "ticket": 3}, {}]


def test_what_a_thread_binds_is_seen_by_its_request(lines: Lines) -> None:
    with context(request_id="r1") as held:
        worker = Thread(target=lambda: held.update(actor="user:li"))
        worker.start()
        worker.join()
        get_logger("duban.test").info("request served")
    assert lines.events()[0]["actor"] == "user:li"


def test_the_level_and_the_format_are_settings() -> None:
    stream = Lines()
    with bare_root():
        configure(Settings.model_validate({"log_level": "ERROR", "log_format": "Console"}), stream)
        log = get_logger("duban.test")
        log.warning("unseen")
        log.error("job failed", job="seal")
    (line,) = stream.getvalue().splitlines()
    assert "job failed" in line
    assert "job=seal" in line
    assert not line.startswith("{")


def test_a_program_with_handlers_keeps_its_logging() -> None:
    own = logging.NullHandler()
    stream = Lines()
    with bare_root():
        logging.getLogger().addHandler(own)
        configure(Settings(), stream)
        get_logger("duban.test").error("job failed")
        assert logging.getLogger().handlers == [own]
    assert stream.getvalue() == ""


def test_a_closed_stream_fails_no_caller(lines: Lines) -> None:
    lines.close()
    get_logger("duban.test").error("job failed")


def test_text_that_is_not_unicode_is_logged(lines: Lines) -> None:
    get_logger("duban.test").info("row read", text="\ud800")
    assert lines.events()[0]["text"] == "\ud800"


def test_until_configured_events_are_records(caplog: pytest.LogCaptureFixture) -> None:
    with context(feed="hotline"):
        get_logger("duban.test").warning("feed pull failed", reason=f"of {PHONE}, 100%")
    assert caplog.messages == [f"feed pull failed feed=hotline reason=of {MASKED}, 100%"]
    assert caplog.records[0].name == "duban.test"


class Reporter(BaseModel):
    """An object that shows its content."""

    number: str


@pytest.mark.parametrize(
    "value",
    [
        PHONE,
        int(PHONE),
        f"电话{PHONE}转",
        f"+86 {PHONE}",
        "139 1234 5678",
        "139-1234-5678",
        "021-62345678",
        "075562345678",
        ID_NUMBER,
        ID_NUMBER[:-1] + "x",
        "110101900307851",
        {"a": {"b": [PHONE]}},
        {PHONE},
        (1, f"x{ID_NUMBER}"),
        Reporter(number=PHONE),
        ValueError(f"Key (phone)=({PHONE})"),
        PHONE.encode(),
    ],
)
def test_phone_and_id_numbers_are_masked_in_any_value(value: object) -> None:
    shown = json.dumps(redact(None, "info", {"event": "x", "value": value}), ensure_ascii=False)
    assert "*" in shown
    for secret in (PHONE, "1234 5678", "1234-5678", "62345678", "19900307", "900307"):
        assert secret not in shown


def test_what_is_no_number_of_a_person_is_kept() -> None:
    event = {
        "event": "request served",
        "ms": 0.1234567890123,
        "ticket": 123_456,
        "at": "2026-11-28T15:21:25.123456Z",
        "status": None,
        "ok": True,
        "run": "20260315000000012345",
        "holder": "host-1:4711:a1b2c3",
    }
    assert redact(None, "info", event) == event


@pytest.mark.parametrize("field", ["reporter", "phone", "id_number", "address", "raw", "body"])
def test_personal_fields_are_removed_whole(field: str) -> None:
    assert redact(None, "info", {"event": "x", "ticket": {field: "张三"}}) == {"event": "x", "ticket": {field: REMOVED}}


def test_the_row_that_a_database_quotes_is_removed(lines: Lines) -> None:
    message = "null value in column\nDETAIL:  Failing row contains (7, 张三, 人民路 1 号).\nHINT: none"
    try:
        raise ValueError(message)
    except ValueError:
        get_logger("duban.test").exception("group commit failed")
    text = lines.events()[0]["exception"]
    assert "张三" not in text
    assert f"DETAIL: {REMOVED}\nHINT: none" in text
