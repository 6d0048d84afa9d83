"""People, their sessions, and API keys: create, check, revoke. Secrets are stored only as hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple, cast, get_args

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from app.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from app.models import ApiKey, Source, Unit, User, UserSession
from app.schemas.account import KeyOut, UserOut
from app.security import passwords, tokens
from app.security.principal import ROLES, Principal, RoleName
from app.security.sessions import Throttle
from app.services.core.catalogue import ensure_source
from app.services.core.reference import Reference
from app.store import reference as store

SIGN_INS = Throttle()
"""Failures to sign in at this process."""


class NewSession(NamedTuple):
    """A fresh session: ``token`` is the bearer token and the cookie, shown once; ``csrf`` goes into its forms."""

    token: str
    csrf: str
    must_change_password: bool


class SessionInfo(NamedTuple):
    """A valid session: the person, the principal it acts as, and the secret of its forms."""

    user: User
    principal: Principal
    csrf: str


def _check_role(role: str) -> RoleName:
    if role not in get_args(RoleName):
        raise Invalid.at("/role", f"应为 {'、'.join(ROLES)} 之一", f"one of {', '.join(ROLES)}")
    return cast("RoleName", role)


def _unit(session: Session, code: str | None, role: str) -> Unit | None:
    if code is None:
        if role == "unit":
            raise Invalid.at("/unit", "承办单位角色须指定责任单位", "the role unit needs a unit")
        return None
    unit = store.by_code(session, Unit, code)
    if unit is None:
        raise Invalid.at("/unit", f"没有编码为 {code!r} 的责任单位", f"no unit has the code {code!r}")
    return unit


def _code(rows: Mapping[int, Any], key: int | None) -> str | None:
    return rows[key].code if key is not None and key in rows else None


def _check_name(name: str) -> str:
    text = name.strip()
    if not 1 <= len(text) <= 64 or any(c.isspace() or not c.isprintable() for c in text):
        raise Invalid.at(
            "/name", "用户名为 1 至 64 个字符，不含空白", "a user name has 1 to 64 characters, none of them blank"
        )
    return text


# ---------------------------------------------------------------------------------------------------------- people


def create_user(
    session: Session,
    name: str,
    role: str,
    password: str | None = None,
    unit_code: str | None = None,
    display_name: str | None = None,
    *,
    now: datetime,
) -> tuple[User, str]:
    """Make a person's account; the account and its password.

    Without ``password`` a one-time password is made, which must be changed at the first sign-in. Raises Invalid (role,
    unit, name, weak password), Conflict where the name is taken.
    """
    name = _check_name(name)
    role = _check_role(role)
    if role == "integrator":
        raise Invalid.at("/role", "接入方使用密钥，不设用户", "an integrator has a key, not a user account")
    unit = _unit(session, unit_code, role)
    if session.execute(select(User.id).where(col(User.name) == name)).first() is not None:  # type: ignore[call-overload]
        raise Conflict(f"用户名 {name!r} 已被使用", f"the name {name!r} is taken", fields=["name"])
    if password is not None:
        passwords.check_new(password, name=name)
    chosen = password if password is not None else tokens.one_time_password()
    user = User(
        name=name,
        display_name=(display_name or name).strip()[:100],
        password_hash=passwords.hash_password(chosen),
        role=role,
        unit_id=unit.id if unit else None,
        must_change_password=password is None,
        created_at=now,
    )
    session.add(user)
    session.flush()
    return user, chosen


def list_users(session: Session, ref: Reference, zone: tzinfo, *, after_id: int = 0, limit: int = 100) -> list[UserOut]:
    """Accounts as an administrator reads them, by id from beyond ``after_id``."""
    query = select(User).where(col(User.id) > after_id).order_by(col(User.id)).limit(limit)
    return [
        UserOut.from_row(user, zone, unit=_code(ref.units, user.unit_id)) for user in session.execute(query).scalars()
    ]


def get_user(session: Session, user_id: int) -> User:
    """The person with this id; raises NotFound."""
    user: User | None = session.get(User, user_id)
    if user is None:
        raise NotFound(f"没有编号为 {user_id} 的用户", f"no user has the id {user_id}")
    return user


def change_user(
    session: Session, user_id: int, *, active: bool | None = None, reset_password: bool = False, now: datetime
) -> str | None:
    """Allow or stop a person's signing in, or give a new one-time password, which is the answer (else None).

    Either ends the person's sessions, but for allowing. Raises NotFound, and Conflict where it would stop the last
    administrator.
    """
    last = active is False and _administrators(session) == [user_id]
    user = get_user(session, user_id)
    password: str | None = None
    if last:
        raise Conflict("不能停用最后一个管理员", "the last administrator cannot be stopped")
    if active is not None:
        user.active = active
    if reset_password:
        password = tokens.one_time_password()
        user.password_hash = passwords.hash_password(password)
        user.must_change_password = True
        SIGN_INS.succeeded(user.name)
    session.add(user)
    session.flush()
    if reset_password or active is False:
        end_sessions(session, user)
    return password


def _administrators(session: Session) -> list[int | None]:
    """The ids of the active administrators, locked to the end of the transaction, in one order everywhere."""
    active = select(col(User.id)).where(col(User.role) == "admin", col(User.active).is_(True))
    return list(session.execute(active.order_by(col(User.id)).with_for_update()).scalars())


def set_language(session: Session, user_id: int, lang: str) -> None:
    """Keep the language a person chose (``zh`` or ``en``)."""
    if lang not in ("zh", "en"):
        raise Invalid.at("/lang", "应为 zh 或 en", "zh or en")
    session.execute(update(User).where(col(User.id) == user_id).values(lang=lang))


def display_names(session: Session, actors: Iterable[str]) -> dict[str, str]:
    """What people and keys of the log are called: ``user:li`` → 李派单. Who is not known any more is left out."""
    wanted = set(actors)
    people = [actor.removeprefix("user:") for actor in wanted if actor.startswith("user:")]
    keys = [int(number) for actor in wanted if (number := actor.removeprefix("key:")).isdecimal()]
    found: dict[str, str] = {}
    if people:
        query = select(col(User.name), col(User.display_name)).where(col(User.name).in_(people))
        found.update({f"user:{name}": shown for name, shown in session.execute(query)})
    if keys:
        rows = session.execute(select(col(ApiKey.id), col(ApiKey.name)).where(col(ApiKey.id).in_(keys)))
        found.update({f"key:{number}": name for number, name in rows})
    return found


# -------------------------------------------------------------------------------------------------------- sessions


def check_throttle(name: str, now: datetime) -> None:
    """Refuse, naming how long to wait, where ``name`` has failed too often; raises Unauthorized."""
    wait = SIGN_INS.wait(name, now)
    if wait > timedelta(0):
        seconds = int(wait.total_seconds()) + 1
        raise Unauthorized(
            f"该用户名连续登录失败次数过多，请 {seconds} 秒后再试",
            f"too many failures for this name; try again in {seconds} seconds",
        )


def check_password(session: Session, name: str, password: str, now: datetime) -> User:
    """The person whose name and password these are; changes nothing, so that no lock is held while it computes.

    Raises Unauthorized, with the same words whether the name or the password is wrong, and for a while without looking
    after repeated failures (``Throttle``).
    """
    check_throttle(name, now)
    user: User | None = session.execute(select(User).where(col(User.name) == name.strip())).scalar_one_or_none()
    known = user is not None and user.active
    right = passwords.verify(password, user.password_hash if user is not None and known else None)
    if user is None or not right:
        SIGN_INS.failed(name, now)
        raise Unauthorized("用户名或密码不正确", "the name or the password is wrong")
    SIGN_INS.succeeded(name)
    return user


def begin_session(session: Session, user: User, now: datetime, *, hours: int = 12) -> NewSession:
    """Begin a session of ``hours`` for a person whose password was checked; sessions that have expired are cleared."""
    assert user.id is not None
    session.execute(delete(UserSession).where(col(UserSession.expires_at) <= now))
    token, csrf = tokens.new_session_token(), tokens.new_csrf()
    session.add(
        UserSession(
            token_hash=tokens.digest(token),
            user_id=user.id,
            csrf=csrf,
            created_at=now,
            expires_at=now + timedelta(hours=hours),
        )
    )
    session.flush()
    return NewSession(token, csrf, user.must_change_password)


def sign_out(session: Session, token: str) -> None:
    """End the session of ``token``; nothing happens where there is none."""
    session.execute(delete(UserSession).where(col(UserSession.token_hash) == tokens.digest(token)))


def end_sessions(session: Session, user: User, *, but: str | None = None) -> None:
    """End every session of a person, except that of the token ``but``."""
    query = delete(UserSession).where(col(UserSession.user_id) == user.id)
    if but is not None:
        query = query.where(col(UserSession.token_hash) != tokens.digest(but))
    session.execute(query)


def change_password(
    session: Session, user: User, old: str, new: str, now: datetime, *, token: str | None = None
) -> None:
    """Let a person change their own password; every other session of theirs ends (``token``: the one that stays).

    Raises Invalid at ``/old`` or ``/new``, Unauthorized while the name is throttled.
    """
    check_throttle(user.name, now)
    if not passwords.verify(old, user.password_hash):
        SIGN_INS.failed(user.name, now)
        raise Invalid.at("/old", "当前密码不正确", "the present password is wrong")
    passwords.check_new(new, name=user.name, pointer="/new")
    if new == old:
        raise Invalid.at("/new", "新密码不能与当前密码相同", "the new password must differ from the present one")
    user.password_hash = passwords.hash_password(new)
    user.must_change_password = False
    session.add(user)
    session.flush()
    end_sessions(session, user, but=token)


def session_of(session: Session, token: str, now: datetime) -> SessionInfo:
    """The session of ``token`` at ``now``, also of a person who has still to change the password; raises
    Unauthorized. Pages use this; programs use ``authenticate``."""
    query = (
        select(UserSession, User, col(Unit.path))
        .join(User, col(User.id) == col(UserSession.user_id))
        .join(Unit, col(Unit.id) == col(User.unit_id), isouter=True)
        .where(col(UserSession.token_hash) == tokens.digest(token))
    )
    found = session.execute(query).first()
    if found is None or found[0].expires_at <= now or not found[1].active:
        raise Unauthorized("会话不存在或已过期，请重新登录", "the session is unknown or has expired; sign in again")
    row, user, path = found
    who = Principal(f"user:{user.name}", user.display_name, user.role, user.unit_id, path)
    return SessionInfo(user, who, row.csrf)


# ------------------------------------------------------------------------------------------------------------ keys


def create_key(
    session: Session,
    name: str,
    role: str,
    source_code: str | None = None,
    unit_code: str | None = None,
    actor: str = "system:duban",
    *,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make a key for a program; the key, and its secret, which is the whole bearer token and is shown once.

    A key of role ``integrator`` needs a source, and may write to that source alone. A source nobody has named before is
    made, with the code as its name: the first key of a new feed is usually the first thing that is made for it, and
    a push that is refused for want of a source helps nobody. A role ``unit`` needs a unit. Raises Invalid.
    """
    role = _check_role(role)
    if role == "integrator" and not source_code:
        raise Invalid.at("/source", "接入方密钥须指定来源", "the key of an integrator needs a source")
    unit = _unit(session, unit_code, role)
    source: Source | None = None
    if source_code:
        if len(source_code) > 64 or not source_code.strip() or not source_code.isprintable():
            raise Invalid.at("/source", "来源编码为 1 至 64 个字符", "the code of a source has 1 to 64 characters")
        source = ensure_source(session, source_code)
    secret = tokens.new_key()
    key = ApiKey(
        name=(name or source_code or role).strip()[:100],
        token_hash=tokens.digest(secret),
        role=role,
        source_id=source.id if source else None,
        unit_id=unit.id if unit else None,
        created_at=now,
        created_by=actor,
    )
    session.add(key)
    session.flush()
    return key, secret


