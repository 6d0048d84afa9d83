"""Row access as a matrix: every GET route × every role × own, another unit's and another source's objects.

The rows are the routes of the application: a new route without a row in ``MATRIX`` fails. What each role sees is written
out below by hand, not computed by ``app.store.scope``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col

from app import clock
from app.api import stream
from app.models import ApiKey, Ticket
from app.security.sessions import SESSION_COOKIE
from app.services.access import accounts
from app.services.core.views import counted_view
from app.services.supervision.sweep import sweep
from app.store import scope
from tests.support import Service, at

# ------------------------------------------------------------------------------------------------------ who sees what

OFFICE = ("admin", "dispatcher", "supervisor", "caller", "leader", "auditor")
UNITS = {"GA": "unit GA", "GA-1": "unit GA-1", "CG": "unit CG"}
SOURCES = {"hotline": "integrator hotline", "sulaiban": "integrator sulaiban"}
ACTORS = (*OFFICE, *UNITS.values(), *SOURCES.values())

TICKETS: Mapping[str, set[str]] = {
    "own": {"unit GA", "unit GA-1", "integrator hotline"},  # with GA-1, below GA
    "other unit": {"unit CG", "integrator hotline"},  # with CG
    "other source": {"unit CG", "integrator sulaiban"},  # with CG
    "first asked": {"unit GA", "unit GA-1", "unit CG", "integrator hotline"},  # GA-1 was asked first, CG has it
    "passed on": {"unit CG", "integrator hotline"},  # GA-1 had it for a while, between CG and CG
}
AGAINST: Mapping[str, set[str]] = {
    "own": {"unit GA", "unit GA-1"},
    "other unit": {"unit CG"},
    "other source": {"unit CG"},
    "first asked": {"unit CG"},
    "passed on": {"unit CG"},
    "passed on, while with GA-1": set(),  # ended before it was passed on
}
FAMILIES: Mapping[str, Mapping[str, set[str]]] = {
    "ticket": TICKETS,
    "extension": TICKETS,
    "alert": {name: seen for name, seen in AGAINST.items() if name != "passed on"},  # its new deadlines are not due yet
    "order": AGAINST,
    "live alert": {name: AGAINST[name] for name in ("own", "other unit", "other source", "first asked")},
    "clear-out row": {  # by the unit that had the ticket when the list was frozen
        "own": {"unit GA", "unit GA-1"}, "passed on": {"unit GA", "unit GA-1"}, "other unit": {"unit CG"},
        "other source": {"unit CG"}, "first asked": {"unit CG"},
    },
    "reject": {"hotline": {"integrator hotline"}, "sulaiban": {"integrator sulaiban"}},
    "report": {"": set(), "GA": {"unit GA"}, "CG": {"unit CG"}},
    "whole list": {"2026-03": set()},
    "feed": {"north": set()},
    "disclosure": {"own": set()},
}  # fmt: skip
"""Objects by family, each with the units and integrators that see it; the office sees every one."""

# --------------------------------------------------------------------------------------------------------- the routes

ALL = frozenset({*OFFICE, "unit", "integrator"})
PEOPLE = ALL - {"integrator"}
READERS = PEOPLE - {"caller"}
FEED_READERS = ALL - {"caller", "unit", "integrator"}
CLERKS = frozenset({"admin", "dispatcher"})
ADMIN = frozenset({"admin"})


@dataclass(frozen=True, slots=True)
class Case:
    """One route: the roles that may call it at all (others: 403), and the family of its objects; with a place in the path it
    answers 200 for what is seen and 404 for what is not, else its list has what is seen and nothing more."""

    roles: frozenset[str]
    family: str | None = None
    query: str = ""
    key: str = "id"
    """The field of an item that tells the object."""


TICKET_PARTS = ("", "/events", "/deadlines", "/callbacks", "/clocks", "/deadlines/{target}/receipt")
API: Mapping[str, Case] = {
    "/tickets": Case(ALL, "ticket"),
    **{f"/tickets/{{ticket_id}}{part}": Case(ALL, "ticket") for part in TICKET_PARTS},
    "/extensions": Case(ALL, "extension"),
    "/alerts": Case(PEOPLE, "alert"),
    "/alerts/stream": Case(PEOPLE, "alert", "last_event_id=0"),
    "/supervision-orders": Case(PEOPLE, "order"),
    "/supervision-orders/{order_id}": Case(ALL, "order"),
    "/clear-out/{month}": Case(READERS, "clear-out row", key="ticket_id"),
    "/reports": Case(READERS, "report"),
    "/reports/{report_id}": Case(READERS, "report"),
    "/reports/{report_id}/figures": Case(READERS, "report"),
    "/reports/{report_id}/tickets": Case(READERS, "report", "figure=received"),
    "/reports/{report_id}/download": Case(READERS, "report", "format=json"),
    "/rejects": Case(CLERKS | {"integrator"}, "reject"),
    "/rejects/{reject_id}": Case(CLERKS | {"integrator"}, "reject"),
    "/feeds": Case(FEED_READERS, "feed", key="name"),
    "/feeds/{name}": Case(FEED_READERS, "feed"),
    "/feeds/{name}/pulls": Case(FEED_READERS, "feed"),
    "/feed-templates": Case(ADMIN),
    "/disclosures": Case(frozenset({"admin", "auditor"}), "disclosure", key="ticket_id"),
    "/keys": Case(ADMIN),
    "/users": Case(ADMIN),
    "/profiles": Case(CLERKS),
    "/profiles/{name}": Case(CLERKS),
    **{
        f"/{name}": Case(ALL)
        for name in ("units", "grids", "categories", "sources", "calendars", "policies", "ladders")
    },
    "/calendars/{code}": Case(ALL),
    "/calendars/{code}/versions": Case(ALL),
    "/policies/export": Case(ALL),
    "/metrics/definitions": Case(ALL),
}
PAGES: Mapping[str, Case] = {
    "/": Case(PEOPLE, "live alert"),
    "/tickets": Case(PEOPLE, "ticket"),
    "/tickets/{ticket_id}": Case(PEOPLE, "ticket"),
    "/tickets/{ticket_id}/deadlines/{target}": Case(PEOPLE, "ticket"),
    "/reports": Case(READERS, "report"),
    "/reports/{report_id}": Case(READERS, "report"),
    "/reports/{report_id}/tickets": Case(READERS, "report", "figure=received"),
    "/reports/{report_id}/download": Case(READERS, "report", "format=json"),
    "/clear-out/{month}": Case(READERS, "clear-out row"),
    "/clear-out/{month}/download": Case(READERS, "whole list", "format=json"),
    "/rejects": Case(CLERKS, "reject"),
    "/rejects/{reject_id}": Case(CLERKS, "reject"),
    "/rejects/words": Case(CLERKS),
    "/feeds": Case(FEED_READERS, "feed"),
    "/feeds/{name}": Case(FEED_READERS, "feed"),
    "/feeds/{name}/edit": Case(ADMIN),
    "/feeds/+new": Case(ADMIN),
    "/imports": Case(CLERKS),
    "/imports/profiles/{name}": Case(CLERKS),
    "/calendar": Case(PEOPLE),
    "/policies": Case(PEOPLE),
    "/policies/{code}": Case(PEOPLE),
    "/policies/+export": Case(PEOPLE),
    "/policies/+replay": Case(FEED_READERS),
    "/glossary": Case(PEOPLE),
}
MATRIX: Mapping[str, Case] = {**{f"/api/v1{path}": case for path, case in API.items()}, **PAGES}
PLACES = {
    "ticket": "ticket_id",
    "order": "order_id",
    "report": "report_id",
    "reject": "reject_id",
    "whole list": "month",
}
"""Where an object of a family is named in a path."""
NO_ROWS = {
    "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/signin", "/password",
    "/clear-out",  # leads to the latest month
    "/imports/{token}",  # the token of an upload is known to the one who made it
}  # fmt: skip
"""Routes that show no row of anybody's."""


