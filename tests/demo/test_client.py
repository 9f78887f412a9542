"""How the demonstration talks to a server."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from demo.client import Api, Event, Refused, open_api
from demo.errors import DemoFailed

EVENTS = ': \n\nid: 1\nevent: text_delta\ndata: {"content": "a: b – ü"}\n\nevent: done\ndata: {}\n\n'.encode()


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for byte in EVENTS:
        await response.write(bytes([byte]))
    return response


async def busy(request: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "It is busy."}}, status=409)


async def key(request: web.Request) -> web.Response:
    return web.json_response({"key": request.headers["X-API-Key"]})


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app.add_routes([web.post("/stream", stream), web.post("/busy", busy), web.get("/key", key)])
    async with TestServer(app) as opened:
        yield opened


@pytest.fixture
async def api(server: TestServer) -> AsyncIterator[Api]:
    async with open_api(str(server.make_url("")).rstrip("/"), "secret") as opened:
        yield opened


async def test_events_are_read_whole_wherever_the_bytes_are_cut(api: Api) -> None:
    events = [event async for event in api.stream("/stream", {})]
    assert events == [Event("text_delta", {"content": "a: b – ü"}), Event("done", {})]


async def test_the_key_is_sent(api: Api) -> None:
    assert await api.get("/key") == {"key": "secret"}


async def test_a_refusal_says_what_the_server_said(api: Api) -> None:
    with pytest.raises(Refused, match=r"POST /busy was answered with 409: It is busy\."):
        await api.send("POST", "/busy", {})
    with pytest.raises(Refused, match="It is busy"):
        await anext(aiter(api.stream("/busy", {})))


async def test_a_lost_server_is_said(api: Api, server: TestServer) -> None:
    await server.close()
    with pytest.raises(DemoFailed, match="server was lost during GET /key"):
        await api.get("/key")
