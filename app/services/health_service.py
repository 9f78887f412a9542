"""Asks what the program stands on how it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from app.errors import ServiceUnavailable
from app.schemas.health import Check, Checks, ContainerCheck, Health, HealthStatus

DEADLINE_SECONDS = 2.0
"""A part that has not answered by then counts as down."""
SLOW_SECONDS = 1.0
"""A part that takes longer is degraded."""
FRESH_SECONDS = 1.0
"""For so long an answer is given again: health is open to all, and must not be a lever on the database."""

log = structlog.get_logger()

Probe = Callable[[], Awaitable[object]]
"""Returns when the part has answered, raises when it is down."""


@dataclass(frozen=True, slots=True)
class Probes:
    """How each part is asked."""

    database: Probe
    redis: Probe
    s3: Probe
    containers: Probe
    container_counts: Callable[[], tuple[int, int]]
    """Sandboxes that wait for a first message, and sandboxes that live."""


class HealthService:
    """Asks all parts at once, each with a deadline."""

    def __init__(self, probes: Probes, *, version: str, environment: str, draining: Callable[[], bool]) -> None:
        self._probes, self._version, self._environment, self._draining = probes, version, environment, draining
        self._asking = asyncio.Lock()
        self._last: tuple[float, Health] | None = None

    async def check(self) -> Health:
        """How all of it is, at most a second ago."""
        async with self._asking:
            if self._last is None or time.monotonic() - self._last[0] > FRESH_SECONDS:
                self._last = (time.monotonic(), await self._ask())
            return self._last[1]

    async def require_ready(self) -> None:
        """Raises ServiceUnavailable unless requests can be served."""
        if self._draining():
            raise ServiceUnavailable("The server is about to end.")
        if (await self.check()).status == "unhealthy":
            raise ServiceUnavailable

    async def _ask(self) -> Health:
        probes = self._probes
        database, redis, s3, containers = await asyncio.gather(
            _checked("database", probes.database),
            _checked("redis", probes.redis),
            _checked("s3", probes.s3),
            _checked("container_system", probes.containers),
        )
        warm, active = probes.container_counts()
        sandboxes = ContainerCheck(**containers.model_dump(), warm_pool_size=warm, active=active)
        return Health(
            status=_overall(database, redis, s3, containers),
            version=self._version,
            environment=self._environment,
            timestamp=datetime.now(UTC),
            checks=Checks(database=database, redis=redis, s3=s3, container_system=sandboxes),
        )


async def _checked(name: str, probe: Probe) -> Check:
    began = time.monotonic()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await probe()
    except TimeoutError:
        return Check(status="unhealthy", message="It did not answer in time.", latency_ms=None)
    except Exception as error:  # noqa: BLE001 -- the boundary of a probe: whatever it raises means that the part is down
        log.warning("health.down", part=name, fault=type(error).__name__)
        return Check(status="unhealthy", message="It cannot be reached.", latency_ms=None)
    taken = time.monotonic() - began
    slow = taken > SLOW_SECONDS
    message = "It answers slowly." if slow else None
    return Check(status="degraded" if slow else "healthy", message=message, latency_ms=round(taken * 1000, 1))


def _overall(database: Check, *others: Check) -> HealthStatus:
    if database.status == "unhealthy":
        return "unhealthy"
    return "healthy" if all(check.status == "healthy" for check in (database, *others)) else "degraded"
