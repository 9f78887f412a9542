"""Who is let in."""

import re

import aiohttp
import pytest

from tests.edge import KEY, ORIGIN, OTHER_KEY, raw_exchange

CALLER = "/api/trial/caller"


def base_of(client: aiohttp.ClientSession) -> str:
    return str(client._base_url).rstrip("/")


async def raw_status(client: aiohttp.ClientSession, target: str, *lines: bytes, method: str = "GET") -> int:
    head = [f"{method} {target} HTTP/1.1".encode(), b"Host: 127.0.0.1", b"Connection: close", *lines]
    status, _, _ = await raw_exchange(base_of(client), b"\r\n".join(head) + b"\r\n\r\n")
    return status


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"x-api-key": OTHER_KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"Authorization": f"BEARER   {KEY} "},
        {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"},
        {"X-API-Key": KEY, "Authorization": "Basic dXNlcjpwYXNz"},
    ],
)
async def test_a_known_key_is_let_in(anyone: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with anyone.get(CALLER, headers=headers) as answer:
        assert answer.status == 200


async def test_a_key_is_named_without_being_revealed(anyone: aiohttp.ClientSession) -> None:
    names = []
    for key in (KEY, OTHER_KEY, KEY):
        async with anyone.get(CALLER, headers={"X-API-Key": key}) as answer:
            names.append((await answer.json())["key"])
    assert names[0] == names[2] != names[1]
    assert re.fullmatch(r"key-[0-9a-f]{8}", names[0])
    assert KEY not in names[0]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY.upper()},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Cookie": f"X-API-Key={KEY}; api_key={KEY}"},
        {"X-Api-Token": KEY},
        {"X-Forwarded-For": "127.0.0.1", "Host": "localhost"},
    ],
)
async def test_whatever_is_no_known_key_is_refused(anyone: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with anyone.get(CALLER, headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == "UNAUTHORIZED"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_in_the_query_or_a_form_is_no_key(anyone: aiohttp.ClientSession) -> None:
    names = dict.fromkeys(("api_key", "X-API-Key", "key", "token", "access_token"), KEY)
    async with anyone.get(CALLER, params=names) as answer:
        assert answer.status == 401
        assert KEY not in await answer.text()
    async with anyone.post("/api/trial/items", data=names) as answer:
        assert answer.status == 401


async def test_two_different_keys_are_a_mistake(anyone: aiohttp.ClientSession) -> None:
    for headers in (
        {"X-API-Key": KEY, "Authorization": f"Bearer {OTHER_KEY}"},
        {"X-API-Key": KEY, "Authorization": "Bearer wrong"},
    ):
        async with anyone.get(CALLER, headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "INVALID_INPUT")
    twice = (b"X-API-Key: " + KEY.encode(), b"X-API-Key: " + OTHER_KEY.encode())
    assert await raw_status(anyone, CALLER, *twice) == 400


@pytest.mark.parametrize("name", [b"X-API-Key", b"Authorization", b"X-User-ID", b"X-Admin-ID"])
@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"\xff\xfe", b"a\tb", b"a\x7fb", b"x" * 5000])
async def test_headers_of_strange_characters_are_refused(
    anyone: aiohttp.ClientSession, name: bytes, value: bytes
) -> None:
    assert await raw_status(anyone, CALLER, name + b": " + value) == 400


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x01b", b"a\x0bb"])
async def test_control_characters_in_headers_are_refused(anyone: aiohttp.ClientSession, value: bytes) -> None:
    assert await raw_status(anyone, CALLER, b"X-API-Key: " + value) == 400


async def test_headers_of_64_kilobytes_are_refused(anyone: aiohttp.ClientSession) -> None:
    key = b"X-API-Key: " + KEY.encode()
    assert await raw_status(anyone, CALLER, key, b"X-Filler: " + b"x" * 65536) == 400
    assert await raw_status(anyone, CALLER, key, *(b"X-Filler: " + b"x" * 1024 for _ in range(64))) == 400
    assert await raw_status(anyone, CALLER, key, b"X-Filler: " + b"x" * 8192) == 200


