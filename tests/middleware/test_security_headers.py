"""Headers that every answer carries."""

from io import BytesIO

import aiohttp
import pytest

from tests.edge import KEY, ORIGIN, edge, edge_app, edge_settings

EXPECTED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=()",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/health/live", {}, 200),
        ("GET", "/api/trial/caller", {}, 401),
        ("GET", "/api/trial/caller", {"X-API-Key": "é"}, 400),
        ("GET", "/nothing", {"X-API-Key": KEY}, 404),
        ("PATCH", "/api/trial/caller", {"X-API-Key": KEY}, 405),
        ("GET", "/api/trial/fault", {"X-API-Key": KEY}, 500),
        ("OPTIONS", "/api/trial/caller", {"Access-Control-Request-Method": "GET"}, 204),
    ],
)
async def test_every_answer_carries_them_all(
    anyone: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with anyone.request(method, path, headers={"Origin": ORIGIN, **headers}) as answer:
        assert answer.status == status
        assert {name: answer.headers[name] for name in EXPECTED} == EXPECTED
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["X-Request-ID"]
        assert answer.headers["X-Process-Time"]
        assert "Server" not in answer.headers
        assert "Strict-Transport-Security" not in answer.headers


async def test_a_body_too_large_is_told_with_them_too(anyone: aiohttp.ClientSession) -> None:
    headers = {"X-API-Key": KEY, "Origin": ORIGIN}
    async with anyone.post("/api/trial/count", data=BytesIO(b"x" * (1024 * 1024 + 1)), headers=headers) as answer:
        assert answer.status == 413
        assert {name: answer.headers[name] for name in EXPECTED} == EXPECTED
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_an_answer_may_say_its_own(holder: aiohttp.ClientSession) -> None:
    async with holder.get("/api/trial/stream") as answer:
        assert answer.headers.getall("Cache-Control") == ["no-store, no-transform"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_transport_security_is_demanded_in_production_unless_switched_off(
    production: aiohttp.ClientSession,
) -> None:
    async with production.get("/health/live") as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    async with (
        edge(edge_app(edge_settings(app_env="production", hsts_enabled=False))) as client,
        client.get("/health/live") as answer,
    ):
        assert "Strict-Transport-Security" not in answer.headers
