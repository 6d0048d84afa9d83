"""``/openapi.json`` is complete and true: how to sign in, what a refusal looks like, the schema and an example of every
request and answer, and that answers conform to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest

from app import clock
from app.domain import words
from app.schemas import codes
from app.schemas.action import ACTIONS
from app.security.principal import ROLES
from app.services.supervision.sweep import sweep
from tests.conformity import Contract
from tests.support import Service, at, contract_of, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all: what is documented does not depend on the database."""
    with running(f"sqlite:///{tmp_path_factory.mktemp('openapi')}/duban.db") as service:
        service.unit("GA")
        yield service


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return service.client.get("/openapi.json").json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def contract(service: Service) -> Contract:
    return contract_of(service.client.app)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of the API: its method, its path and what is said of it."""
    for path, methods in document["paths"].items():
        if path.startswith("/api/v1"):
            for method, operation in methods.items():
                yield method, path.removeprefix("/api/v1"), operation


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


def test_operations_need_a_bearer_and_refuse_by_problems(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for method, path, operation in operations(document):
        assert operation["security"] == [{"bearer": []}], (method, path)
        refusals = {code: one for code, one in operation["responses"].items() if not code.startswith("2")}
        assert {"401", "422", "default"} <= refusals.keys(), (method, path)
        for one in refusals.values():
            assert list(one["content"]) == ["application/problem+json"], (method, path)
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_success_has_a_schema(contract: Contract) -> None:
    bare = []
    for method, path, operation in contract.operations():
        for status, response in operation["responses"].items():
            kinds = response.get("content", {})
            if status.startswith("2") and (not kinds or not all(part.get("schema") for part in kinds.values())):
                bare.append(f"{method} {path}: {status}")
    assert bare == []


def test_every_parameter_has_a_description(contract: Contract) -> None:
    bare = [
        f"{method} {path}: {parameter['name']}"
        for method, path, operation in contract.operations()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert bare == []


def test_operations_have_short_unique_ids_and_tags(contract: Contract) -> None:
    names = [operation["operationId"] for _, _, operation in contract.operations()]
    assert len(names) == len(set(names))
    assert [name for name in names if not name.isascii() or not name.isidentifier() or len(name) > 25] == []
    assert all(operation["tags"] for _, _, operation in contract.operations())
    assert contract.document["info"]["title"].isascii()


def test_every_reference_has_its_schema(contract: Contract) -> None:
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(contract.document)))
    assert used <= contract.document["components"]["schemas"].keys()


def test_the_examples_of_models_conform_to_them(contract: Contract) -> None:
    wrong = []
    for name, schema in contract.document["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            wrong += [f"{name}{each}" for each in contract.differences(example, schema)]
    assert wrong == []


def test_code_words_are_those_of_the_domain() -> None:
    tables = {
        codes.TicketStatus: words.STATUS, codes.Stage: words.STAGE, codes.Kind: words.KIND, codes.Priority: words.PRIORITY,
        codes.Severity: words.SEVERITY, codes.Card: words.CARD, codes.Target: words.TARGET, codes.Outcome: words.OUTCOME,
        codes.Satisfaction: words.SATISFACTION, codes.Trigger: words.TRIGGER, codes.OrderState: words.ORDER_STATE,
        codes.Role: words.ROLE,
    }  # fmt: skip
    assert {str(alias): get_args(alias.__value__) for alias in tables} == {
        str(alias): tuple(table) for alias, table in tables.items()
    }
    assert get_args(codes.Role.__value__) == ROLES


def test_each_action_has_its_own_operation_and_example(contract: Contract) -> None:
    for action, request in ACTIONS.items():
        operation = contract.document["paths"][f"/api/v1/tickets/{{ticket_id}}/{action}"]["post"]
        assert operation["operationId"] == f"{action}_ticket"
        assert f'/{request.__name__}"' in json.dumps(operation["requestBody"])
        (example,) = contract.document["components"]["schemas"][request.__name__]["examples"]
        request.model_validate(example)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"working_seconds": 1}, "/working_days is missing"),
        ({"working_seconds": 1, "working_days": 1, "more": 1}, "/more is not declared"),
        ({"working_seconds": "1", "working_days": 1}, "/working_seconds: '1' is no integer"),
        ({"working_seconds": True, "working_days": 1}, "/working_seconds: True is no integer"),
    ],
)
def test_an_answer_unlike_its_schema_is_noticed(contract: Contract, value: Any, wrong: str) -> None:
    assert contract.differences(value, {"$ref": "#/components/schemas/ElapsedOut"}) == [wrong]


@pytest.mark.parametrize(
    ("method", "path", "status", "media", "wrong"),
    [
        ("GET", "/units", 207, "application/json", "status 207 is not declared"),
        ("GET", "/units", 200, "text/html", "200 as 'text/html' is not declared"),
        ("POST", "/units", 409, "application/json", "409 as 'application/json' is not declared"),
    ],
)
def test_an_undeclared_answer_is_noticed(
    contract: Contract, method: str, path: str, status: int, media: str, wrong: str
) -> None:
    (found,) = contract.breaches(method, f"/api/v1{path}", status, media, None)
    assert wrong in found


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


def test_every_reading_answers_as_declared(service: Service, contract: Contract, lived: dict[str, Any]) -> None:
    for method, path, _ in contract.operations():
        if method == "get" and path.startswith("/api/v1") and not path.endswith("/stream") and "{name}" not in path:
            params = {"figure": "received"} if path.endswith("/reports/{report_id}/tickets") else {}
            answer = service.call("GET", path.removeprefix("/api/v1").format(**lived), params=params)  # compares, too
            assert answer.status_code == 200, (path, answer.text)


def test_readiness_answers_as_declared(service: Service, contract: Contract) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = service.client.get(path)
        content = answer.json() if "json" in answer.headers["content-type"] else None
        assert contract.breaches("GET", path, answer.status_code, answer.headers["content-type"], content) == []


CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/tickets/{ticket_id}/urge", {}),
    ("POST", "/tickets/{ticket_id}/supervision-orders", {}),
    ("POST", "/supervision-orders/{order_id}/reply", {"reply": "已办"}),
    ("POST", "/units", {"code": "X", "name": "X"}),
    ("PATCH", "/units/X", {"name": "Y"}),
    ("PATCH", "/units/X", {"calendar": "cn"}),
    ("POST", "/grids", {"code": "X", "name": "X"}),
    ("POST", "/categories", {"code": "X", "name": "X"}),
    ("POST", "/sources", {"code": "X", "name": "X"}),
    ("POST", "/keys", {"role": "auditor"}),
    ("POST", "/users", {"name": "li", "role": "auditor"}),
    ("POST", "/extensions/1/approve", {}),
    ("POST", "/deadlines/elapsed", {"calendar": "cn", "start": "2026-03-02T09:00:00Z", "end": "2026-03-03T09:00:00Z"}),
    ("POST", "/deadlines/preview",
     {"calendar": "cn", "start": "2026-03-02T09:00:00Z", "limit": {"unit": "working_days", "amount": 2}}),
    ("POST", "/policies/preview", {"kind": "consult"}),
    ("PATCH", "/clear-out/2026-03/{ticket_id}", {"leader": "李"}),
    ("POST", "/rejects/{reject_id}/retry", {"row": {"external_id": "R1", "title": "x"}}),
    ("POST", "/rejects/retry", {"reason": "missing"}),
)  # fmt: skip


def test_every_change_answers_as_declared(service: Service, lived: dict[str, Any]) -> None:
    for method, address, body in CHANGES:
        answer = service.call(method, address.format(**lived), json=body)  # compares the answer to its declaration
        assert answer.status_code in (200, 201), (address, answer.text)
