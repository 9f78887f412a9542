"""The HTTP server: uvicorn, told to let runs end before it lets connections go."""

import ipaddress
import socket

import uvicorn
from fastapi import FastAPI

from app.config import Settings
from app.services.runtime import Runtime

LET_GO_SECONDS = 5


class Server(uvicorn.Server):
    """Keeps uvicorn's own signal handling; between the signal and the closing of connections it drains the runs."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down."""
        runtime: Runtime | None = self._app.state.runtime
        if runtime is not None:
            await runtime.execution.drain()
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
