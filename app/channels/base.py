"""What a channel is: its configuration, one message to one recipient, and the two ways in which sending can fail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Settings of a channel; a subclass adds fields, from which its settings form can be made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one recipient. ``dedupe_key`` is the same each time it is sent, so that a receiver can recognize a
    repeat; ``payload`` holds ids, codes and moments, no personal data."""

    dedupe_key: str
    kind: str
    recipient: str
    ticket_id: int | None
    alert_id: int | None
    unit_id: int | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message accepted by the other side, with its answer (an id, a status line) where it gave one."""

    answer: str | None = None


class TransientFailure(Exception):
    """Sending failed now and may succeed later (timeout, 429, 5xx): retried with backoff."""


class PermanentFailure(Exception):
    """Sending will never succeed as it is (unknown recipient, refused content, wrong credentials): not retried."""


class Channel(ABC):
    """One way of sending. ``name`` is the key of its settings and of its deliveries, ``config_type`` checks the former."""

    name: ClassVar[str]
    config_type: ClassVar[type[Config]] = Config

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def send(self, message: Message) -> Delivery:
        """Send one message; blocks. Raises ``TransientFailure`` or ``PermanentFailure``; any other error counts as
        transient. It may be called again with a message that was sent, after a crash."""
