"""``duban serve`` and ``duban openapi``."""

from __future__ import annotations

import os
import socket
from types import FrameType
from typing import Annotated

import typer
import uvicorn
from sqlalchemy import select
from sqlmodel import col

from app import clock, demo
from app.commands.common import opened, print_json, say
from app.commands.operation import fill_shown
from app.config import get_settings
from app.errors import Conflict
from app.main import create_app
from app.models import User
from app.runtime import Runtime
from app.services.access import accounts
from ingest.rows.garbage import freeze_startup_objects

ADMINISTRATOR = "admin"
GRACE_SECONDS = 5
"""How long open streams may hold up a shutdown."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("serve")(serve)
    app.command("openapi")(show_openapi)


def first_administrator(runtime: Runtime) -> str | None:
    """Return a one-time password for the account ``admin``, or None if somebody has already signed in to it.

    The account is created if there is none; an unused one gets a new password at each start, so that nobody is locked out
    by a lost line of output.
    """
    with runtime.database.write() as session:
        first = session.execute(select(User).order_by(col(User.id)).limit(1)).scalar_one_or_none()
        if first is None:
            made = accounts.create_user(session, ADMINISTRATOR, "admin", None, None, "系统管理员", now=clock.now())
            return made[1]
        if first.id is None or first.name != ADMINISTRATOR or not first.must_change_password:
            return None
        return accounts.change_user(session, first.id, reset_password=True, now=clock.now())


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"地址 {host}:{port} 无法监听（{error.strerror}）；可用 --port 换一个端口",
                f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port",
            ) from error


def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    with_demo: Annotated[bool, typer.Option("--demo", help="fill an empty database with sample tickets first")] = False,
) -> None:
    """Run API, console, sweeper and scheduler in one process (DUBAN_ROLE: web or worker for one half)."""
    _check_free(host, port)
    with opened() as runtime:
        password = first_administrator(runtime)
        if with_demo and demo.is_empty(runtime):
            say("正在生成示例数据……", "creating sample data …")
            fill_shown(runtime)
    application = create_app(get_settings())
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/"
    say(f"督办 Duban 已启动：{address}", f"Duban is at {address}")
    if password is not None:
        say(
            f"管理员 {ADMINISTRATOR} 的一次性密码：{password}（首次登录时须修改）",
            f"one-time password of {ADMINISTRATOR}: {password} (to be changed at the first sign-in)",
        )
    config = uvicorn.Config(application, host=host, port=port, log_config=None, access_log=False,
                            timeout_graceful_shutdown=GRACE_SECONDS)  # fmt: skip
    freeze_startup_objects()
    try:
        _StreamClosingServer(config).run()
    finally:
        if not getattr(application.state, "ended", True):
            # A report may still be running, and Python would wait for it. Nothing of it has been written yet.
            os._exit(0)


class _StreamClosingServer(uvicorn.Server):
    """Ends the live streams first at shutdown, so that nothing waits for them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a shutdown signal."""
        broadcaster = getattr(self.config.app.state, "broadcaster", None)  # type: ignore[union-attr]
        if broadcaster is not None:
            broadcaster.stop()
        super().handle_exit(sig, frame)


def show_openapi() -> None:
    """Print the OpenAPI document."""
    with opened() as runtime:
        print_json(create_app(runtime.settings).openapi())
