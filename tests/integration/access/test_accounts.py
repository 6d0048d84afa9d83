"""People, sessions and keys, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from app.db import Database
from app.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from app.models import ApiKey, Source, Unit, UserSession
from app.security.principal import Principal
from app.security.sessions import Throttle
from app.services.access import accounts
from app.services.core.reference import read_reference
from app.services.rules.defaults import ensure_defaults
from app.store.reference import add_node

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(accounts, "SIGN_INS", Throttle())
    database = Database(database_url)
    accounts.SIGN_INS.__init__()  # type: ignore[misc]
    with database.write() as session:
        ensure_defaults(session, NOW)
        top = add_node(session, Unit, "county", "县局", None)
        add_node(session, Unit, "east", "城东所", top)
    yield database
    database.dispose()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.write() as session:
        yield session


def sign_in(session: Session, name: str, password: str, now: datetime) -> accounts.NewSession:
    return accounts.begin_session(session, accounts.check_password(session, name, password, now), now)


def signed_in(session: Session, name: str = "li", role: str = "dispatcher") -> str:
    accounts.create_user(session, name, role, "a long enough one", now=NOW)
    return sign_in(session, name, "a long enough one", NOW).token


def test_a_one_time_password_signs_in_and_must_be_changed(session: Session) -> None:
    user, password = accounts.create_user(session, "li", "dispatcher", display_name="李派单", now=NOW)
    signed = sign_in(session, "li", password, NOW)
    assert signed.must_change_password
    with pytest.raises(Forbidden, match="one-time password"):
        accounts.authenticate(session, signed.token, SOON)
    accounts.change_password(session, user, password, "a better password", SOON, token=signed.token)
    assert accounts.authenticate(session, signed.token, SOON) == Principal("user:li", "李派单", "dispatcher")


def test_neither_password_nor_token_stands_in_the_database(session: Session) -> None:
    user, password = accounts.create_user(session, "li", "dispatcher", now=NOW)
    token = sign_in(session, "li", password, NOW).token
    _, secret = accounts.create_key(session, "hotline", "integrator", "12345", now=NOW)
    kept = [user.password_hash, *session.exec(select(UserSession.token_hash)), *session.exec(select(ApiKey.token_hash))]
    assert not any(clear in text for text in kept for clear in (password, token, secret))


@pytest.mark.parametrize(
    ("name", "password"), [("li", "not the password"), ("nobody", "a long enough one"), ("li", "")]
)
def test_wrong_name_and_wrong_password_get_the_same_message(session: Session, name: str, password: str) -> None:
    signed_in(session)
    with pytest.raises(Unauthorized, match=r"^the name or the password is wrong$"):
        sign_in(session, name, password, NOW)


def test_the_sixth_failed_login_delays_even_the_right_password(session: Session) -> None:
    signed_in(session)
    for _ in range(5):
        with pytest.raises(Unauthorized, match="wrong"):
            sign_in(session, "li", "not the password", NOW)
    with pytest.raises(Unauthorized, match="try again in 31 seconds"):
        sign_in(session, "li", "a long enough one", NOW)
    assert sign_in(session, "li", "a long enough one", NOW + timedelta(seconds=31)).token


def test_a_session_ends_at_its_hour_and_with_signing_out(session: Session) -> None:
    token = signed_in(session)
    assert accounts.authenticate(session, token, NOW + timedelta(hours=12, seconds=-1)).name == "li"
    with pytest.raises(Unauthorized, match="expired"):
        accounts.authenticate(session, token, NOW + timedelta(hours=12))
    accounts.sign_out(session, token)
    with pytest.raises(Unauthorized):
        accounts.authenticate(session, token, SOON)


def test_a_new_password_ends_every_other_session(session: Session) -> None:
    here = signed_in(session)
    elsewhere = sign_in(session, "li", "a long enough one", NOW).token
    user = accounts.session_of(session, here, NOW).user
    accounts.change_password(session, user, "a long enough one", "another long one", SOON, token=here)
    assert accounts.authenticate(session, here, SOON).name == "li"
    with pytest.raises(Unauthorized):
        accounts.authenticate(session, elsewhere, SOON)


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("wrong password", "another long one", "/old"),
        ("a long enough one", "short", "/new"),
        ("a long enough one", "a long enough one", "/new"),
    ],
)
def test_a_password_change_names_the_field_that_is_wrong(session: Session, old: str, new: str, pointer: str) -> None:
    user = accounts.session_of(session, signed_in(session), NOW).user
    with pytest.raises(Invalid) as refused:
        accounts.change_password(session, user, old, new, SOON)
    assert [p.pointer for p in refused.value.problems] == [pointer]


def test_a_person_of_a_unit_is_bound_to_its_subtree(session: Session) -> None:
    accounts.create_user(session, "wang", "unit", "a long enough one", "east", now=NOW)
    who = accounts.authenticate(session, sign_in(session, "wang", "a long enough one", NOW).token, NOW)
    east = session.exec(select(Unit).where(Unit.code == "east")).one()
    assert (who.role, who.unit_id, who.unit_path) == ("unit", east.id, east.path)


@pytest.mark.parametrize(
    ("name", "role", "unit", "pointer"),
    [
        ("wang", "unit", None, "/unit"),
        ("wang", "unit", "west", "/unit"),
        ("wang", "king", None, "/role"),
        ("wang", "integrator", None, "/role"),
        ("wang xi", "admin", None, "/name"),
        ("", "admin", None, "/name"),
        ("w" * 65, "admin", None, "/name"),
    ],
)
def test_an_account_that_cannot_be_is_refused_at_its_place(
    session: Session, name: str, role: str, unit: str | None, pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        accounts.create_user(session, name, role, None, unit, now=NOW)
    assert [p.pointer for p in refused.value.problems] == [pointer]


def test_a_name_is_given_once(session: Session) -> None:
    signed_in(session)
    with pytest.raises(Conflict, match="taken"):
        accounts.create_user(session, "li", "leader", now=NOW)


def test_a_disabled_user_is_out_and_a_reset_password_must_change(session: Session) -> None:
    accounts.create_user(session, "root", "admin", now=NOW)
    token = signed_in(session)
    user = accounts.session_of(session, token, NOW).user
    assert user.id is not None
    assert accounts.change_user(session, user.id, active=False, now=NOW) is None
    with pytest.raises(Unauthorized):
        accounts.authenticate(session, token, SOON)
    with pytest.raises(Unauthorized, match="wrong"):
        sign_in(session, "li", "a long enough one", SOON)
    password = accounts.change_user(session, user.id, active=True, reset_password=True, now=SOON)
    assert password is not None
    assert sign_in(session, "li", password, SOON).must_change_password


def test_the_last_administrator_cannot_be_stopped(session: Session) -> None:
    admin, _ = accounts.create_user(session, "root", "admin", now=NOW)
    assert admin.id is not None
    with pytest.raises(Conflict, match="last administrator"):
        accounts.change_user(session, admin.id, active=False, now=NOW)


def test_a_key_speaks_for_its_source_until_it_is_revoked(session: Session) -> None:
    key, secret = accounts.create_key(session, "hotline", "integrator", "12345", actor="user:root", now=NOW)
    assert key.id is not None
    source = session.exec(select(Source).where(Source.code == "12345")).one()
    assert source.name == "12345"
    who = accounts.authenticate(session, secret, NOW)
    assert (who.actor, who.role, who.source_id) == (f"key:{key.id}", "integrator", source.id)
    accounts.revoke_key(session, key.id, SOON)
    accounts.revoke_key(session, key.id, SOON + timedelta(days=1))
    assert key.revoked_at == SOON
    with pytest.raises(Unauthorized, match="revoked"):
        accounts.authenticate(session, secret, SOON)


@pytest.mark.parametrize("token", ["", "dbk_", "dbs_", "dbk_nothing", "dbs_\ud800", "Bearer x"])
def test_an_unknown_token_is_nobody(session: Session, token: str) -> None:
    with pytest.raises(Unauthorized):
        accounts.authenticate(session, token, NOW)


@pytest.mark.parametrize(
    ("role", "source", "unit", "pointer"),
    [("integrator", None, None, "/source"), ("integrator", "x" * 65, None, "/source"), ("unit", None, None, "/unit"),
     ("king", None, None, "/role")],
)  # fmt: skip
def test_a_key_that_cannot_be_is_refused_at_its_place(
    session: Session, role: str, source: str | None, unit: str | None, pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        accounts.create_key(session, "k", role, source, unit, now=NOW)
    assert [p.pointer for p in refused.value.problems] == [pointer]


def test_lists_of_people_and_keys_hold_no_secret(database: Database) -> None:
    with database.write() as session:
        accounts.create_user(session, "li", "dispatcher", now=NOW)
        accounts.create_user(session, "wang", "unit", None, "east", now=NOW)
        accounts.create_key(session, "hotline", "integrator", "12345", now=NOW)
    with database.read() as session:
        ref = read_reference(session)
        people = accounts.list_users(session, ref, UTC, limit=1)
        rest = accounts.list_users(session, ref, UTC, after_id=people[-1].id)
        keys = accounts.list_keys(session, ref, UTC)
    assert [(p.name, p.unit) for p in people + rest] == [("li", None), ("wang", "east")]
    assert [(k.name, k.source, k.revoked_at) for k in keys] == [("hotline", "12345", None)]
    assert not any("hash" in name for row in (*people, *rest, *keys) for name in type(row).model_fields)


def test_changing_nobody_says_that_there_is_nobody(session: Session) -> None:
    with pytest.raises(NotFound):
        accounts.change_user(session, 404, active=False, now=NOW)
    with pytest.raises(NotFound):
        accounts.revoke_key(session, 404, NOW)
