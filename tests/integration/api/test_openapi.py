"""``/openapi.json`` says what is true: how to sign in, what a refusal looks like, and for every request and answer an example
whose fields are those that are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.services.supervision.sweep import sweep
from tests.support import Service, at, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all: what is documented does not depend on the database."""
    with running(f"sqlite:///{tmp_path_factory.mktemp('openapi')}/duban.db") as service:
        service.unit("GA")
        yield service


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return service.client.get("/openapi.json").json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of the API: its method, its path and what is said of it."""
    for path, methods in document["paths"].items():
        if path.startswith("/api/v1"):
            for method, operation in methods.items():
                yield method, path.removeprefix("/api/v1"), operation


def example_of(document: dict[str, Any], method: str, path: str) -> Any:
    """The example of an operation's answer."""
    responses = document["paths"][f"/api/v1{path}"][method]["responses"]
    (found,) = [
        one["content"]["application/json"]["example"] for code, one in responses.items() if code in ("200", "201")
    ][:1]
    return found


def has_example(document: dict[str, Any], part: Any) -> bool:
    """Whether ``part``, or a schema that it refers to, has an example."""
    if isinstance(part, dict):
        if "$ref" in part:
            return has_example(document, document["components"]["schemas"][part["$ref"].rpartition("/")[2]])
        return bool({"example", "examples"} & part.keys()) or any(has_example(document, one) for one in part.values())
    return isinstance(part, list) and any(has_example(document, one) for one in part)


def test_every_request_and_every_answer_has_an_example(document: dict[str, Any]) -> None:
    silent = []
    for method, path, operation in operations(document):
        if "requestBody" in operation and not has_example(document, operation["requestBody"]):
            silent.append(f"{method} {path}: request")
        answered = [one for code, one in operation["responses"].items() if code.startswith("2")]
        texts = any(kind.startswith("text/") for one in answered for kind in one.get("content", {}))
        if not texts and not path.endswith(("/download", "/export")) and not has_example(document, answered):
            silent.append(f"{method} {path}: answer")
    assert silent == []


