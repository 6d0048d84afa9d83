"""A client that ``openapi-python-client`` generates from ``/openapi.json``, used against a running service."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.server import PATIENCE, Site, serving

PACKAGE = "duban_client"
CONFIG = Path(__file__).parents[3] / "docs" / "openapi-client.yml"


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service for all: what is declared does not depend on the database."""
    folder = tmp_path_factory.mktemp("client-site")
    database = folder / "duban.db"
    database.write_bytes(sqlite_template.read_bytes())
    with serving(f"sqlite:///{database.as_posix()}", data_dir=folder / "data") as site:
        yield site


@pytest.fixture(scope="module")
def generated(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the generated package, which can be imported while the fixture lasts."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_text(httpx.get(f"{site.address}/openapi.json", timeout=PATIENCE).text, "utf-8")
    command = [
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none",
        "--config", str(CONFIG), "--output-path", str(folder / PACKAGE),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    skipped = [line for line in said.splitlines() if line.startswith("WARNING parsing")]
    assert skipped == ["WARNING parsing POST /api/v1/tickets/batch within intake."], said  # its NDJSON
    sys.path.insert(0, str(folder))
    yield folder / PACKAGE
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


class Client:
    """The generated client, with one function for each operation: ``client("list_tickets", limit=2)``."""

    def __init__(self, package: Path, address: str, key: str) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}
        for file in sorted((package / "api").glob("*/*.py")):
            if file.stem != "__init__":
                module = importlib.import_module(f"{PACKAGE}.api.{file.parent.name}.{file.stem}")
                self._functions[file.stem] = module.sync_detailed
        self.models = importlib.import_module(f"{PACKAGE}.models")
        connect = importlib.import_module(f"{PACKAGE}.client").AuthenticatedClient
        self.address, self.key = address, key
        self._client = connect(base_url=address, token=key, timeout=httpx.Timeout(PATIENCE))

    def close(self) -> None:
        """Close its connections."""
        self._client.get_httpx_client().close()

    def __call__(self, operation: str, *path: Any, expect: int = 200, **given: Any) -> Any:
        """The answer as an object of the generated models; ``expect``: the status that must be answered."""
        answer = self._functions[operation](*path, client=self._client, **given)
        assert answer.status_code == expect, answer.content
        return answer.parsed

    def model(self, name: str, **fields: Any) -> Any:
        """A request of the generated models."""
        return getattr(self.models, name).from_dict(fields)


@pytest.fixture(scope="module")
def admin(site: Site, generated: Path) -> Iterator[Client]:
    client = Client(generated, site.address, site.key)
    yield client
    client.close()


@pytest.fixture(scope="module")
def upstream(site: Site, generated: Path) -> Iterator[Client]:
    """The client with an integrator's key."""
    client = Client(generated, site.address, site.pusher)
    yield client
    client.close()


def pushed(upstream: Client, external_id: str, **fields: Any) -> int:
    """A ticket pushed by the client; its id."""
    body = upstream.model("TicketIn", external_id=external_id, title="路灯不亮", **fields)
    return upstream("push_ticket", body=body, expect=201).id  # type: ignore[no-any-return]


def act(client: Client, ticket: int, action: str, **fields: Any) -> Any:
    """Take an action by its own operation and request model."""
    body = client.model(f"{action.capitalize()}In", **fields)
    return client(f"{action}_ticket", ticket, body=body)


def test_names_of_the_client_are_ascii_and_short(generated: Path) -> None:
    names = [file.name for file in generated.rglob("*.py")]
    assert [name for name in names if not name.isascii() or len(name) > 50] == []
    assert [name for name in (file.name for file in generated.glob("api/*/*.py")) if len(name) > 30] == []


def test_client_pushes_and_tells_created_from_known_and_other(upstream: Client) -> None:
    body = upstream.model("TicketIn", external_id="C-1", title="路灯不亮", reporter={"phone": "13800000000"})
    created = upstream("push_ticket", body=body, expect=201)
    assert (created.external_id, created.status.value, created.reporter.phone) == ("C-1", "received", "138****0000")
    assert upstream("push_ticket", body=body, expect=200).id == created.id
    other = upstream.model("TicketIn", external_id="C-1", title="路灯又不亮", kind="complaint")
    problem = upstream("push_ticket", body=other, expect=409)
    assert problem.fields == ["kind", "reporter.phone", "title"]
    assert (problem.type_, problem.status) == ("urn:duban:problem:conflict", 409)


def test_client_corrects_a_ticket(upstream: Client) -> None:
    ticket = pushed(upstream, "C-2", address="人民路")
    body = upstream.model("TicketPatch", priority="urgent", address=None)
    corrected = upstream("correct_ticket", "12345", "C-2", body=body)
    assert (corrected.id, corrected.priority.value, corrected.address) == (ticket, "urgent", None)


def test_client_pushes_a_batch_and_reads_each_result(upstream: Client) -> None:
    pushed(upstream, "C-3")
    rows = [upstream.model("TicketIn", external_id=name, title=title)
            for name, title in (("C-3", "路灯不亮"), ("C-4", "路灯不亮"), ("C-5", ""))]  # fmt: skip
    done = upstream("push_batch", body=rows)
    assert (done.created, done.unchanged, done.rejected) == (1, 1, 1)
    assert [row.status.value for row in done.results] == ["unchanged", "created", "rejected"]
    assert [error.pointer for error in done.results[2].errors] == ["/title"]


def test_client_lists_page_by_page(upstream: Client) -> None:
    ids = [pushed(upstream, f"C-6{n}", kind="praise") for n in range(5)]
    found: list[int] = []
    page = upstream("list_tickets", limit=2, kind="praise,suggestion")
    while True:
        found += [ticket.id for ticket in page.items]
        if page.next_ is None:
            break
        page = upstream("list_tickets", limit=2, kind="praise,suggestion", cursor=page.next_)
    assert found == ids[::-1]


def test_client_takes_every_action(admin: Client, upstream: Client) -> None:
    ticket = pushed(upstream, "C-7")
    seen = [
        act(admin, ticket, "dispatch", unit="GA-01"),
        act(admin, ticket, "return", reason="不属本单位"),
        act(admin, ticket, "dispatch", unit="GA-02"),
        act(admin, ticket, "reassign", unit="GA-01", reason="职责调整"),
        act(admin, ticket, "accept"),
        act(admin, ticket, "contact", note="已联系"),
        act(admin, ticket, "suspend", reason="等待鉴定"),
        act(admin, ticket, "resume"),
        act(admin, ticket, "extend", days=3, reason="需鉴定"),
        act(admin, ticket, "urge", note="催办"),
        act(admin, ticket, "complete", result="已修复"),
        act(admin, ticket, "reopen", reason="又坏了"),
        act(admin, ticket, "void", reason="重复登记"),
    ]
    assert [one.status.value for one in seen] == [
        "dispatched", "returned", "dispatched", "dispatched", "accepted", "accepted", "suspended", "accepted", "accepted",
        "accepted", "completed", "reopened", "void",
    ]  # fmt: skip
    problem = admin("accept_ticket", ticket, expect=409)
    assert problem.state == "void"
    stale = admin("urge_ticket", pushed(upstream, "C-8"), if_match='"9"', expect=412)
    assert stale.type_ == "urn:duban:problem:stale"
    unknown = admin("dispatch_ticket", ticket, body=admin.model("DispatchIn", unit="X"), expect=409)
    assert unknown.allowed == []
    types = [event.type_ for event in admin("list_events", ticket).items]
    assert types[:2] == ["received", "dispatched"]


def test_client_records_callbacks(admin: Client, upstream: Client) -> None:
    ticket = pushed(upstream, "C-9")
    for action, fields in (("dispatch", {"unit": "GA-01"}), ("accept", {}), ("complete", {"result": "已修复"})):
        act(admin, ticket, action, **fields)
    body = admin.model("CallbackIn", outcome="reached", satisfaction="satisfied", resolved=True, speed=5)
    closed = admin("post_callback", ticket, body=body, expect=201)
    assert (closed.status.value, closed.satisfaction.value) == ("closed", "satisfied")
    (callback,) = admin("list_callbacks", ticket).items
    assert (callback.outcome.value, callback.speed, callback.remark) == ("reached", 5, None)


def test_client_reads_deadlines_with_receipts(admin: Client, upstream: Client) -> None:
    ticket = pushed(upstream, "C-10", unit="GA-01")
    deadlines = {one.target.value: one for one in admin("list_deadlines", ticket).items}
    receipt = admin("get_receipt", ticket, "complete")
    assert receipt.due_at == deadlines["complete"].due_at
    assert receipt.receipt[0].verdict == "started"
    limit = {"unit": "working_days", "amount": 2}
    body = admin.model("PreviewIn", calendar="cn", start="2026-03-02T09:00:00+08:00", limit=limit)
    assert admin("preview_deadline", body=body).due_at.isoformat() == "2026-03-04T17:30:00+08:00"
    assert admin("get_ticket", 999_999, expect=404).status == 404


def test_client_makes_reports_and_downloads_them(admin: Client, upstream: Client) -> None:
    ticket = pushed(upstream, "C-11", received_at="2026-03-02T09:00:00+08:00")
    body = admin.model("ReportIn", kind="monthly", period="2026-03")
    made = admin("make_report", body=body, expect=201)
    assert admin("make_report", body=body, expect=200).id == made.id
    figures = admin("get_figures", made.id).figures.additional_properties
    assert figures["received"].value == 1
    behind = admin("list_figure_tickets", made.id, figure="received")
    assert ([one.id for one in behind.items], behind.total) == ([ticket], 1)
    assert [one.id for one in admin("list_reports").items] == [made.id]
    starts = {"xlsx": b"PK", "csv": b"\xef\xbb\xbf", "json": b"{"}
    for format_, start in starts.items():
        answer = httpx.get(
            f"{admin.address}/api/v1/reports/{made.id}/download", params={"format": format_},
            headers={"Authorization": f"Bearer {admin.key}"}, timeout=PATIENCE,
        )  # fmt: skip
        assert answer.content.startswith(start), answer.content[:20]
    assert admin("download_report", made.id).payload.read(2) == b"PK"
    body = admin.model("ReportIn", kind="clear-out", period="2026-03")
    listed = admin("make_report", body=body, expect=201)
    assert [row.ticket_id for row in listed.items] == [ticket]
    assert admin("get_clear_out", "2026-03").summary.listed == 1


def test_client_reads_readiness_when_it_is_refused(admin: Client) -> None:
    found = admin("readyz", expect=503)
    assert found.checks.additional_properties["last_sweep"] == "none yet"


def test_client_exchanges_policies_as_toml(admin: Client) -> None:
    text = admin("export_policies").payload.read()
    file = importlib.import_module(f"{PACKAGE}.types").File
    done = admin("import_policies", body=file(payload=text))
    assert (done.created, done.changed) == ([], [])
    assert json.dumps(sorted(done.unchanged)) == json.dumps(sorted({p.code for p in admin("list_policies").items}))
