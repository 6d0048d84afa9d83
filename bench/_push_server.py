"""The service as ``duban serve`` runs it, for one measurement: ``python -m bench._push_server URL PORT [hollow]``.

``hollow``: the same endpoint, key check, validation and response size, but nothing behind them: no policy, no deadlines,
no events, no database. Prints the key to push with once it is ready to listen.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import signal
import sys
from functools import partial
from typing import Any
from unittest.mock import patch

import uvicorn
from pydantic import SecretStr

import app.main
from app import clock
from app.config import Settings
from app.models import Category, Unit
from app.runtime import Runtime
from app.services.access import accounts
from app.services.core import catalogue
from ingest.push import queue as commit
from ingest.push.queue import PushQueue
from ingest.push.transaction import Answer, Push
from ingest.rows.garbage import freeze_startup_objects

BODY = b'{"id":1,"title":"' + b"x" * 2400 + b'"}'
"""As long as the answer to the ticket that the load pushes."""


class Hollow(PushQueue):
    """A queue that responds at once and stores nothing."""

    async def push(self, push: Push) -> Answer:
        """Return the same response for every push."""
        return Answer("created", 1, 1, BODY)


def make(url: str, *, hollow: bool) -> tuple[Any, str]:
    """Create the application on ``url``, with a unit, a category and a source; and a key of that source."""
    settings = Settings(database_url=SecretStr(url), role="web")
    runtime = Runtime.open(settings, clock.now())
    with runtime.database.write() as session:
        catalogue.create_node(session, Unit, {"code": "U", "name": "unit"})
        catalogue.create_node(session, Category, {"code": "noise", "name": "noise"})
        _, key = accounts.create_key(session, "bench", "integrator", "bench", None, now=clock.now())
    runtime.close()
    if hollow:
        patch.object(app.main, "PushQueue", Hollow).start()  # raises where create_app has no such name
    return app.main.create_app(settings), key


def _profiled() -> cProfile.Profile:
    """Profile the commit thread."""
    profile = cProfile.Profile()
    whole: Any = vars(commit)["commit_pushes"]
    patch.object(commit, "commit_pushes", partial(profile.runcall, whole)).start()
    return profile


def main() -> None:
    """Serve until a signal. ``DUBAN_BENCH_PROFILE=commit`` or ``loop`` prints a profile at the end."""
    url, port, *more = sys.argv[1:]
    application, key = make(url, hollow="hollow" in more)
    wanted = os.environ.get("DUBAN_BENCH_PROFILE")
    profile = _profiled() if wanted == "commit" else cProfile.Profile()
    server = uvicorn.Server(
        uvicorn.Config(application, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more after its own shutdown
    freeze_startup_objects()
    print(key, flush=True)
    if wanted == "loop":
        profile.runcall(server.run)
    else:
        server.run()
    if wanted:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
