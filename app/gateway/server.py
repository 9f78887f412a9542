"""The sandboxes' door: one unix socket per sandbox, and who comes through it is that sandbox."""

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from app.errors import AppError, Forbidden, InvalidInput, PayloadTooLarge, RateLimited
from app.gateway.model_calls import ModelCalls, refusal
from app.services.model_gate import Binding, ModelGate

log = structlog.get_logger()

MOST_CONNECTIONS = 64
LONGEST_LINE = 4096
LONGEST_FIELD = 8190
MOST_FIELDS = 64
IDLE_SECONDS = 600.0
"""How long a connection may say nothing, a half request included."""
LINGER_SECONDS = 1.0
"""How long a refused body is still read, so that its sender hears the refusal."""
CLOSE_SECONDS = 2.0

_BLOCKED = (Forbidden, InvalidInput, PayloadTooLarge, RateLimited)
_METHODS = frozenset({"GET", "POST"})
_CREDENTIALS = struct.Struct("3i")
_NO_ACCESS_LOG = logging.Logger("gateway")
_NO_ACCESS_LOG.disabled = True

Listen = Callable[[Path, int], socket.socket]
"""Makes the listening socket of a folder, for a uid."""


def _peer_uid(transport: asyncio.BaseTransport) -> int:
    peer = transport.get_extra_info("socket")
    _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


class _Connection(web.RequestHandler):
    """A connection whose other end is who it should be, and whose loss is noticed at once."""

    door: "Door"
    on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.door.admits(transport):
            super().connection_made(transport)
        else:
            self._manager = None
            self._force_close = True
            transport.close()

    def log_exception(self, *_: object, **told: object) -> None:
        """A fault of ours is worth a line; a malformed request is not, or a sandbox could fill the log."""
        fault = told.get("exc_info")
        if not isinstance(fault, HttpProcessingError):
            log.error("gateway.failed", exc_info=fault)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_lost:
            self.on_lost()


class _Connections(web.Server):
    """Makes the connections of one door."""

    def __init__(self, door: "Door") -> None:
        super().__init__(door.handle)
        self._door = door

    def __call__(self) -> _Connection:
        connection = _Connection(
            self,
            loop=self._loop,
            keepalive_timeout=IDLE_SECONDS,
            tcp_keepalive=False,
            access_log=_NO_ACCESS_LOG,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        connection.door = self._door
        return connection


class Door:
    """One sandbox's socket, open until closed."""

    def __init__(self, gate: ModelGate, binding: Binding, peer_uid: int) -> None:
        self._gate = gate
        self._calls = ModelCalls(gate, binding)
        self._peer_uid = peer_uid
        self._connections = _Connections(self)
        self._server: asyncio.Server | None = None
        self._path: tuple[Path, int] | None = None

    async def listen(self, path: Path, listener: socket.socket) -> None:
        """Take connections from now on."""
        self._path = path, path.stat().st_ino
        self._server = await asyncio.get_running_loop().create_unix_server(self._connections, sock=listener)

    async def close(self) -> None:
        """Take no more connections and cut the open ones; may be repeated."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._remove()
        for connection in self._connections.connections:
            connection.force_close()
        await self._connections.shutdown(CLOSE_SECONDS)

    def _remove(self) -> None:
        """Remove the socket, unless somebody else's has taken its place."""
        if self._path:
            path, inode = self._path
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:
                    path.unlink()

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a new connection comes from the sandbox, and is not one too many."""
        uid = _peer_uid(transport)
        if uid != self._peer_uid:
            log.error("gateway.foreign_peer", uid=uid, expected=self._peer_uid)
            return False
        return len(self._connections.connections) < MOST_CONNECTIONS

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, for as long as its sender is there."""
        begun = time.monotonic()
        try:
            response = await self._answer_while_there(request)
        except _BLOCKED as error:
            self._gate.blocked()
            return refusal(error)
        except AppError as error:
            response = refusal(error)
        self._gate.served(request.method if request.method in _METHODS else "OTHER", time.monotonic() - begun)
        return response

    async def _answer_while_there(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as there:
                connection.on_lost = lambda: there.reschedule(loop.time())
                return await self._calls.answer(request)
        except TimeoutError:
            return web.Response(status=499)
        finally:
            connection.on_lost = None


class Gateway:
    """Opens doors."""

    def __init__(self, gate: ModelGate, listen: Listen) -> None:
        self._gate = gate
        self._listen = listen

    async def open(self, folder: Path, binding: Binding, peer_uid: int) -> Door:
        """Listen on `gateway.sock` in that folder for a sandbox whose processes have that uid."""
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(contextlib.closing(self._listen(folder, peer_uid)))
            door = Door(self._gate, binding, peer_uid)
            await door.listen(folder / Path(listener.getsockname()).name, listener)
            undo.pop_all()
        return door
