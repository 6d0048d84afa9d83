"""API keys and people, for administrators."""

from __future__ import annotations

from fastapi import APIRouter

from app import clock
from app.api.answers import CHANGES
from app.api.deps import Cursor, Id, Limit, Run, Who, decode_cursor, encode_cursor
from app.schemas.account import (
    ChangedKeyOut,
    ChangedUserOut,
    KeyChange,
    KeyIn,
    KeyOut,
    NewKeyOut,
    NewUserOut,
    UserChange,
    UserIn,
    UserOut,
)
from app.schemas.common import Page
from app.security.permissions import require
from app.services.access import accounts

router = APIRouter(tags=["accounts"])


@router.get("/keys")
def list_keys(run: Run, who: Who, limit: Limit = 100, cursor: Cursor = None) -> Page[KeyOut]:
    """Every key, without its secret."""
    require(who, "accounts.manage")
    with run.reading() as (session, ref):
        items = accounts.list_keys(
            session, ref, run.settings.zone, after_id=decode_cursor(cursor) or 0, limit=limit + 1
        )
    return Page(items=items[:limit], next=encode_cursor(items[limit - 1].id) if len(items) > limit else None)


@router.post("/keys", status_code=201, responses=CHANGES)
def create_key(run: Run, who: Who, body: KeyIn) -> NewKeyOut:
    """Create a key. Its secret is returned once, in this response."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        key, secret = accounts.create_key(
            session, body.name or body.role, body.role, body.source, body.unit, actor=who.actor, now=clock.now()
        )
        return NewKeyOut.from_row(key, run.settings.zone, secret=secret)


@router.patch("/keys/{key_id}", responses=CHANGES)
def change_key(run: Run, who: Who, key_id: Id, body: KeyChange) -> ChangedKeyOut:
    """Revoke a key."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        accounts.revoke_key(session, key_id, clock.now())
    return ChangedKeyOut(id=key_id, revoked=body.revoked)


@router.get("/users")
def list_users(run: Run, who: Who, limit: Limit = 100, cursor: Cursor = None) -> Page[UserOut]:
    """Every account."""
    require(who, "accounts.manage")
    with run.reading() as (session, ref):
        items = accounts.list_users(
            session, ref, run.settings.zone, after_id=decode_cursor(cursor) or 0, limit=limit + 1
        )
    return Page(items=items[:limit], next=encode_cursor(items[limit - 1].id) if len(items) > limit else None)


@router.post("/users", status_code=201, responses=CHANGES)
def create_user(run: Run, who: Who, body: UserIn) -> NewUserOut:
    """Create an account. Its one-time password is returned once, in this response."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        user, password = accounts.create_user(
            session, body.name, body.role, None, body.unit, body.display_name or body.name, now=clock.now()
        )
        return NewUserOut.from_row(user, run.settings.zone, password=password)


@router.patch("/users/{user_id}", responses=CHANGES)
def change_user(run: Run, who: Who, user_id: Id, body: UserChange) -> ChangedUserOut:
    """Disable or enable an account, or issue a new one-time password."""
    require(who, "accounts.manage")
    with run.database.write() as session:
        password = accounts.change_user(
            session, user_id, active=body.active, reset_password=body.reset_password, now=clock.now()
        )
        active = accounts.get_user(session, user_id).active
    return ChangedUserOut(id=user_id, active=active, password=password)
