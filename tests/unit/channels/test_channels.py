"""The channels: found by themselves, configured by name, and the one that writes to the log."""

from __future__ import annotations

import logging

import pytest
from pydantic import ValidationError

from app.channels.base import Message
from app.channels.registry import available, configured


def test_every_channel_is_found_under_its_name() -> None:
    found = available()
    assert found["log"].__module__ == "app.channels.log"
    assert all(name == kind.name for name, kind in found.items())


def test_an_unknown_channel_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no channel pigeon; there are: .*log"):
        configured({"pigeon": {}})


def test_a_wrong_configuration_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        configured({"log": {"colour": "red"}})


def test_the_log_channel_writes_ids_alone(caplog: pytest.LogCaptureFixture) -> None:
    message = Message("alert:7:raised", "alert_raised", "unit", 12, 7, 3, {"rung": "complete_due"})
    with caplog.at_level(logging.INFO):
        assert configured({"log": {}})["log"].send(message).answer is None
    (record,) = [r for r in caplog.records if "message sent" in r.getMessage()]
    assert all(text in record.getMessage() for text in ("alert:7:raised", "unit", "12"))
    assert "complete_due" not in record.getMessage()
