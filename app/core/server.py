"""The HTTP server: uvicorn, told to let runs end before it lets connections go."""

import asyncio
import ipaddress
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from app.config import Settings
from app.services.runtime import Runtime

LET_GO_SECONDS = 5
DRAIN_SHARE = 0.6
"""Of the time to shut down, for runs to end well; the rest is for connections, sandboxes and the database."""


class Server(uvicorn.Server):
    """Keeps uvicorn's own signal handling; between the signal and the closing of connections it drains the runs."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down."""
        runtime: Runtime | None = self._app.state.runtime
        if runtime is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(runtime.settings.server.shutdown_timeout * DRAIN_SHARE):
                    await runtime.execution.drain()
            await runtime.execution.close()
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_server(app: FastAPI, settings: Settings) -> Server:
    """A server for the application on the settings' address."""
    config = uvicorn.Config(
        app,
        host=settings.server.app_host,
        port=settings.server.app_port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        loop="uvloop",
        http="httptools",
        ws="none",
        timeout_graceful_shutdown=LET_GO_SECONDS,
        timeout_keep_alive=65,
    )
    return Server(config, app)
