"""Fixtures of all tests, and the rule that a facility which was required may not be missing in silence.

``DUBAN_REQUIRE=postgres,browser,real`` makes a missing facility a failure, and, where the whole suite was selected,
also one that no test used. Without it such tests are skipped, and the last lines of the run say loudly which and why.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine
from xdist.scheduler import LoadScopeScheduling

from app.config import Settings
from app.db import make_engine, migrate
from tests.facilities import (
    CHROMIUM_FLAGS,
    FACILITIES,
    Missing,
    PostgresServer,
    clean_up,
    find_chromium,
    find_postgres,
    find_promtool,
    find_real_data,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WORKDIR = pytest.StashKey[Path]()
FACILITY_OF_FIXTURE = {
    "postgres_server": "postgres",
    "postgres_url": "postgres",
    "bare_postgres_url": "postgres",
    "chromium": "browser",
    "browser": "browser",
    "page": "browser",
    "real_data": "real",
    "promtool": "promtool",
}
SHARING = ("/test_demo.py", "/test_sample_feeds.py")
"""Modules with a fixture of module scope that costs seconds, one for each parameter."""
KEPT_VARIABLES = ("DUBAN_TEST_POSTGRES_URL", "DUBAN_CHROMIUM", "DUBAN_REAL_DATA", "DUBAN_REQUIRE")


# ---------------------------------------------------------------------------------------------- the run as a whole


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder of its own, and keep the settings of whoever starts it away from the tests."""
    unknown = _required() - set(FACILITIES)
    if unknown:
        raise pytest.UsageError(f"DUBAN_REQUIRE names {sorted(unknown)}; known are {', '.join(FACILITIES)}")
    for name in [name for name in os.environ if name.startswith("DUBAN_") and name not in KEPT_VARIABLES]:
        del os.environ[name]
    os.environ["DUBAN_PASSWORD_MEMORY_KIB"] = "64"  # passwords as strong as in service would take most of the time
    Settings.model_config["env_file"] = None
    if not os.environ.get("CI"):  # there, hypothesis has a profile of its own: the same examples each time
        settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("patient")
    if _is_worker(config):
        config.stash[WORKDIR] = Path(cast("Any", config).workerinput["duban_workdir"])
    else:
        config.stash[WORKDIR] = Path(tempfile.mkdtemp(prefix="duban-test-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each parallel worker the folder of the run."""
    node.workerinput["duban_workdir"] = str(node.config.stash[WORKDIR])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop and remove what the run has started, once for all workers."""
    if _is_worker(config) or WORKDIR not in config.stash:
        return
    workdir = config.stash[WORKDIR]
    clean_up(workdir, _run_name(workdir))
    shutil.rmtree(workdir, ignore_errors=True)


class SharedFixtureScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Distributes tests one by one, but keeps those that share a costly fixture in one process, where it is made once."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        return f"{path}[{name.partition('[')[2]}" if path.endswith(SHARING) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedFixtureScheduling:
    """The order in which parallel processes get tests."""
    return SharedFixtureScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use; browser tests go last, since Playwright leaves its event loop running."""
    for item in items:
        for fixture, facility in FACILITY_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(facility)
        for facility in FACILITIES:
            if item.get_closest_marker(facility) is not None:
                item.user_properties.append(("facility", facility))
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def _run_name(workdir: Path) -> str:
    return workdir.name.removeprefix("duban-test-").lower()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _required() -> set[str]:
    return {name.strip() for name in os.environ.get("DUBAN_REQUIRE", "").split(",") if name.strip()}


def _whole_suite(config: pytest.Config) -> bool:
    chosen = (config.option.keyword, config.option.markexpr, config.getoption("deselect", None))
    narrowed = any(chosen) or config.getoption("lf", False) or config.getoption("collectonly", False)
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not narrowed


def _tests_of(config: pytest.Config, facility: str, *outcomes: str) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = [r for outcome in outcomes for r in reporter.stats.get(outcome, [])] if reporter else []
    return [r for r in reports if ("facility", facility) in getattr(r, "user_properties", ())]


def _selected(config: pytest.Config, facility: str) -> bool:
    """Whether the run was to include the tests of ``facility``: the whole suite, or the markers chosen name it."""
    return _whole_suite(config) or re.search(rf"(?<!not )\b{facility}\b", config.option.markexpr) is not None


def _idle(config: pytest.Config) -> list[str]:
    """The required facilities that no test used, though their tests were selected."""
    chosen = [f for f in FACILITIES if f in _required() and _selected(config, f)]
    return [f for f in chosen if not _tests_of(config, f, "passed", "failed")]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when a required facility was not used at all."""
    if not _is_worker(session.config) and session.exitstatus == pytest.ExitCode.OK and _idle(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say for each facility how many tests ran, and loudly what did not."""
    for facility in FACILITIES:
        ran = len(_tests_of(config, facility, "passed", "failed"))
        skipped = _tests_of(config, facility, "skipped")
        if not (ran or skipped):
            continue
        terminalreporter.write_line(f"{facility}: {ran} tests ran, {len(skipped)} did not")
        if skipped:
            reasons = {str(r.longrepr[2]).removeprefix("Skipped: ") for r in skipped if isinstance(r.longrepr, tuple)}
            terminalreporter.write_line(f"NOT RUN HERE: {facility} ({'; '.join(sorted(reasons))})", red=True, bold=True)
    for facility in _idle(config):
        terminalreporter.write_line(f"FAILED: {facility} is required, and no test of it ran", red=True, bold=True)


def _absent(facility: str, error: Missing) -> NoReturn:
    """Fail the test where ``facility`` is required, and skip it elsewhere."""
    if facility in _required():
        pytest.fail(f"{facility} is required by DUBAN_REQUIRE: {error}", pytrace=False)
    pytest.skip(str(error))


# ------------------------------------------------------------------------------------------------------- databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "duban.db"
    migrate(f"sqlite:///{path.as_posix()}")
    return path


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The PostgreSQL server of this run, with its migrated template."""
    workdir = request.config.stash[WORKDIR]
    try:
        return find_postgres(workdir, _run_name(workdir))
    except Missing as error:
        _absent("postgres", error)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An empty migrated SQLite database of its own for each test."""
    path = tmp_path / "duban.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path.as_posix()}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty migrated PostgreSQL database of its own for each test."""
    name = postgres_server.lend()
    yield postgres_server.url_of(name)
    postgres_server.take_back(name)


@pytest.fixture
def bare_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without any table, for tests of the migrations."""
    name = postgres_server.make_database(migrated=False)
    yield postgres_server.url_of(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty migrated database of its own for each test, which thereby runs on SQLite and on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def bare_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table, SQLite and PostgreSQL, for tests of the migrations."""
    if request.param == "sqlite":
        return f"sqlite:///{(tmp_path / 'bare.db').as_posix()}"
    url: str = request.getfixturevalue("bare_postgres_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on ``database_url``, disposed of after the test."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


# ------------------------------------------------------------------------------------------- real data, and browser


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder of real data."""
    try:
        return find_real_data(request.config.rootpath)
    except Missing as error:
        _absent("real", error)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' checker of expositions."""
    try:
        return find_promtool()
    except Missing as error:
        _absent("promtool", error)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The Chromium on this machine."""
    try:
        return find_chromium()
    except Missing as error:
        _absent("browser", error)


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium, one for all tests of a process; tests open contexts of their own in it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - half a second that other tests need not pay

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium), headless=True, args=list(CHROMIUM_FLAGS), timeout=60_000
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of 1366×768 in a fresh Chinese context; the test fails if a script on it raised an error."""
    context = browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="zh-CN", timezone_id="Asia/Shanghai", accept_downloads=True
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == [], f"scripts on the page raised {errors}"
