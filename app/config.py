"""Settings: one typed object, from ``DUBAN_*`` environment variables or a ``.env`` file."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.validation import TimeZone, objection

Role = Literal["all", "web", "worker"]


class Settings(BaseSettings):
    """What an operator may set; every field is ``DUBAN_`` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="DUBAN_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path = Field(Path("data"), description="where the embedded database, reports, profiles and uploads stand")
    database_url: SecretStr = Field(SecretStr(""), description="SQLAlchemy URL; empty: SQLite under data_dir")
    role: Role = Field("all", description="all, or one half of the process: web, worker")
    lang: Literal["zh", "en"] = Field("zh", description="language of the command line, and of pages before a choice")
    time_zone: TimeZone = Field("Asia/Shanghai", description="zone of report periods and of times shown on pages")
    relapse_days: int = Field(30, ge=1, le=366, description="re-reported within so many days: not truly resolved")
    sweep_seconds: float = Field(2.0, gt=0, le=3600, description="pause between two looks of the sweeper")
    sweep_batch: int = Field(500, ge=1, le=10_000, description="tickets that one sweep transaction takes")
    intake_queue: int = Field(10_000, ge=1, description="pushes that may wait for a commit; beyond it 503")
    intake_process: Literal["auto", "always", "never"] = Field(
        "auto", description="commit pushes in a second process: once they come fast (auto), from the start, or never"
    )
    intake_group: int = Field(512, ge=1, le=10_000, description="pushes at most in one commit")
    upload_mib: int = Field(256, ge=1, le=16_384, description="size of a file that a page takes, in MiB")
    session_hours: int = Field(12, ge=1, le=24 * 31, description="how long a sign-in lasts")
    password_memory_kib: int = Field(32_768, ge=64, description="memory of one password check (Argon2id), in KiB")
    secure_cookies: bool = Field(False, description="send the session cookie over HTTPS only")
    schedule: bool = Field(True, description="make the reports of the ended period by itself")
    channels: dict[str, dict[str, Any]] = Field(
        {"log": {}}, description="channels that messages are sent through, by name with their settings, as JSON"
    )
    pool_size: int = Field(10, ge=1, le=200, description="database connections kept by one process")
    behind_pooler: bool = Field(False, description="PostgreSQL is reached through a pooler in transaction mode")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe event logged")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json: one object a line; console: for people; auto: console on a terminal, json elsewhere"
    )

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _url_is_supported(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text:
            return value
        try:
            backend = make_url(text).get_backend_name()
        except ArgumentError as error:
            raise objection(
                "不是数据库地址；应为 sqlite:///文件 或 postgresql://用户@主机/库",
                "not a database URL; sqlite:///file.db or postgresql://user@host/db is needed",
            ) from error
        if backend not in ("sqlite", "postgresql"):
            raise objection(
                f"不支持 {backend}；应为 sqlite 或 postgresql",
                f"{backend} is not supported; sqlite or postgresql is needed",
            )
        return value

    @property
    def url(self) -> str:
        """The database URL in force, with the driver Duban uses named."""
        text = self.database_url.get_secret_value()
        if not text:
            return f"sqlite:///{(self.data_dir / 'duban.db').as_posix()}"
        url = make_url(text)
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of report periods and of times shown."""
        return ZoneInfo(self.time_zone)


def variable(name: str) -> str:
    """The environment variable ``name``, or its line in the ``.env`` file; empty where there is neither. For what has no
    field above because its name is chosen by the operator: the secrets of feeds."""
    file = Settings.model_config.get("env_file")
    return os.environ.get(name) or (dotenv_values(str(file)).get(name) if file else None) or ""


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
