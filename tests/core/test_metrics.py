"""What is counted of requests."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import structlog

from app.infrastructure.metrics import REGISTRY
from tests.edge import KEY, edge, edge_app, edge_settings


@pytest.fixture(scope="module")
async def caller() -> AsyncIterator[aiohttp.ClientSession]:
    async with edge(edge_app(edge_settings()), **{"X-API-Key": KEY}) as client:
        yield client


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "status"),
    [
        ("GET", "/health/live", "/health/live", "200"),
        ("PUT", "/api/trial/items/0190f2e5-7c3b-7000-8000-000000000001", "/api/trial/items/{item_id}", "200"),
        ("PUT", "/api/trial/items/no-uuid", "/api/trial/items/{item_id}", "404"),
        ("GET", "/api/trial/items/no-uuid", "/api/trial/items/{item_id}", "405"),
        ("GET", "/api/trial/fault", "/api/trial/fault", "500"),
        ("GET", "/some/path/of/an/attacker", "unmatched", "404"),
    ],
)
async def test_requests_count_by_template_never_by_path(
    caller: aiohttp.ClientSession, method: str, path: str, endpoint: str, status: str
) -> None:
    labels = {"method": method, "endpoint": endpoint}
    before = value("http_requests_total", **labels, status_code=status)
    timed = value("http_request_duration_seconds_count", **labels)
    async with caller.request(method, path):
        pass
    assert value("http_requests_total", **labels, status_code=status) == before + 1
    assert value("http_request_duration_seconds_count", **labels) == timed + 1


async def test_requests_without_a_key_count_as_unmatched(caller: aiohttp.ClientSession) -> None:
    labels = {"method": "GET", "endpoint": "unmatched", "status_code": "401"}
    before = value("http_requests_total", **labels)
    async with caller.get("/api/trial/caller", headers={"X-API-Key": "wrong"}):
        pass
    assert value("http_requests_total", **labels) == before + 1


async def test_an_open_stream_is_an_active_connection(caller: aiohttp.ClientSession) -> None:
    before = value("active_connections")
    async with caller.get("/api/trial/stream") as answer:
        await answer.content.readline()
        assert value("active_connections") == before + 1
        await answer.read()
    async with caller.get("/health/live"):
        pass
    assert value("active_connections") == before


async def test_errors_count_by_their_kind_and_code(caller: aiohttp.ClientSession) -> None:
    labels = {"type": "ConversationBusy", "code": "RESOURCE_LOCKED"}
    before = value("errors_total", **labels)
    async with caller.get("/api/trial/errors/busy"):
        pass
    assert value("errors_total", **labels) == before + 1


async def test_the_exposition_shows_the_pool_and_the_process(caller: aiohttp.ClientSession) -> None:
    async with caller.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert 'db_pool_connections{state="idle"} 4.0' in text
    assert "process_resident_memory_bytes" in text
    assert "http_requests_total{" in text
    assert "_created" not in text


async def test_metrics_can_be_switched_off() -> None:
    app = edge_app(edge_settings(metrics_enabled=False))
    async with edge(app, **{"X-API-Key": KEY}) as client:
        async with client.get("/metrics") as answer:
            assert answer.status == 404
        async with client.get("/") as answer:
            assert (await answer.json())["links"]["metrics"] is None


async def test_every_request_is_one_line_without_its_query(caller: aiohttp.ClientSession) -> None:
    with structlog.testing.capture_logs() as lines:
        async with caller.get("/api/trial/caller?api_key=canary", headers={"X-Request-ID": "r-1"}):
            pass
        async with caller.get("/nothing/" + "x" * 2000):
            pass
    assert [(line["event"], line["status"], line["method"]) for line in lines] == [
        ("http.request", 200, "GET"),
        ("http.request", 404, "GET"),
    ]
    assert lines[0]["path"] == "/api/trial/caller"
    assert lines[0]["key"].startswith("key-")
    assert "canary" not in str(lines)
    assert len(lines[1]["path"]) == 300
