"""How large a body may be."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.edge import KEY, raw_exchange
from tests.middleware.test_auth import base_of

MEBIBYTE = 1024 * 1024
PIECE = b"x" * 65536
STREAM = "/api/tenants/acme/conversations/one/stream"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


async def pieces(size: int) -> AsyncIterator[bytes]:
    for begun in range(0, size, len(PIECE)):
        yield PIECE[: size - begun]


async def test_a_body_of_the_limit_is_taken_piece_by_piece(holder: aiohttp.ClientSession) -> None:
    async with holder.post("/api/trial/count", data=pieces(MEBIBYTE)) as answer:
        said = await answer.json()
    assert said["total"] == MEBIBYTE
    assert said["largest"] < MEBIBYTE / 2


@pytest.mark.parametrize("path", ["/api/trial/count", "/api/trial/items"])
async def test_a_byte_more_is_refused_though_no_length_was_declared(holder: aiohttp.ClientSession, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with holder.post(path, data=pieces(MEBIBYTE + 1), headers=headers) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("path", ["/api/trial/count", "/api/trial/items", "/api/trial/unread"])
async def test_a_declared_length_over_the_limit_is_refused_unread(holder: aiohttp.ClientSession, path: str) -> None:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"X-API-Key: {KEY}",
        "Content-Length: 999999999999",
        "Connection: close",
    )
    status, _, body = await raw_exchange(base_of(holder), "\r\n".join((*lines, "", "")).encode())
    assert status == 413
    assert b"PAYLOAD_TOO_LARGE" in body


async def test_a_large_body_without_a_key_is_a_matter_of_the_key(anyone: aiohttp.ClientSession) -> None:
    async with anyone.post("/api/trial/count", data=pieces(MEBIBYTE + 1)) as answer:
        assert answer.status == 401


async def test_only_files_of_a_conversation_may_be_larger(holder: aiohttp.ClientSession) -> None:
    async with holder.post(STREAM, data=pieces(2 * MEBIBYTE), headers=MULTIPART) as answer:
        assert (await answer.json())["total"] == 2 * MEBIBYTE
    for path, headers, size in (
        (STREAM, MULTIPART, 2 * MEBIBYTE + 1),
        (STREAM, {"Content-Type": "application/json"}, MEBIBYTE + 1),
        (STREAM, {"Content-Type": "text/plain; x=multipart/form-data"}, MEBIBYTE + 1),
        ("/api/trial/count", MULTIPART, MEBIBYTE + 1),
    ):
        async with holder.post(path, data=pieces(size), headers=headers) as answer:
            assert answer.status == 413