def routes(found: list[Any], prefix: str = "") -> Iterator[str]:
    """The paths that answer GET, those of included routers too."""
    for route in found:
        if hasattr(route, "original_router"):
            yield from routes(route.original_router.routes, prefix + route.include_context.prefix)
        elif "GET" in (getattr(route, "methods", None) or ()):
            yield prefix + route.path


# ---------------------------------------------------------------------------------------------------------- the world


@dataclass
class World:
    """A service in which each family has its objects: name in ``FAMILIES`` → key."""

    service: Service
    objects: dict[str, dict[str, Any]]
    tokens: dict[str, str]

    def fill(self, path: str, name: str | None, family: str | None) -> str:
        """``path`` with the object ``name`` in its place."""
        fixed = {"target": "complete", "month": "2026-03", "code": "cn" if "calendars" in path else "default"}
        if "profiles" in path or "feeds" in path:
            fixed["name"] = "duban" if "profiles" in path else "north"
        if family in PLACES and name is not None:
            fixed[PLACES[family]] = self.objects[family][name]
        return re.sub(r"\{(\w+)\}", lambda match: str(fixed[match[1]]), path)

    def ask(self, actor: str, path: str) -> Any:
        """The answer to ``actor``, with its key, or as a person who has signed in."""
        token = self.tokens[actor]
        headers = {"Authorization": f"Bearer {token}"} if path.startswith("/api") else {
            "Cookie": f"{SESSION_COOKIE}={token}; duban_lang=en", "Accept": "text/html"
        }  # fmt: skip
        return self.service.client.get(path, headers=headers, follow_redirects=False)

    def sign_in(self) -> None:
        """Make everybody a person with a session, but for integrators, who have no account."""
        with self.service.runtime.database.write() as session:
            for n, actor in enumerate(ACTORS):
                role, _, bound = actor.partition(" ")
                if role == "integrator":
                    continue
                user, _ = accounts.create_user(
                    session, f"p{n}", role, "a long enough one", bound or None, now=clock.now()
                )
                self.tokens[actor] = accounts.begin_session(session, user, clock.now(), hours=1).token


