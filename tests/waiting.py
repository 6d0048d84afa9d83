"""Waiting in tests: until a condition holds, or until a server in this process listens. Nothing sleeps a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

PATIENCE = 60.0
"""Seconds after which a condition is taken never to hold, on a machine that may be busy."""
INTERVAL = 0.01


def until(condition: Callable[[], object], failure: str = "condition not reached", seconds: float = PATIENCE) -> None:
    """Return when ``condition()`` is true; raises TimeoutError with ``failure`` after ``seconds``.

    For state outside this process (another process, a file, a row): inside it, wait on an event.
    """
    give_up = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(failure)
        pause.wait(INTERVAL)


class _AnnouncingServer(uvicorn.Server):
    """A server that sets ``listening`` when its socket is open, or when it failed to open it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Open the socket."""
        try:
            await super().startup(sockets=sockets)
        finally:
            self.listening.set()


@contextmanager
def listening(app: Any, **options: Any) -> Iterator[int]:
    """Serve ``app`` on the loopback in a thread until the block ends; gives the port. ``options``: of uvicorn.Config."""
    server = _AnnouncingServer(uvicorn.Config(app, **{"host": "127.0.0.1", "port": 0, **options}))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.listening.wait(PATIENCE)
    assert server.started, "the server did not start"
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the server did not stop"
