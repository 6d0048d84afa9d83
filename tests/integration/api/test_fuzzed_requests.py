"""Requests that chance has spoilt, at every door that takes a body: an answer or a problem document that says what is wrong,
never a 500; and afterwards the next ticket is taken as if nothing had been."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import console
from app.console.base.web import HERE, PageRoute
from app.domain.supervision.ladder import DEFAULT_LADDER
from tests.mutants import Sent, bodies, spoilt
from tests.support import Service, at

THOROUGH = int(os.environ.get("THOROUGH", "1"))
FORM = "multipart/form-data; boundary=XX"
URLENCODED = "application/x-www-form-urlencoded"


def often(examples: int) -> settings:
    """So many examples in a usual run; ``THOROUGH=100`` for a hundred times as many."""
    return settings(
        max_examples=examples * THOROUGH, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


Door = tuple[str, str, str, Any]
ACTS: dict[str, Any] = {
    "unit": "GA", "reason": "不属本单位", "days": 3, "until": at("2026-03-05 09:00"), "note": "已联系", "result": "已修复",
    "at": at("2026-03-03 09:00"),
}  # fmt: skip


def resolved(document: dict[str, Any], part: Any) -> Any:
    """The example of a part of the OpenAPI document."""
    if not isinstance(part, dict):
        return None
    if "$ref" in part:
        return resolved(document, document["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    if "example" in part:
        return part["example"]
    if part.get("examples"):
        first = part["examples"]
        return first[0] if isinstance(first, list) else next(iter(first.values()))["value"]
    return resolved(document, part.get("schema"))


@pytest.fixture
def doors(service: Service) -> list[Door]:
    """Method, path, kind and example of every body that the API takes, by its own document."""
    document = service.client.get("/openapi.json").json()
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for kind, part in operation.get("requestBody", {}).get("content", {}).items():
                good = ACTS if path.endswith("/{action}") else resolved(document, part)
                found.append((method.upper(), path, kind, good if good is not None else {}))
    return found


@pytest.fixture
def visitor(service: Service) -> tuple[dict[str, str], str]:
    """An administrator's browser."""
    return service.person("admin")


@pytest.fixture
def places(service: Service, visitor: tuple[dict[str, str], str]) -> dict[str, Any]:
    """What is there for the parameters of paths: of ``code``, by the list that it stands in."""
    for unit in ("GA-01", "CN"):
        service.unit(unit, "GA")
    made = {
        "/grids": {"code": "CN", "name": "城南"},
        "/categories": {"code": "noise", "name": "噪声"},
        "/sources": {"code": "12345", "name": "热线"},
        "/users": {"name": "he", "role": "caller"},
        "/policies": {
            "code": "noise",
            "name_zh": "噪声",
            "limits": {"complete": {"unit": "working_days", "amount": 3}},
        },
        "/feeds": {"template": "sulaiban", "base_url": "https://127.0.0.1:1", "name": "east"},
    }
    for path, body in made.items():
        answer = service.call("POST", path, json=body)
        assert answer.status_code == 201, answer.text
    spare = service.call("POST", "/keys", json={"role": "auditor"}).json()["id"]
    ticket = service.push(unit="GA", external_id="T/1")["id"]
    order = service.call("POST", f"/tickets/{ticket}/supervision-orders", json={}).json()["id"]
    service.act(ticket, "extend", days=2, reason="等零件")
    headers, csrf = visitor
    file = {"file": ("a.csv", "编号,标题\n1,路灯不亮\n".encode())}
    came = service.client.post("/imports", headers=headers, data={"csrf": csrf}, files=file, follow_redirects=False)
    batch = [{"external_id": f"R{n}", "title": ""} for n in range(3)]
    assert service.call("POST", "/tickets/batch", role="integrator", json=batch).json()["rejected"] == 3
    return {
        "ticket_id": ticket, "order_id": order, "reject_id": service.get("/rejects")["items"][0]["id"], "source": "hotline",
        "external_id": "T%2F1", "units": "GA", "grids": "CN", "categories": "noise", "sources": "12345", "policies": "noise",
        "calendars": "cn", "calendar": "cn", "ladders": DEFAULT_LADDER.code, "month": "2026-02", "year": 2026,
        "token": came.headers["location"].rpartition("/")[2], "ruling": "approve", "name": "east", "key_id": spare,
        "extension_id": service.get("/extensions")["items"][0]["id"], "user_id": 1,
    }  # fmt: skip


ACTIONS = ("dispatch", "accept", "return", "reassign", "contact", "suspend", "resume", "extend", "complete", "urge", "reopen",
           "void", "nothing")  # fmt: skip


def filled(draw: Callable[[st.SearchStrategy[str]], str], path: str, places: dict[str, Any]) -> str:
    """``path`` with its parameters: mostly such as are there."""
    odd = st.sampled_from(["0", "-1", "9" * 19, "9" * 400, "%00", "%FF", "..", "é", "a%2Fb", "1.5"])

    def one(match: re.Match[str]) -> str:
        name = match[1].partition(":")[0]
        if name == "action":
            return draw(st.sampled_from(ACTIONS))
        kind = path[: match.start()].rstrip("/").rpartition("/")[2]
        there = str(places.get(kind if name == "code" else name, 1))
        return draw(st.one_of(*[st.just(there)] * 8, odd))

    return re.sub(r"\{([^}]+)\}", one, path)