async def test_user_and_admin_ids_reach_the_caller(holder: aiohttp.ClientSession) -> None:
    async with holder.get(CALLER, headers={"X-User-ID": "ann@example.com", "X-Admin-ID": "a.b_c:d-9"}) as answer:
        said = await answer.json()
    assert (said["user"], said["admin"]) == ("ann@example.com", "a.b_c:d-9")
    async with holder.get(CALLER) as answer:
        said = await answer.json()
    assert (said["user"], said["admin"]) == (None, None)


@pytest.mark.parametrize("value", ["", "a b", "a/b", "a" * 101, "..", "a\\b", "'; --"])
async def test_ids_of_another_shape_are_refused(holder: aiohttp.ClientSession, value: str) -> None:
    for name in ("X-User-ID", "X-Admin-ID"):
        async with holder.get(CALLER, headers={name: value}) as answer:
            assert answer.status == 400
            assert value == "" or value not in await answer.text()


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/health/ready"])
async def test_health_needs_no_key(anyone: aiohttp.ClientSession, production: aiohttp.ClientSession, path: str) -> None:
    for client in (anyone, production):
        async with client.get(path) as answer:
            assert answer.status == 200
        async with client.head(path) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/redoc", "/openapi.json", "/docs/swagger-ui.css"])
async def test_only_in_development_are_docs_and_metrics_open(
    anyone: aiohttp.ClientSession, production: aiohttp.ClientSession, path: str
) -> None:
    async with anyone.get(path) as answer:
        assert answer.status == 200
    async with production.get(path) as answer:
        assert answer.status == 401
    async with production.get(path, headers={"X-API-Key": KEY}) as answer:
        assert answer.status == (200 if path == "/metrics" else 404)


@pytest.mark.parametrize(
    "target",
    [
        "//api/trial/caller",
        "/health/../api/trial/caller",
        "/health/..%2fapi/trial/caller",
        "/health/%2e%2e/api/trial/caller",
        "/health//",
        "//health",
        "/health/",
        "/%68ealth",
        "/health%2flive",
        "/health;/api/trial/caller",
        "/health%00",
        "/health%3f/api",
        "/HEALTH",
        "/./health",
        "/docs/../api/trial/caller",
        "/docs/",
        "/docs%2f",
        "/metrics/",
        "/api",
        "/api/",
        "/%61pi/trial/caller",
        "/api/trial%2fcaller",
        "/nothing",
        "*",
        "http://evil.example/api/trial/caller",
        "/api/trial/caller?/health",
        "/api/trial/caller#/health",
        "/health/..;/api/trial/caller",
        "\\health",
    ],
)
async def test_no_odd_path_slips_by(anyone: aiohttp.ClientSession, target: str) -> None:
    assert await raw_status(anyone, target) in {400, 401, 404}


async def test_no_method_slips_by(anyone: aiohttp.ClientSession) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        assert await raw_status(anyone, CALLER, method=method) == 401


async def test_without_keys_programs_of_this_machine_are_let_in(keyless: aiohttp.ClientSession) -> None:
    port = base_of(keyless).rsplit(":", 1)[1]
    for headers in (
        {},
        {"Host": f"localhost:{port}"},
        {"Host": "[::1]:8000"},
        {"Origin": ORIGIN},
        {"Origin": base_of(keyless)},
    ):
        async with keyless.get(CALLER, headers=headers) as answer:
            assert answer.status == 200, headers
            assert (await answer.json())["key"] == "development"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "10.0.0.7"},
        {"Host": "localhost@evil.example"},
        {"Host": "[::1"},
    ],
)
async def test_without_keys_strangers_pages_are_not(keyless: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with keyless.post("/api/trial/items", headers=headers, json={}) as answer:
        assert answer.status == 401