def build(service: Service) -> World:
    """Tell the lives of the five tickets, and make what is made of them."""

    def pushed(name: str, unit: str, source: str = "hotline") -> int:
        body = {"external_id": name, "title": f"title of {name}", "unit": unit, "received_at": at("2026-03-02 10:00"),
                "reporter": {"name": "张三", "phone": "13800000000"}}  # fmt: skip
        key = service.key("integrator", source=source)
        return int(service.call("POST", "/tickets", key=key, json=body).json()["id"])

    def passed_to(ticket: int, unit: str, **moment: Any) -> None:
        service.act(ticket, "reassign", unit=unit, reason="不属本单位职责", **moment)

    ids = {"own": pushed("own", "GA-1"), "other unit": pushed("other unit", "CG"),
           "other source": pushed("other source", "CG", "sulaiban"), "first asked": pushed("first asked", "GA-1"),
           "passed on": pushed("passed on", "CG")}  # fmt: skip
    passed_to(ids["first asked"], "CG", at=at("2026-03-03 10:00"))
    passed_to(ids["passed on"], "GA-1", at=at("2026-03-03 10:00"))
    for ticket in ids.values():
        service.act(ticket, "extend", days=2, reason="需现场勘验", at=at("2026-03-04 10:00"))
    for kind, about in (
        ("clear-out", None),
        ("monthly", None),
        ("monthly", {"unit": "GA"}),
        ("monthly", {"unit": "CG"}),
    ):
        body = {"kind": kind, "period": "2026-03", **({"scope": about} if about else {})}
        answer = service.call("POST", "/reports", json=body)
        assert answer.status_code == 201, answer.text
    sweep(service.runtime.database, service.runtime.reference, clock.now())
    for ticket in ids.values():
        service.call("POST", f"/tickets/{ticket}/supervision-orders", json={"demand": "三日内答复"})
    held = service.get("/supervision-orders", ticket=ids["passed on"])["items"][0]["id"]
    service.act(ids["passed on"], "accept")
    service.call("POST", f"/supervision-orders/{held}/reply", json={"reply": "已处置"})
    assert service.call("POST", f"/supervision-orders/{held}/accept-reply", json={}).status_code == 200
    passed_to(ids["passed on"], "CG")
    service.call("POST", f"/tickets/{ids['passed on']}/supervision-orders", json={"demand": "三日内答复"})
    for source in SOURCES:
        service.call("POST", "/tickets/batch", key=service.key("integrator", source=source), json=[{"title": "x"}])
    assert service.call("POST", "/feeds", json={"template": "sulaiban", "base_url": "https://127.0.0.1:1",
                                                "name": "north"}).status_code == 201  # fmt: skip
    service.get(f"/tickets/{ids['own']}", reveal=True)

    named = {ticket: name for name, ticket in ids.items()}
    of_ticket: dict[str, dict[str, Any]] = {"alert": {}, "order": {}}
    for family, path in (("alert", "/alerts"), ("order", "/supervision-orders")):
        for item in service.get(path, limit=500)["items"]:
            ended = item["unit"] == "GA-1" and named[item["ticket_id"]] == "passed on"
            name = named[item["ticket_id"]] + ", while with GA-1" * ended
            of_ticket[family].setdefault(name, item["id"])
    reports = service.get("/reports", limit=500)["items"]
    objects = {
        "ticket": ids,
        "clear-out row": ids,
        "disclosure": {"own": ids["own"]},
        "extension": {named[item["ticket_id"]]: item["id"] for item in service.get("/extensions")["items"]},
        **of_ticket,
        "live alert": {name: key for name, key in of_ticket["alert"].items() if name in FAMILIES["live alert"]},
        "reject": {item["source"]: item["id"] for item in service.get("/rejects")["items"]},
        "report": {row["scope"]["unit"] or "": row["id"] for row in reports if row["kind"] == "monthly"},
        "feed": {"north": "north"},
        "whole list": {"2026-03": "2026-03"},
    }
    assert {family: set(found) for family, found in objects.items()} == {
        family: set(FAMILIES[family]) for family in objects
    }
    keys = {actor: service.key(actor) for actor in OFFICE}
    keys |= {actor: service.key("unit", unit=code) for code, actor in UNITS.items()}
    keys |= {actor: service.key("integrator", source=code) for code, actor in SOURCES.items()}
    return World(service, objects, keys)


