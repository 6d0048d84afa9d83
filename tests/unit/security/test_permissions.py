"""Who may see this phone number, and who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from app.domain.tickets.lifecycle import TABLE
from app.errors import Forbidden
from app.models import Ticket
from app.security.permissions import MAY, may, require, sees_reporter
from app.security.principal import ROLES, Principal

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class _Unit:
    path: str


@dataclass(frozen=True)
class _Reference:
    units: dict[int, _Unit]


REFERENCE = _Reference({1: _Unit("/1/"), 7: _Unit("/1/7/"), 8: _Unit("/1/8/"), 71: _Unit("/1/7/71/")})


def ticket(unit_id: int | None, first_unit_id: int | None = None) -> Ticket:
    return Ticket(
        id=1, number="20261102-1", source_id=1, external_id="a", fingerprint="", title="t", status="dispatched",
        unit_id=unit_id, first_unit_id=first_unit_id or unit_id, received_at=NOW, recorded_at=NOW, changed_at=NOW,
    )  # fmt: skip


def person(role: str, unit_id: int | None = None) -> Principal:
    path = REFERENCE.units[unit_id].path if unit_id else None
    return Principal("user:x", "x", role, unit_id, path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("admin", True),
        ("dispatcher", True),
        ("supervisor", True),
        ("caller", True),
        ("leader", False),
        ("auditor", False),
        ("integrator", False),
    ],
)
def test_those_who_talk_to_the_citizen_see_the_phone_number(role: str, sees: bool) -> None:
    assert sees_reporter(person(role), ticket(7), REFERENCE) is sees


@pytest.mark.parametrize(
    ("unit", "holder", "sees"), [(7, 7, True), (7, 71, True), (71, 7, False), (7, 8, False), (7, None, False)]
)
def test_a_unit_sees_the_phone_number_in_tickets_of_its_subtree(unit: int, holder: int | None, sees: bool) -> None:
    assert sees_reporter(person("unit", unit), ticket(holder), REFERENCE) is sees


def test_a_former_unit_no_longer_sees_the_phone_number() -> None:
    assert not sees_reporter(person("unit", 7), ticket(8, first_unit_id=7), REFERENCE)


def test_a_refusal_names_the_roles_that_may() -> None:
    with pytest.raises(Forbidden) as refused:
        require(person("auditor"), "orders.rule")
    assert "督办员" in refused.value.message.zh
    assert "supervisor" in refused.value.message.en


def test_an_admin_may_do_everything_and_every_role_is_known() -> None:
    assert all(may(person("admin"), permission) for permission in MAY)
    assert all(roles <= set(ROLES) for roles in MAY.values())
    assert all(step.roles <= set(ROLES) for step in TABLE.values())
