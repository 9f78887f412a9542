"""Which browsers may call."""

import aiohttp
import pytest

from tests.edge import KEY, ORIGIN

TARGET = "/api/trial/caller"


def preflight(origin: str = ORIGIN, method: str = "POST", headers: str = "X-API-Key") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_is_answered_without_a_key(anyone: aiohttp.ClientSession, method: str) -> None:
    names = (
        "authorization, content-type, idempotency-key, last-event-id, x-api-key, x-request-id, x-tenant-id, x-user-id"
    )
    async with anyone.options(TARGET, headers=preflight(method=method, headers=names)) as answer:
        assert answer.status == 204
        assert await answer.read() == b""
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
        allowed = {name.lower() for name in answer.headers["Access-Control-Allow-Headers"].split(", ")}
        assert set(names.split(", ")) <= allowed
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN.upper(), "http://front.example"]
)
async def test_another_origin_gets_no_permission(anyone: aiohttp.ClientSession, origin: str) -> None:
    async with anyone.options(TARGET, headers=preflight(origin)) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers
    async with anyone.get(TARGET, headers={"Origin": origin, "X-API-Key": KEY}) as answer:
        assert answer.status == 200
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_preflight_for_another_header_gives_no_permission_for_it(anyone: aiohttp.ClientSession) -> None:
    async with anyone.options(TARGET, headers=preflight(headers="X-Evil")) as answer:
        assert "X-Evil" not in answer.headers["Access-Control-Allow-Headers"]


async def test_scripts_may_read_our_headers(holder: aiohttp.ClientSession) -> None:
    async with holder.get(TARGET, headers={"Origin": ORIGIN}) as answer:
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {
        "X-Request-ID",
        "X-Process-Time",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-Chat-ID",
        "X-Run-ID",
        "X-Total-Count",
        "Retry-After",
        "Content-Disposition",
    }


async def test_options_without_an_origin_is_no_preflight(
    anyone: aiohttp.ClientSession, holder: aiohttp.ClientSession
) -> None:
    async with anyone.options(TARGET) as answer:
        assert answer.status == 401
    async with holder.options(TARGET) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
