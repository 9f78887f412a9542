"""Ids and times of requests."""

import re
import time

import aiohttp
import pytest

from tests.edge import raw_exchange
from tests.middleware.test_auth import base_of


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128, "0190f2e5-7c3b-7000-8000-000000000001"])
async def test_a_good_request_id_is_echoed(holder: aiohttp.ClientSession, given: str) -> None:
    async with holder.get("/api/trial/caller", headers={"X-Request-ID": given}) as answer:
        assert answer.headers["X-Request-ID"] == given
        assert (await answer.json())["id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "<script>", "a;b", "ä"])
async def test_another_request_id_is_replaced(holder: aiohttp.ClientSession, given: str) -> None:
    async with holder.get("/health/live", headers={"X-Request-ID": given}) as answer:
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


async def test_two_request_ids_are_replaced_by_one(holder: aiohttp.ClientSession) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: a\r\nX-Request-ID: b\r\n\r\n"
    _, headers, _ = await raw_exchange(base_of(holder), request)
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


async def test_every_request_gets_an_id_of_its_own(anyone: aiohttp.ClientSession) -> None:
    seen = set()
    for path in ("/health/live", "/health/live", "/api/trial/caller", "/nothing"):
        async with anyone.get(path) as answer:
            seen.add(answer.headers["X-Request-ID"])
    assert len(seen) == 4


async def test_the_time_has_four_decimals_and_for_a_stream_ends_at_its_first_byte(
    holder: aiohttp.ClientSession,
) -> None:
    began = time.perf_counter()
    async with holder.get("/api/trial/stream") as answer:
        assert await answer.text() == "data: 1\n\ndata: 2\n\n"
        assert re.fullmatch(r"\d+\.\d{4}", answer.headers["X-Process-Time"])
        assert float(answer.headers["X-Process-Time"]) < 0.15 < time.perf_counter() - began