def list_keys(session: Session, ref: Reference, zone: tzinfo, *, after_id: int = 0, limit: int = 100) -> list[KeyOut]:
    """Keys as an administrator reads them, revoked ones too, by id from beyond ``after_id``."""
    query = select(ApiKey).where(col(ApiKey.id) > after_id).order_by(col(ApiKey.id)).limit(limit)
    return [
        KeyOut.from_row(key, zone, source=_code(ref.sources, key.source_id), unit=_code(ref.units, key.unit_id))
        for key in session.execute(query).scalars()
    ]


def revoke_key(session: Session, key_id: int, now: datetime) -> ApiKey:
    """Withdraw a key for good; a second time changes nothing. Raises NotFound."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"没有编号为 {key_id} 的密钥", f"no key has the id {key_id}")
    if key.revoked_at is None:
        key.revoked_at = now
        session.add(key)
        session.flush()
    return key


def authenticate(session: Session, bearer_token: str, now: datetime) -> Principal:
    """Who the bearer of ``bearer_token`` is: a key (``dbk_…``) or a session (``dbs_…``).

    Raises Unauthorized where it is unknown, expired or revoked, and Forbidden for a person who must change the one-time
    password first.
    """
    if bearer_token.startswith(tokens.SESSION_PREFIX):
        signed = session_of(session, bearer_token, now)
        if signed.user.must_change_password:
            raise Forbidden(
                "首次登录须先在控制台修改一次性密码", "the one-time password must be changed at the console first"
            )
        return signed.principal
    query = (
        select(ApiKey, col(Unit.path))
        .join(Unit, col(Unit.id) == col(ApiKey.unit_id), isouter=True)
        .where(col(ApiKey.token_hash) == tokens.digest(bearer_token))
    )
    found = session.execute(query).first()
    if found is None:
        raise Unauthorized("密钥不存在", "the key is unknown")
    key, path = found
    if key.revoked_at is not None and key.revoked_at <= now:
        raise Unauthorized("密钥已吊销", "the key has been revoked")
    return Principal(f"key:{key.id}", key.name, key.role, key.unit_id, path, key.source_id)
