"""API keys and people, for administrators."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from app import clock
from app.api.body import JsonBody
from app.api.deps import Cursor, Id, Limit, Run, Who, decode_cursor, encode_cursor
from app.security.permissions import require
from app.security.principal import RoleName
from app.services.access import accounts

router = APIRouter(tags=["accounts"])


class KeyIn(JsonBody):
    """A key to be made; an integrator's key needs its source, a unit's its unit."""

    role: RoleName
    name: str | None = Field(default=None, max_length=100)
    source: str | None = Field(default=None, max_length=64)
    unit: str | None = Field(default=None, max_length=64)


class UserIn(JsonBody):
    """A person to be given an account."""

    name: str = Field(min_length=1, max_length=64)
    display_name: str | None = Field(default=None, max_length=100)
    role: RoleName
    unit: str | None = Field(default=None, max_length=64)


class KeyChange(JsonBody):
    """``revoked: true`` ends a key for good."""

    revoked: Literal[True]


class UserChange(JsonBody):
    """``active`` allows or stops signing in; ``reset_password`` gives a new one-time password."""

    active: bool | None = None
    reset_password: bool = False


@router.get("/keys")
def list_keys(run: Run, who: Who, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Every key, without its secret."""
    require(who, "accounts.manage")
    with run.reading() as (session, ref):
        items = accounts.list_keys(session, ref, after_id=decode_cursor(cursor) or 0, limit=limit + 1)
    more = items[limit - 1]["id"] if len(items) > limit else None
    return {"items": items[:limit], "next": encode_cursor(more) if more is not None else None}


@router.post("/keys", status_code=201)
def create_key(run: Run, who: Who, body: KeyIn) -> dict[str, Any]:
    """Make a key. Its secret is in this answer and nowhere else."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        key, secret = accounts.create_key(
            session, body.name or body.role, body.role, body.source, body.unit, actor=who.actor, now=clock.now()
        )
        return {"id": key.id, "secret": secret, "role": key.role, "name": key.name}


@router.patch("/keys/{key_id}")
def change_key(run: Run, who: Who, key_id: Id, body: KeyChange) -> dict[str, Any]:
    """Revoke a key."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        accounts.revoke_key(session, key_id, clock.now())
    return {"id": key_id, "revoked": body.revoked}


@router.get("/users")
def list_users(run: Run, who: Who, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Every account."""
    require(who, "accounts.manage")
    with run.reading() as (session, ref):
        items = accounts.list_users(session, ref, after_id=decode_cursor(cursor) or 0, limit=limit + 1)
    more = items[limit - 1]["id"] if len(items) > limit else None
    return {"items": items[:limit], "next": encode_cursor(more) if more is not None else None}


@router.post("/users", status_code=201)
def create_user(run: Run, who: Who, body: UserIn) -> dict[str, Any]:
    """Make an account. Its one-time password is in this answer and nowhere else."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        user, password = accounts.create_user(
            session, body.name, body.role, None, body.unit, body.display_name or body.name, now=clock.now()
        )
        return {"id": user.id, "name": user.name, "role": user.role, "password": password}


@router.patch("/users/{user_id}")
def change_user(run: Run, who: Who, user_id: Id, body: UserChange) -> dict[str, Any]:
    """Stop or allow an account, or give it a new one-time password."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        password = accounts.change_user(
            session, user_id, active=body.active, reset_password=body.reset_password, now=clock.now()
        )
        return {"id": user_id, "active": accounts.get_user(session, user_id).active, "password": password}
