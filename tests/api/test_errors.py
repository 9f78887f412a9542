"""The envelope of every error."""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import structlog
from yarl import URL

from app.core.app_factory import create_app
from tests.edge import INTERNALS, KEY, edge, edge_app, edge_settings

ONE = "/api/trial/items/0190f2e5-7c3b-7000-8000-000000000001"


@pytest.fixture(scope="module")
async def caller() -> AsyncIterator[aiohttp.ClientSession]:
    async with edge(edge_app(edge_settings()), **{"X-API-Key": KEY}) as client:
        yield client


async def error_of(answer: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    body = await answer.json()
    assert (answer.status, body["error"]["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/json"
    assert list(body) == ["error"]
    error = body["error"]
    assert {"code", "message", "details", "request_id", "timestamp"} <= set(error)
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", error["timestamp"])
    assert error["message"].endswith(".")
    return error


async def test_an_unknown_route(caller: aiohttp.ClientSession) -> None:
    for path in ("/api/nothing", "/api/trial/items/", "/api/trial/caller/"):
        async with caller.get(path) as answer:
            assert (await error_of(answer, 404, "NOT_FOUND"))["details"] is None


async def test_a_wrong_method_is_told_all_the_right_ones(caller: aiohttp.ClientSession) -> None:
    async with caller.get(ONE) as answer:
        await error_of(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"] == "DELETE, PUT"
    async with caller.delete("/health") as answer:
        await error_of(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"] == "GET, HEAD"


async def test_a_head_request_has_no_body(caller: aiohttp.ClientSession) -> None:
    for path, status in (("/health", 200), ("/api/nothing", 404), ("/api/trial/caller", 405)):
        async with caller.head(path) as answer:
            assert (answer.status, await answer.read()) == (status, b"")


async def test_a_body_of_another_shape_names_its_faults(caller: aiohttp.ClientSession) -> None:
    body = {"count": "many-hunter2", "tags": {"a": "hunter2"}, "code": "hunter2"}
    async with caller.post("/api/trial/items", json=body) as answer:
        error = await error_of(answer, 422, "VALIDATION_ERROR")
        assert "hunter2" not in await answer.text()
    faults = {detail["field"]: detail["code"] for detail in error["details"]}
    assert faults == {
        "body.name": "missing",
        "body.count": "int_parsing",
        "body.tags.a": "int_parsing",
        "body.code": "value_error",
    }
    assert {"field": "body.code", "message": "must be ok", "code": "value_error"} in error["details"]


async def test_a_query_of_another_shape_names_its_source(caller: aiohttp.ClientSession) -> None:
    async with caller.put(ONE, params={"limit": "hunter2"}) as answer:
        error = await error_of(answer, 422, "VALIDATION_ERROR")
        assert "hunter2" not in await answer.text()
    assert [detail["field"] for detail in error["details"]] == ["query.limit"]


async def test_strange_names_in_a_body_are_not_echoed(caller: aiohttp.ClientSession) -> None:
    body = {"name": "n", "count": 1, "tags": {"<script>alert(1)</script>": "x"}}
    async with caller.post("/api/trial/items", json=body) as answer:
        error = await error_of(answer, 422, "VALIDATION_ERROR")
    assert error["details"][0]["field"] == "body.tags.?"


@pytest.mark.parametrize("item_id", ["hunter2", "1", "0190f2e5", "%00", "..%2f", "'--"])
async def test_a_malformed_id_in_the_path_is_an_unknown_one(caller: aiohttp.ClientSession, item_id: str) -> None:
    async with caller.put(URL(f"{caller._base_url}/api/trial/items/{item_id}", encoded=True)) as answer:
        await error_of(answer, 404, "NOT_FOUND")
        assert "hunter2" not in await answer.text()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"hunter2",
        b'{"name": hunter2}',
        b"\xff\xfe\x00",
        b'{"name": "\xed\xa0\x80"}',
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"x"',
        b"",
    ],
)
async def test_a_body_that_is_no_json_object(caller: aiohttp.ClientSession, body: bytes) -> None:
    async with caller.post("/api/trial/items", data=body, headers={"Content-Type": "application/json"}) as answer:
        await error_of(answer, 422, "VALIDATION_ERROR")
        assert "hunter2" not in await answer.text()


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded"]
)
async def test_a_body_of_another_kind(caller: aiohttp.ClientSession, kind: str) -> None:
    async with caller.post(
        "/api/trial/items", data=b'{"name":"n","count":1}', headers={"Content-Type": kind}
    ) as answer:
        await error_of(answer, 422, "VALIDATION_ERROR")


async def test_our_own_errors_bring_their_members_and_headers(caller: aiohttp.ClientSession) -> None:
    async with caller.get("/api/trial/errors/busy") as answer:
        error = await error_of(answer, 409, "RESOURCE_LOCKED")
        assert (error["run_id"], error["message"]) == ("0190", "The conversation is already running a turn.")
    async with caller.get("/api/trial/errors/limited") as answer:
        assert (await error_of(answer, 429, "RATE_LIMIT_EXCEEDED"))["retry_after"] == 7
        assert answer.headers["Retry-After"] == "7"
    async with caller.get("/api/trial/errors/down") as answer:
        await error_of(answer, 503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
    async with caller.get("/api/trial/errors/upstream") as answer:
        await error_of(answer, 502, "EXTERNAL_SERVICE_ERROR")


async def test_a_fault_of_ours_says_nothing_and_is_logged_once(caller: aiohttp.ClientSession) -> None:
    with structlog.testing.capture_logs() as lines:
        async with caller.get("/api/trial/fault") as answer:
            error = await error_of(answer, 500, "INTERNAL_ERROR")
            text = await answer.text()
    assert error["details"] is None
    assert not any(part in text for part in (INTERNALS, "Unprintable", "Traceback", ".py"))
    failed = [line for line in lines if line["event"] == "http.failed"]
    assert len(failed) == 1
    assert str(failed[0]["exc_info"]) == INTERNALS


async def test_a_fault_after_the_answer_began_cuts_it(caller: aiohttp.ClientSession) -> None:
    with structlog.testing.capture_logs() as lines:
        async with caller.get("/api/trial/half") as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["http.failed"]


async def test_a_fault_of_a_middleware_is_answered_the_same() -> None:
    app = edge_app(edge_settings())
    app.user_middleware[4].kwargs["keys"] = ()
    app.user_middleware[5].kwargs["limit_of"] = lambda _scope: 1 // 0
    async with edge(app) as client, client.get("/health/live") as answer:
        error = await error_of(answer, 500, "INTERNAL_ERROR")
        assert error["message"] == "Something went wrong on our side."


async def test_every_operation_is_documented_with_the_envelope() -> None:
    schema = create_app(edge_settings()).openapi()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    names = [operation["operationId"] for path in schema["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) > 10
    for path in schema["paths"].values():
        for operation in path.values():
            assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith(
                "/ErrorEnvelope"
            )