def test_every_operation_needs_a_bearer_and_declares_problems(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for method, path, operation in operations(document):
        assert operation["security"] == [{"bearer": []}], (method, path)
        refusals = {code: one for code, one in operation["responses"].items() if not code.startswith("2")}
        assert {"401", "422", "default"} <= refusals.keys(), (method, path)
        for one in refusals.values():
            assert list(one["content"]) == ["application/problem+json"], (method, path)
    assert "HTTPValidationError" not in json.dumps(document)


def same_fields(example: Any, answer: Any, at_: str = "") -> list[str]:
    """Where the fields of an example and of an answer differ; of a list the first item is looked at."""
    if isinstance(example, list) and isinstance(answer, list):
        return same_fields(example[0], answer[0], f"{at_}[]") if example and answer else []
    if not (isinstance(example, dict) and isinstance(answer, dict)):
        return []
    if at_.rpartition(".")[2] in OPEN:
        return []
    wrong = [f"{at_}: {name}" for name in example.keys() ^ answer.keys()]
    return wrong + [
        d for name in example.keys() & answer.keys() for d in same_fields(example[name], answer[name], f"{at_}.{name}")
    ]


OPEN = {"attributes", "data", "figures", "previous", "last_year", "days", "week", "ranking", "limits", "limits_in_words", "match",
        "groups", "conditions", "sql"}  # fmt: skip
"""Objects whose names are data."""


@pytest.fixture(scope="module")
def lived(service: Service) -> dict[str, Any]:
    """A ticket that has gone all ways: the ids of what hangs on it."""
    ticket = service.push(
        unit="GA", received_at=at("2026-03-02 09:00"), reporter={"name": "张三", "phone": "13800000000"}
    )["id"]
    service.act(ticket, "accept", at=at("2026-03-02 10:00"))
    service.act(ticket, "complete", result="已办", at=at("2026-03-03 10:00"))
    service.call_back(ticket, outcome="reached", satisfaction="dissatisfied", resolved=False, at=at("2026-03-03 15:00"))
    sweep(service.runtime.database, service.runtime.reference, clock.now() + timedelta(days=40))
    other = service.push(unit="GA")["id"]
    service.act(other, "extend", role="dispatcher", days=3, reason="需鉴定")
    service.call("POST", "/tickets/batch", role="integrator", json=[{"title": "无编号"}])
    service.get(f"/tickets/{ticket}", reveal=True)
    report = service.call("POST", "/reports", json={"kind": "monthly", "period": "2026-03"}).json()["id"]
    service.call("POST", "/reports", json={"kind": "clear-out", "period": "2026-03"})
    return {
        "ticket_id": ticket, "month": "2026-03", "report_id": report, "code": "cn", "target": "complete",
        "order_id": service.get("/supervision-orders")["items"][0]["id"],
        "reject_id": service.get("/rejects")["items"][0]["id"],
    }  # fmt: skip


def test_the_fields_of_the_examples_are_those_that_are_answered(
    service: Service, document: dict[str, Any], lived: dict[str, Any]
) -> None:
    differing = {}
    for method, path, _ in operations(document):
        if (
            method != "get"
            or path.endswith(("/stream", "/download", "/export"))
            or "feed" in path
            or "profiles" in path
        ):
            continue
        params = {"figure": "received"} if path == "/reports/{report_id}/tickets" else {}
        answer = service.call("GET", path.format(**lived), params=params)
        assert answer.status_code == 200, (path, answer.text)
        wrong = same_fields(example_of(document, "get", path), answer.json())
        if wrong:
            differing[path] = wrong
    assert differing == {}


CHANGES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("post", "/tickets/{ticket_id}/urge", "/tickets/{ticket_id}/{action}", {}),
    ("post", "/tickets/{ticket_id}/supervision-orders", "/tickets/{ticket_id}/supervision-orders", {}),
    ("post", "/supervision-orders/{order_id}/reply", "/supervision-orders/{order_id}/reply", {"reply": "已办"}),
    ("post", "/units", "/units", {"code": "X", "name": "X"}),
    ("patch", "/units/X", "/units/{code}", {"name": "Y"}),
    ("post", "/grids", "/grids", {"code": "X", "name": "X"}),
    ("post", "/categories", "/categories", {"code": "X", "name": "X"}),
    ("post", "/sources", "/sources", {"code": "X", "name": "X"}),
    ("post", "/keys", "/keys", {"role": "auditor"}),
    ("post", "/users", "/users", {"name": "li", "role": "auditor"}),
    ("post", "/extensions/1/approve", "/extensions/{extension_id}/{ruling}", {}),
    ("post", "/deadlines/elapsed", "/deadlines/elapsed",
     {"calendar": "cn", "start": "2026-03-02T09:00:00Z", "end": "2026-03-03T09:00:00Z"}),
    ("post", "/deadlines/preview", "/deadlines/preview",
     {"calendar": "cn", "start": "2026-03-02T09:00:00Z", "limit": {"unit": "working_days", "amount": 2}}),
    ("post", "/policies/preview", "/policies/preview", {"kind": "consult"}),
    ("patch", "/clear-out/2026-03/{ticket_id}", "/clear-out/{month}/{ticket_id}", {"leader": "李"}),
    ("post", "/rejects/{reject_id}/retry", "/rejects/{reject_id}/retry", {"row": {"external_id": "R1", "title": "x"}}),
    ("post", "/rejects/retry", "/rejects/retry", {"reason": "missing"}),
)  # fmt: skip


def test_so_are_those_of_what_is_answered_to_a_change(
    service: Service, document: dict[str, Any], lived: dict[str, Any]
) -> None:
    differing = {}
    for method, address, path, body in CHANGES:
        answer = service.call(method.upper(), address.format(**lived), json=body)
        assert answer.status_code in (200, 201), (address, answer.text)
        wrong = same_fields(example_of(document, method, path), answer.json())
        if wrong:
            differing[path] = wrong
    assert differing == {}
