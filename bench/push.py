"""One ticket pushed, end to end, beside the same endpoint and validation with nothing behind them.

64 connections, each with one request in flight, from a separate process; one worker, served as by ``duban serve``. The
work: key check, validation, policy, three deadlines, two chained events, the ladder's first check, commit, and the full
response. On SQLite (``synchronous=FULL``), and on PostgreSQL if ``DUBAN_BENCH_POSTGRES_URL`` names a database of a server
on which another may be created.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from bench.measure import Row

CONNECTIONS = 64
TIMES = 3
GOALS = {"PostgreSQL": ("≥ 0.6", "≥ 0.9"), "SQLite FULL": ("≥ 0.5", "≥ 0.8")}


@dataclass
class Server:
    """A server under load: its address, and the key to push with."""

    port: int
    key: str
    rounds: int = 0

    def load(self, requests: int) -> dict[str, Any]:
        """Push ``requests`` tickets; return the client's measurements. Every response must be 201."""
        self.rounds += 1
        done = subprocess.run(
            [sys.executable, "-m", "bench._push_client", "127.0.0.1", str(self.port), self.key, str(CONNECTIONS),
             str(requests), f"r{self.rounds}"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        if found["statuses"] != {"201": requests}:
            raise AssertionError(f"not every push was created: {found['statuses']}")
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(url: str, *more: str) -> Iterator[Server]:
    """Run a server on the empty database ``url``; stop it at the end."""
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench._push_server", url, str(port), *more], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        key = process.stdout.readline().strip()
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.05)
        yield Server(port, key)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def postgres_database(url: str) -> Iterator[str]:
    """Create an empty database on the server of ``url``; drop it at the end."""
    admin = make_url(url).set(drivername="postgresql")
    name = f"duban_bench_{os.getpid()}"
    with psycopg.connect(admin.render_as_string(False), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        )
        try:
            yield admin.set(database=name, drivername="postgresql+psycopg").render_as_string(False)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _measure(name: str, url: str, hollow: Server, requests: int) -> Row:
    with serving(url) as server:
        for one in (server, hollow):
            one.load(requests // 4)  # warm
        ours, theirs = [], []
        for _ in range(TIMES):
            ours.append(server.load(requests))
            theirs.append(hollow.load(requests))
    rate = statistics.median(one["rate"] for one in ours)
    bare = statistics.median(one["rate"] for one in theirs)
    p99 = statistics.median(one["p99"] for one in ours)
    return Row(
        f"one ticket pushed, whole, {CONNECTIONS} connections, {name}",
        f"{rate:,.0f}/s, p99 {p99:.0f} ms",
        f"{bare:,.0f}/s, endpoint and validation alone",
        rate / bare,
        *GOALS[name],
    )


def rows(scale: float) -> list[Row]:
    """Measure each available database; 4,000 tickets per run at scale 1, three runs, alternating with the reference."""
    requests = int(4_000 * scale)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hollow = stack.enter_context(serving(f"sqlite:///{(folder / 'hollow.db').as_posix()}", "hollow"))
        found = [_measure("SQLite FULL", f"sqlite:///{(folder / 'push.db').as_posix()}", hollow, requests)]
        if url := os.environ.get("DUBAN_BENCH_POSTGRES_URL"):
            found.append(_measure("PostgreSQL", stack.enter_context(postgres_database(url)), hollow, requests))
    return found
