"""Whether the service is alive and ready."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from app.schemas.common import Answer, example


class HealthOut(Answer):
    """The service is alive."""

    model_config = ConfigDict(json_schema_extra=example({"status": "ok"}))

    status: str


class ReadinessOut(Answer):
    """Whether the service is ready, and what each check found."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"status": "ready", "checks": {"database": "ok", "migrations": "ok", "last_sweep": "ok"}}
        )
    )

    status: str = Field(description="`ready` or `not ready`")
    checks: dict[str, str] = Field(description="`ok`, or what is wrong")
