"""The same thing written at once by several callers: one winner, no 5xx; trees stay trees; an administrator remains."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import Session, col

from app import clock
from app.models import ApiKey, Category, Grid, Ticket, Unit, User
from app.services.access import accounts
from app.services.core import catalogue
from app.store import reference as store
from tests.support import Service, running

AT_ONCE = 8


@pytest.fixture
def crowded(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """The service on an empty database."""
    with running(database_url, data_dir=tmp_path / "data") as service:
        service.key()
        yield service


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(call) for call in calls]]


@contextmanager
def unaware(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No transaction sees the rows of another before its own insert, as in a race."""
    with monkeypatch.context() as patched:
        patched.setattr(store, "by_code", lambda *_: None)
        yield


FEED = {"template": "hotline12345", "base_url": "https://12345.example.org/api"}
CREATED: list[tuple[str, dict[str, Any]]] = [
    ("/units", {"code": "X", "name": "甲"}),
    ("/grids", {"code": "X", "name": "甲"}),
    ("/categories", {"code": "X", "name": "甲"}),
    ("/sources", {"code": "X", "name": "甲"}),
    ("/users", {"name": "wang", "role": "leader"}),
    ("/keys", {"name": "k", "role": "integrator", "source": "new"}),
    ("/feeds", FEED),
]


@pytest.mark.parametrize(("path", "body"), CREATED, ids=[path for path, _ in CREATED])
def test_the_same_created_at_once_has_one_winner(crowded: Service, path: str, body: dict[str, Any]) -> None:
    answers = at_once([lambda: crowded.call("POST", path, json=body)] * AT_ONCE)
    found = sorted(answer.status_code for answer in answers)
    assert set(found) <= {201, 409}, [answer.text for answer in answers]
    if path == "/keys":  # several keys may be of one source
        assert 201 in found
    else:
        assert found == [201] + [409] * (AT_ONCE - 1)


def test_a_unique_violation_is_a_conflict(crowded: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    crowded.call("POST", "/sources", json={"code": "X", "name": "甲"})
    with unaware(monkeypatch):
        answer = crowded.call("POST", "/sources", json={"code": "X", "name": "甲"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:duban:problem:conflict")


def test_one_administrator_always_remains(crowded: Service) -> None:
    for round_ in range(5):
        with crowded.runtime.database.write() as session:
            ids = [accounts.create_user(session, f"a{round_}-{n}", "admin", now=clock.now())[0].id for n in range(3)]
        answers = at_once([partial(crowded.call, "PATCH", f"/users/{id_}", json={"active": False}) for id_ in ids])
        assert {answer.status_code for answer in answers} <= {200, 409}
        with crowded.runtime.database.read() as session:
            left = session.execute(select(User).where(col(User.role) == "admin", col(User.active))).scalars().all()
        assert len(left) == 1
        with crowded.runtime.database.write() as session:  # out of the way of the next round
            session.get_one(User, left[0].id).active = False


def is_tree(session: Session, table: Any) -> bool:
    rows = {row.id: row for row in session.execute(select(table)).scalars()}
    return all(
        row.path == f"{rows[row.parent_id].path if row.parent_id else '/'}{row.id}/" for row in rows.values()
    ) and all(row.path.count(f"/{row.id}/") == 1 for row in rows.values())


@pytest.mark.parametrize(
    ("name", "table"),
    [("units", Unit), ("grids", Grid), ("categories", Category)],
    ids=["units", "grids", "categories"],
)
def test_a_tree_stays_a_tree_under_concurrent_moves(crowded: Service, name: str, table: Any) -> None:
    codes = "ABCDE"
    with crowded.runtime.database.write() as session:
        for code in codes:
            catalogue.create_node(session, table, {"code": code, "name": code})
    chosen = random.Random(7)

    def move(code: str, parent: str | None) -> int:
        return crowded.call("PATCH", f"/{name}/{code}", json={"parent": parent}).status_code

    for _ in range(5):
        moves = [(chosen.choice(codes), chosen.choice([*codes, None])) for _ in range(AT_ONCE)]
        moves[:2] = [("A", "B"), ("B", "A")]
        answers = at_once([partial(move, *pair) for pair in moves])
        assert set(answers) <= {200, 422}
        with crowded.runtime.database.read() as session:
            assert is_tree(session, table)


def parents(service: Service) -> dict[str, tuple[str | None, int]]:
    with service.runtime.database.read() as session:
        rows = {row.id: row for row in session.execute(select(Ticket)).scalars()}
    return {
        row.external_id: (rows[row.parent_id].external_id if row.parent_id else None, row.repeats)
        for row in rows.values()
    }


def patch_parent(service: Service, child: str, parent: str | None) -> int:
    path = f"/tickets/by-external/hotline/{child}"
    return service.call("PATCH", path, role="integrator", json={"parent_external_id": parent}).status_code


def test_two_tickets_cannot_be_each_others_parent(crowded: Service) -> None:
    for name in ("A", "B", "C"):
        crowded.push(external_id=name)
    assert [patch_parent(crowded, *pair) for pair in (("A", "B"), ("B", "C"), ("B", "A"), ("C", "A"))] == [
        200, 200, 422, 422,
    ]  # fmt: skip
    assert parents(crowded) == {"A": ("B", 0), "B": ("C", 1), "C": (None, 1)}
    assert patch_parent(crowded, "A", None) == 200
    assert patch_parent(crowded, "C", "A") == 200
    assert parents(crowded) == {"A": (None, 1), "B": ("C", 0), "C": ("A", 1)}


def test_tickets_linked_at_once_form_no_loop(crowded: Service) -> None:
    crowded.key("integrator")
    for n in range(5):
        one, other = (crowded.push(external_id=f"{letter}{n}")["external_id"] for letter in "AB")
        found = at_once([partial(patch_parent, crowded, one, other), partial(patch_parent, crowded, other, one)])
        assert sorted(found) == [200, 422]


def test_a_voided_child_is_counted_down(crowded: Service) -> None:
    crowded.push(external_id="P")
    child = crowded.push(external_id="C", parent_external_id="P")
    crowded.push(external_id="D", parent_external_id="P")
    assert parents(crowded)["P"] == (None, 2)
    crowded.act(child["id"], "void", reason="误录")
    assert parents(crowded)["P"] == (None, 1)


def test_keys_of_a_refused_creation_are_not_kept(crowded: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "k", "role": "integrator", "source": "new"}
    assert crowded.call("POST", "/keys", json=body).status_code == 201
    with unaware(monkeypatch):
        assert crowded.call("POST", "/keys", json=body).status_code == 409
    with crowded.runtime.database.read() as session:
        assert len(session.execute(select(ApiKey).where(col(ApiKey.name) == "k")).scalars().all()) == 1
