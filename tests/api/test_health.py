"""How the server says it is."""

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.errors import ServiceUnavailable
from app.services import health_service
from tests.edge import INTERNALS, Parts, edge, edge_app, edge_settings


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
async def client_of(parts: Parts) -> AsyncIterator[aiohttp.ClientSession]:
    async with edge(edge_app(edge_settings(), parts)) as client:
        yield client


async def test_all_well(client_of: aiohttp.ClientSession) -> None:
    async with client_of.get("/health") as answer:
        assert answer.status == 200
        said = await answer.json()
    assert (said["status"], said["version"], said["environment"]) == ("healthy", "1.2.3", "development")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", said["timestamp"])
    assert list(said["checks"]) == ["database", "redis", "s3", "container_system"]
    for check in said["checks"].values():
        assert (check["status"], check["message"]) == ("healthy", None)
        assert check["latency_ms"] >= 0
    assert {"warm_pool_size": 2, "active": 3}.items() <= said["checks"]["container_system"].items()


@pytest.mark.parametrize(
    ("part", "overall"),
    [("database", "unhealthy"), ("redis", "degraded"), ("s3", "degraded"), ("containers", "degraded")],
)
async def test_a_part_that_fails_shows_without_internals(
    parts: Parts, client_of: aiohttp.ClientSession, part: str, overall: str
) -> None:
    parts.faults[part] = ConnectionRefusedError(INTERNALS)
    async with client_of.get("/health") as answer:
        assert answer.status == 200
        text, said = await answer.text(), await answer.json()
    check = said["checks"]["container_system" if part == "containers" else part]
    assert said["status"] == overall
    assert (check["status"], check["message"], check["latency_ms"]) == ("unhealthy", "It cannot be reached.", None)
    assert INTERNALS not in text


async def test_a_part_that_hangs_is_given_up(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_service, "DEADLINE_SECONDS", 0.05)
    parts.hanging.add("redis")
    async with asyncio.timeout(2):
        health = await parts.service().check()
    assert (health.status, health.checks.redis.message) == ("degraded", "It did not answer in time.")


async def test_a_slow_part_is_degraded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_service, "SLOW_SECONDS", 0.0)
    health = await parts.service().check()
    assert (health.status, health.checks.database.status) == ("degraded", "degraded")


async def test_many_who_ask_at_once_cost_one_look(parts: Parts, client_of: aiohttp.ClientSession) -> None:
    async def ask() -> int:
        async with client_of.get("/health") as answer:
            return answer.status

    assert set(await asyncio.gather(*(ask() for _ in range(20)))) == {200}
    assert parts.asked.count("database") == 1


async def test_readiness_needs_the_database_alone(parts: Parts, client_of: aiohttp.ClientSession) -> None:
    parts.faults = {"redis": OSError(), "s3": OSError(), "containers": OSError()}
    async with client_of.get("/health/ready") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ready"})
    parts.faults["database"] = OSError(INTERNALS)
    with pytest.raises(ServiceUnavailable):
        await parts.service().require_ready()


async def test_a_server_that_drains_is_not_ready_but_alive(parts: Parts, client_of: aiohttp.ClientSession) -> None:
    parts.draining = True
    async with client_of.get("/health/ready") as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert (await answer.json())["error"]["code"] == "SERVICE_UNAVAILABLE"
    async with client_of.get("/health/live") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "alive"})


async def test_liveness_touches_nothing(parts: Parts, client_of: aiohttp.ClientSession) -> None:
    async with client_of.get("/health/live") as answer:
        assert answer.status == 200
    assert parts.asked == []


async def test_the_root_says_where_to_go_on(client_of: aiohttp.ClientSession) -> None:
    async with client_of.get("/") as answer:
        said = await answer.json()
    assert set(said) == {"name", "version", "links"}
    for link in said["links"].values():
        async with client_of.get(link) as answer:
            assert answer.status == 200
