"""``duban serve``, ``demo``, ``sweep``, ``config``, ``openapi``."""

from __future__ import annotations

import socket
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app import clock
from app.commands.common import JsonFlag, opened, parse_time, print_json, say
from app.config import Settings, get_settings
from app.domain.errors import Conflict
from app.main import create_app
from app.models import User
from app.runtime import Runtime
from app.services import accounts, demo
from app.services.sweep import sweep

ADMINISTRATOR = "admin"
GRACE_SECONDS = 5
"""How long open streams may hold up a shutdown."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("serve")(serve)
    app.command("demo")(fill_demo)
    app.command("sweep")(run_sweep)
    app.command("config")(show_config)
    app.command("openapi")(show_openapi)


def first_administrator(runtime: Runtime) -> str | None:
    """Make the account ``admin`` where there is no account at all; its one-time password, or None."""
    with runtime.database.write() as session:
        if session.query(User).first() is not None:
            return None
        _, password = accounts.create_user(session, ADMINISTRATOR, "admin", None, None, "系统管理员", now=clock.now())
        return password


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"地址 {host}:{port} 无法监听（{error.strerror}）；可用 --port 换一个端口",
                f"cannot listen on {host}:{port} ({error.strerror}); --port takes another",
            ) from error


def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    with_demo: Annotated[bool, typer.Option("--demo", help="fill an empty database with sample tickets first")] = False,
) -> None:
    """API, console, sweeper and scheduler in one process (DUBAN_ROLE: web or worker for one half)."""
    _check_free(host, port)
    with opened() as runtime:
        password = first_administrator(runtime)
        if with_demo and demo.is_empty(runtime):
            say("正在生成示例数据……", "making sample data …")
            _told(runtime)
    application = create_app(get_settings())
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/"
    say(f"督办 Duban 已启动：{address}", f"Duban is at {address}")
    if password is not None:
        say(
            f"管理员 {ADMINISTRATOR} 的一次性密码：{password}（首次登录时须修改）",
            f"one-time password of {ADMINISTRATOR}: {password} (to be changed at the first sign-in)",
        )
    config = uvicorn.Config(application, host=host, port=port, log_level="warning", access_log=False,
                            timeout_graceful_shutdown=GRACE_SECONDS)  # fmt: skip
    _Server(config).run()


class _Server(uvicorn.Server):
    """Ends the live streams first when told to stop, so that nobody waits for them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        broadcaster = getattr(self.config.app.state, "broadcaster", None)  # type: ignore[union-attr]
        if broadcaster is not None:
            broadcaster.stop()
        super().handle_exit(sig, frame)


def fill_demo(as_json: JsonFlag = False) -> None:
    """Fill an empty database with sample tickets and units; refuses one that is not empty."""
    with opened() as runtime:
        if not demo.is_empty(runtime):
            raise Conflict(
                "数据库非空，示例数据只能写入空库", "the database is not empty; sample data goes into an empty one only"
            )
        counts = _told(runtime)
    if as_json:
        print_json(counts)
        return
    for name, count in counts.items():
        typer.echo(f"{name}\t{count}")


def _told(runtime: Runtime) -> dict[str, int]:
    """Make the sample data, with a bar on a terminal (on stderr, since stdout is the answer); the counts."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        return demo.fill(
            runtime, clock.now(), progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def run_sweep(
    at: Annotated[str | None, typer.Option("--at", help="the moment to sweep as of; default: now")] = None,
    as_json: JsonFlag = False,
) -> None:
    """One sweep: raise what is due. For cron, and for tests."""
    now = parse_time(at) or clock.now()
    with opened() as runtime:
        result = sweep(runtime.database, runtime.reference, now, batch=runtime.settings.sweep_batch)
    figures = result.to_json()
    if as_json:
        print_json(figures)
        return
    typer.echo("  ".join(f"{name}={value}" for name, value in figures.items()))


def show_config(as_json: JsonFlag = False) -> None:
    """The settings in force, secrets masked."""
    settings = get_settings()
    shown: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        shown[f"DUBAN_{name.upper()}"] = masked_url(settings) if name == "database_url" else value
    if as_json:
        print_json(
            {key: value if isinstance(value, bool | int | float) else str(value) for key, value in shown.items()}
        )
        return
    for key, value in shown.items():
        typer.echo(f"{key}={value}")


def masked_url(settings: Settings) -> str:
    """The database URL in force, its password masked."""
    from_url = settings.url
    head, at, tail = from_url.rpartition("@")
    if not at:
        return from_url
    scheme, _, login = head.partition("://")
    name, colon, _ = login.partition(":")
    return f"{scheme}://{name}{':***' if colon else ''}@{tail}"


def show_openapi() -> None:
    """The OpenAPI document."""
    with opened() as runtime:
        print_json(create_app(runtime.settings).openapi())
