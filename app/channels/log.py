"""The channel ``log``: writes that a message was sent, for installations without any other channel, and for trials."""

from __future__ import annotations

from app.channels.base import Channel, Delivery, Message
from app.logging import get_logger

logger = get_logger("duban.channels.log")


class LogChannel(Channel):
    """Writes the event ``message sent`` with ids alone."""

    name = "log"

    def send(self, message: Message) -> Delivery:
        """Write the event."""
        logger.info(
            "message sent", kind=message.kind, recipient=message.recipient, ticket=message.ticket_id,
            alert=message.alert_id, unit=message.unit_id, key=message.dedupe_key,
        )  # fmt: skip
        return Delivery()