def checked(answer: Any, sent: object) -> None:
    """An answer as the contract has it."""
    said = (answer.status_code, answer.text[:500], sent)
    assert answer.status_code < 500, said
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", said
        body = answer.json()
        assert {"type", "title", "status", "detail", "instance"} <= body.keys(), said
        assert body["status"] == answer.status_code, said
        assert not [
            word for word in ("Traceback", "SELECT ", "sqlalchemy", "pydantic", ".py") if word in answer.text
        ], said
    elif answer.content:
        answer.json()


def sent_by(service: Service, method: str, path: str, sent: Sent, headers: dict[str, str]) -> Any:
    """The answer to a request of these very bytes."""
    named = {**headers, **({} if sent.kind is None else {"Content-Type": sent.kind}), **sent.headers}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    return service.client.request(method, path, content=sent.body, headers=raw, follow_redirects=False)


@given(st.data())
@often(200)
def test_every_api_endpoint_answers_fuzzed_input(
    service: Service, doors: list[Door], places: dict[str, Any], data: st.DataObject
) -> None:
    method, path, kind, good = data.draw(st.sampled_from(doors))
    role = "integrator" if "/by-external/" in path or path.endswith("/tickets") else "admin"
    sent = data.draw(spoilt(FORM_OF_A_FILE, FORM) if kind.startswith("multipart/") else bodies(good, kind))
    path = filled(data.draw, path, places)
    checked(
        sent_by(service, method, path, sent, {"Authorization": f"Bearer {service.key(role)}"}), (method, path, sent)
    )
    service.push()


FORM_OF_A_FILE = (
    '--XX\r\nContent-Disposition: form-data; name="profile"\r\n\r\nduban\r\n--XX\r\nContent-Disposition: form-data; '
    'name="file"; filename="a.csv"\r\n\r\n编号,标题\r\n1,路灯不亮\r\n--XX--\r\n'
)


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data; name=\"file\"; filename*=utf-8''%E4%B8%80.csv",
        "form-data; name=\"file\"; filename*=nowhere''%FF",
        "form-data; name*=utf-8''file; filename=a",
        "form-data; name*0=fi; name*1=le; filename*0*=a''b; filename*1=c",
        'form-data; name="file"; filename="a\xff\x00.csv"',
        "form-data; name=file; filename",
        "form-data; filename=a; name=file; name=file",
        ";;;=;",
        "form-data; name=" + "x" * 5_000,
    ],
)
def test_a_form_that_names_its_file_oddly_is_read_or_refused(service: Service, disposition: str) -> None:
    body = f"--XX\r\nContent-Disposition: {disposition}\r\n\r\n编号,标题\r\n1,路灯\r\n--XX--\r\n".encode(
        "utf-8", "surrogateescape"
    )
    key = {"Authorization": f"Bearer {service.key('admin')}"}
    checked(sent_by(service, "POST", "/api/v1/profiles/propose", Sent(body, FORM), key), disposition)
    headers, _ = service.person()
    assert sent_by(service, "POST", "/imports", Sent(body, FORM), headers).status_code < 500
    assert not [place for place in (service.runtime.settings.data_dir / "uploads").glob("*") if place.is_dir()]


def addresses(router: Any) -> Iterator[str]:
    """The addresses of the forms of the console."""
    for route in router.routes:
        if isinstance(route, PageRoute) and "POST" in (route.methods or ()):
            yield route.path
        elif not isinstance(route, PageRoute):
            yield from addresses(route.original_router)


FORMS = sorted(set(addresses(console.router)) - {"/signout", "/password", "/signin"})
NAMES = sorted(set(re.findall(r'name="([\w.-]+)"', "".join(p.read_text("utf-8") for p in HERE.rglob("*.html")))))
"""Names of the fields of all forms."""
WORDS = (
    "", " ", "1", "-1", "9" * 400, "on", "GA", "noise", "default", "2026-03-02T09:00", "2026-02", "a\0b", "\ud800", "%", "1e999",
    "save", "preview", "import", "complete", "{}", "[", "x = 1", "long" * 3_000, "上午", "../..", "//evil.example",
)  # fmt: skip


@given(st.data())
@often(150)
def test_every_console_form_answers_fuzzed_input(
    service: Service, visitor: tuple[dict[str, str], str], places: dict[str, Any], data: st.DataObject
) -> None:
    headers, csrf = visitor
    path = filled(data.draw, data.draw(st.sampled_from(FORMS)), places)
    fields = data.draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WORDS)), max_size=6))
    text = urlencode([("csrf", csrf), *fields], errors="surrogatepass")
    form = f'--XX\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n{FORM_OF_A_FILE}'
    sent = data.draw(spoilt(form, FORM) if path == "/imports" else spoilt(text, URLENCODED))
    answer = sent_by(service, "POST", path, sent, headers)
    assert answer.status_code < 500, (path, sent, answer.text[:300])
