"""People, keys, sessions, and disclosures of personal data."""

from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, moment, moment_or_none
from app.models.types import BigInt


class User(SQLModel, table=True):
    """A person who signs in. ``password_hash`` is Argon2id."""

    __tablename__ = "user_account"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=64)
    display_name: str = Field(max_length=100)
    password_hash: str = Field(max_length=200)
    role: str = Field(max_length=16)
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    lang: str | None = Field(default=None, max_length=2)
    must_change_password: bool = False
    active: bool = True
    created_at: datetime = moment()


class ApiKey(SQLModel, table=True):
    """A key of an integrator or another program; only the SHA-256 of its secret is kept."""

    __tablename__ = "api_key"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100)
    token_hash: str = Field(unique=True, max_length=64)
    role: str = Field(max_length=16)
    source_id: int | None = Field(default=None, foreign_key="source.id")
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    created_at: datetime = moment()
    created_by: str = Field(max_length=100)
    revoked_at: datetime | None = moment_or_none()


class UserSession(SQLModel, table=True):
    """One sign-in; only the SHA-256 of its token is kept."""

    __tablename__ = "user_session"
    token_hash: str = Field(primary_key=True, max_length=64)
    user_id: int = Field(foreign_key="user_account.id", index=True)
    csrf: str = Field(max_length=64)
    created_at: datetime = moment()
    expires_at: datetime = moment(index=True)


class Disclosure(SQLModel, table=True):
    """A disclosure of a citizen's full name, phone or id number: of a ticket, or in the raw row of a reject."""

    __tablename__ = "disclosure"
    id: int | None = big_key()
    ticket_id: int | None = Field(default=None, sa_type=BigInt, foreign_key="ticket.id", index=True)
    reject_id: int | None = Field(default=None, sa_type=BigInt, foreign_key="reject.id", index=True)
    actor: str = Field(max_length=100, index=True)
    fields: str = Field(max_length=100, description="name, phone, id_number; raw: a row of which nobody can tell")
    at: datetime = moment()