# ---------------------------------------------------------------------------------------------------------- the tests


def seen_by(actor: str, family: str) -> set[str]:
    """The names of the objects that ``actor`` sees."""
    return {name for name, others in FAMILIES[family].items() if actor in OFFICE or actor in others}


def listed(world: World, path: str, case: Case, answer: Any) -> set[str]:
    """The names of the family's objects in a list, a page or the stream."""
    assert case.family is not None
    objects = world.objects[case.family]
    if not path.startswith("/api"):
        if path == "/":  # the board links the tickets of its alerts
            objects = {name: world.objects["ticket"][name] for name in objects}
        place = {"live alert": "/tickets/", "clear-out row": 'id="t'}.get(case.family, f"/{case.family}s/")
        return {name for name, key in objects.items() if re.search(rf"{place}{key}(?!\w)", answer.text)}
    if path.endswith("/stream"):
        keys: set[Any] = {int(key) for key in re.findall(r'^data: \{"id":(\d+)', answer.text, re.MULTILINE)}
    else:
        keys = {item[case.key] for item in answer.json()["items"]}
    return {name for name, key in objects.items() if key in keys}


def mismatches(world: World, path: str, actor: str, case: Case) -> Iterator[str]:
    """What one route answers to one actor otherwise than the matrix says."""
    allowed = actor.partition(" ")[0] in case.roles
    single = case.family is not None and f"{{{PLACES.get(case.family)}}}" in path
    names = list(world.objects[case.family or ""]) if single else [None]
    for name in names:
        address = world.fill(path, name, case.family)
        answer = world.ask(actor, f"{address}?{case.query}" if case.query else address)
        expected = (
            403 if not allowed else 404 if name is not None and name not in seen_by(actor, case.family or "") else 200
        )
        if answer.status_code != expected:
            yield f"{actor}: {address} ({name}) is {answer.status_code}, not {expected}"
        elif expected == 200 and case.family and not single and "{name}" not in path:
            found, due = listed(world, path, case, answer), seen_by(actor, case.family)
            if found != due:
                yield f"{actor}: {path} has {sorted(found)}, not {sorted(due)}"


