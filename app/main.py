"""``create_app()``: the routers, the error handlers and the lifespan, put together; nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles

from app import clock, console
from app.api import docs, health, openapi, problems, stream
from app.api.heads import HeadAsGet
from app.api.limits import BodyLimit
from app.api.requests import RequestContext
from app.api.v1 import router as v1
from app.config import Settings, get_settings
from app.logging import configure
from app.runtime import Runtime
from app.workers.background import Background
from ingest.batch.service import Batches
from ingest.files.jobs import ImportJobs
from ingest.push.queue import PushQueue

DESCRIPTION = """\
督办 Duban supervises citizens' work orders to completion: intake, deadlines in working days, alerts, supervision orders,
and the figures of it all. Times are RFC 3339 with an offset. Errors are `application/problem+json`. Lists are
`{"items": […], "next": cursor-or-null}`. Whatever takes GET takes HEAD."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    runtime: Runtime = app.state.duban
    settings = runtime.settings
    background = Background(runtime)
    if settings.role in ("all", "worker"):
        background.start()
    imports = app.state.imports = ImportJobs(runtime)
    if settings.role in ("all", "web"):
        imports.resume()
    async with PushQueue(runtime) as intake, stream.Broadcaster(runtime) as broadcaster:
        app.state.intake = intake
        app.state.batches = Batches()
        app.state.broadcaster = broadcaster
        yield
    app.state.ended = await run_in_threadpool(background.stop, imports)
    runtime.close()


def _add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add the routes of ``router`` unchanged. ``include_router`` would rebuild each of them for every app, which costs a
    quarter of a second at the first request."""
    app.router.routes.extend(router.routes)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service on the database of ``settings``, migrated to the head; logging is configured where the process has none."""
    settings = settings or get_settings()
    configure(settings)
    app = FastAPI(
        title="Duban",
        version=version("duban"),
        description=DESCRIPTION,
        lifespan=_lifespan,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # an address has one spelling
    )
    runtime = app.state.duban = Runtime.open(settings, clock.now())
    problems.install(app, console.missing_page)
    app.add_middleware(BodyLimit)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestContext, metrics=runtime.metrics)
    _add_routes(app, health.router)
    _add_routes(app, v1)
    docs.install(app)
    openapi.install(app)
    _add_routes(app, console.router)
    app.mount("/static", StaticFiles(directory=console.STATIC), name="static")
    return app
