"""How the program and what it stands on are."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.schemas.common import Moment

HealthStatus = Literal["healthy", "degraded", "unhealthy"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Check(_Answer):
    """One thing the program stands on."""

    status: HealthStatus
    message: str | None
    """In plain words, without names or addresses; none when all is well."""
    latency_ms: float | None
    """Milliseconds until it answered; none when it did not."""


class ContainerCheck(Check):
    """The sandboxes."""

    warm_pool_size: int
    """Sandboxes that wait for a first message."""
    active: int
    """Sandboxes that live."""


class Checks(_Answer):
    """All of them."""

    database: Check
    redis: Check
    s3: Check
    container_system: ContainerCheck


class Health(_Answer):
    """The whole: unhealthy without its database, degraded without another part."""

    status: HealthStatus
    version: str
    environment: str
    timestamp: Moment
    checks: Checks


class Alive(_Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(_Answer):
    """The process takes requests."""

    status: Literal["ready"] = "ready"


class Links(_Answer):
    """Where to go on."""

    health: str = "/health"
    documentation: str | None
    openapi: str | None
    metrics: str | None


class Welcome(_Answer):
    """What this server is."""

    name: str
    version: str
    links: Links