@pytest.fixture
def world(service: Service, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, and streams that end at once."""
    monkeypatch.setattr(stream, "LONGEST_SECONDS", 0.3)
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.1)
    return build(service)


def test_every_route_has_a_row_in_the_matrix(service: Service) -> None:
    app: Any = service.client.app
    assert set(routes(app.routes)) == set(MATRIX) | NO_ROWS


def test_a_role_reads_its_own_rows_by_the_api(world: World) -> None:
    cases = [(path, case) for path, case in MATRIX.items() if path.startswith("/api")]
    assert [wrong for actor in ACTORS for path, case in cases for wrong in mismatches(world, path, actor, case)] == []


def test_a_role_reads_its_own_rows_on_the_pages(world: World) -> None:
    world.sign_in()
    actors = [actor for actor in ACTORS if actor not in SOURCES.values()]
    assert [
        wrong for actor in actors for path, case in PAGES.items() for wrong in mismatches(world, path, actor, case)
    ] == []


def test_a_frozen_row_has_no_title_once_passed_on(world: World) -> None:
    def titles(actor: str) -> dict[int, str | None]:
        items = world.ask(actor, "/api/v1/clear-out/2026-03").json()["items"]
        return {item["ticket_id"]: item["title"] for item in items}

    ids = world.objects["ticket"]
    assert titles("unit GA") == {ids["own"]: "title of own", ids["passed on"]: None}
    assert titles("leader") == {key: f"title of {name}" for name, key in ids.items()}


def test_a_counted_ticket_passed_on_shows_nobody_s_words(world: World) -> None:
    report = world.objects["report"]["GA"]
    items = world.ask("unit GA", f"/api/v1/reports/{report}/tickets?figure=received").json()["items"]
    rows = {item["id"]: item for item in items}
    passed = rows[world.objects["ticket"]["passed on"]]
    assert rows[world.objects["ticket"]["own"]]["title"] == "title of own"
    assert [passed[name] for name in ("title", "content", "reporter", "address", "result")] == [None] * 5
    assert passed["number"]
    assert passed["attributes"] == {}
    new = counted_view({"id": 1, "a field of tomorrow": "what the citizen said"})
    assert new == {"id": 1, "a field of tomorrow": None, "attributes": {}}


def test_a_page_does_not_name_a_repeated_ticket_unseen(world: World) -> None:
    ids = world.objects["ticket"]
    with world.service.runtime.database.write() as session:
        child = session.get_one(Ticket, ids["own"])
        child.parent_id = ids["other unit"]
        session.add(child)
        number = session.get_one(Ticket, ids["other unit"]).number
    world.sign_in()
    page = f"/tickets/{ids['own']}"
    assert number in world.ask("leader", page).text
    assert number not in world.ask("unit GA", page).text


def test_a_correction_does_not_tell_of_a_ticket_unseen(world: World) -> None:
    def refused(external_id: str) -> Any:
        path, key = f"/tickets/by-external/hotline/{external_id}", world.tokens["unit GA"]
        answer = world.service.call("PATCH", path, key=key, json={"priority": "urgent"})
        return answer.status_code, answer.json()["detail"].replace(external_id, "…")

    assert refused("other unit") == refused("nothing") == (404, "the source 'hotline' has no ticket '…'")


@pytest.mark.parametrize(("role", "bound"), [("unit", "unit_id"), ("integrator", "source_id")])
def test_a_key_that_lost_its_bound_sees_nothing(world: World, role: str, bound: str) -> None:
    with world.service.runtime.database.write() as session:
        session.execute(update(ApiKey).where(col(ApiKey.role) == role).values({bound: None}))
    for actor in ACTORS:
        if actor.partition(" ")[0] == role:
            assert world.ask(actor, "/api/v1/tickets").json()["items"] == []
            assert world.ask(actor, "/api/v1/extensions").json()["items"] == []
            assert world.ask(actor, f"/api/v1/tickets/{world.objects['ticket']['own']}").status_code == 404


def test_one_condition_on_tickets_hides_all_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Any = scope.ticket_rule
    own = world.objects["ticket"]["own"]

    def confidential(terms: Any, ticket: Any) -> Any:
        return plain(terms, ticket) if terms.who.role in OFFICE else terms.both(plain(terms, ticket), ticket.id != own)

    monkeypatch.setattr(scope, "ticket_rule", confidential)
    rules: Any = scope.RULES
    monkeypatch.setitem(rules, Ticket, confidential)
    families = ("ticket", "extension", "alert", "order")
    for family in families:
        monkeypatch.setitem(FAMILIES, family, {**FAMILIES[family], "own": set()})
    cases = [(path, case) for path, case in MATRIX.items() if path.startswith("/api") and case.family in families]
    assert [wrong for actor in ACTORS for path, case in cases for wrong in mismatches(world, path, actor, case)] == []
