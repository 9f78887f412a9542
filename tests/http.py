"""A real server for API tests: an application behind uvicorn on a free loopback port, in this event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import uvicorn
from starlette.types import ASGIApp

START_DEADLINE = 20.0
END_DEADLINE = 20.0


class _QuietServer(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening_socket() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_DEADLINE):
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the server ended before it started")
            await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(app: ASGIApp, *, lifespan: bool = True) -> AsyncIterator[str]:
    """Serve the application and yield its base URL, e.g. `http://127.0.0.1:41234`; ends gracefully with the block."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=2,
        ws="none",
    )
    server, listener = _QuietServer(config), _listening_socket()
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _started(server, task)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(END_DEADLINE):
            await asyncio.gather(task, return_exceptions=True)
        listener.close()


@asynccontextmanager
async def calling(
    app: ASGIApp, *, headers: dict[str, str] | None = None, lifespan: bool = True
) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the application and yield a client whose paths are relative to it: `await client.get("/health")`."""
    async with (
        serving(app, lifespan=lifespan) as base_url,
        aiohttp.ClientSession(base_url, headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as client,
    ):
        yield client
