"""A cheap load generator: many connections, each with one request in flight, in a separate process.

python -m bench._push_client HOST PORT KEY CONNECTIONS REQUESTS PREFIX

Prints one JSON line: seconds, requests per second, milliseconds at the median and at p99, responses by status.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import uvloop

TITLE = "小区夜间施工噪声扰民"
CONTENT = "来电人反映：人民路 1 号工地连续三晚施工到凌晨两点，影响休息，要求尽快处理并回复。" * 3


def body(external_id: str) -> bytes:
    """Return a ticket of twelve fields as a hotline pushes it, with its unit, so that three deadlines are opened."""
    return json.dumps(
        {
            "external_id": external_id, "title": TITLE, "content": CONTENT, "kind": "complaint", "category": "noise",
            "priority": "normal", "received_at": "2026-03-02T10:00:00+08:00",
            "reporter": {"name": "张三丰", "phone": "13800001234"}, "address": "人民路 1 号", "latitude": 22.5431,
            "longitude": 114.0579, "unit": "U", "attributes": {"channel": "phone", "operator": "0042"},
        },
        ensure_ascii=False,
    ).encode()  # fmt: skip


class Load:
    """The requests still to be sent, and the responses counted."""

    def __init__(self, head: bytes, requests: int, prefix: str) -> None:
        self.head = head
        self.left = requests
        self.prefix = prefix
        self.statuses: Counter[str] = Counter()
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way = 0

    def next(self) -> bytes | None:
        """Return the next request, or None if all were sent."""
        if self.left == 0:
            return None
        self.left -= 1
        self.under_way += 1
        content = body(f"{self.prefix}-{self.left}")
        return b"%scontent-length: %d\r\n\r\n%s" % (self.head, len(content), content)

    def answered(self, status: str, seconds: float) -> None:
        """Count one response."""
        self.statuses[status] += 1
        self.times.append(seconds)
        self.under_way -= 1
        if self.left == 0 and self.under_way == 0 and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One connection: send, wait for the complete response, repeat."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = self._load.next()
        if request is not None:
            self._sent = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.find(b"content-length: ", 0, end) + 16
        length = int(self._buffer[at : self._buffer.index(b"\r", at)])
        if len(self._buffer) < end + 4 + length:
            return
        status = self._buffer[9:12].decode()
        self._buffer = b""
        self._load.answered(status, time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.done.done():
            self._load.done.set_exception(exc or ConnectionError("the server closed a connection"))


async def run(host: str, port: int, key: str, connections: int, requests: int, prefix: str) -> dict[str, Any]:
    """Send ``requests`` over ``connections``; return the measurements."""
    head = (
        f"POST /api/v1/tickets HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\naccept: application/json\r\n"
    ).encode()
    load = Load(head, requests, prefix)
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), host, port)
    await load.done
    seconds = time.perf_counter() - begun
    times = sorted(load.times)
    return {
        "seconds": seconds,
        "rate": requests / seconds,
        "p50": times[len(times) // 2] * 1000,
        "p99": times[len(times) * 99 // 100] * 1000,
        "statuses": load.statuses,
    }


if __name__ == "__main__":
    _, host, port, key, connections, requests, prefix = sys.argv
    print(json.dumps(uvloop.run(run(host, int(port), key, int(connections), int(requests), prefix))))
