"""Carries bytes between a loopback TCP port, all the CLI can speak to, and the gateway's unix socket."""

import asyncio
from pathlib import Path
from typing import cast

MOST_CONNECTIONS = 64
"""Connections at a time; one more is closed at once."""


class _End(asyncio.Protocol):
    """One end of a relayed connection; what it reads, the other end writes, no faster than that goes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, chunk: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(chunk)

    def eof_received(self) -> bool:
        self.finished = True
        if self.other is None or self.other.transport is None or self.other.finished:
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if self.other and self.other.transport:
            self.other.transport.close()
        self.other = self.transport = None


class _Client(_End):
    """The CLI's end; reads nothing before the gateway's end is there."""

    def __init__(self, relay: "Relay") -> None:
        super().__init__()
        self._relay = relay
        self._joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._relay.admit(self):
            transport.close()
            return
        cast("asyncio.Transport", transport).pause_reading()
        self._joining = asyncio.ensure_future(self._join())

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.dismiss(self)
        super().connection_lost(error)

    async def _join(self) -> None:
        try:
            _, gateway = await self._relay.connect()
        except OSError:
            gateway = None
        if self.transport is None or gateway is None:
            self._part(gateway)
            return
        self.other, gateway.other = gateway, self
        self.transport.resume_reading()

    def _part(self, gateway: _End | None) -> None:
        for end in (self, gateway):
            if end and end.transport:
                end.transport.close()


class Relay:
    """Listens on an ephemeral port of 127.0.0.1; every connection gets one of its own to the gateway."""

    def __init__(self, gateway: Path, most: int = MOST_CONNECTIONS) -> None:
        self._gateway = str(gateway)
        self._most = most
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for client in tuple(self._clients):
            if client.transport:
                client.transport.abort()

    async def connect(self) -> tuple[asyncio.Transport, _End]:
        return await asyncio.get_running_loop().create_unix_connection(_End, self._gateway)

    def admit(self, client: _Client) -> bool:
        if len(self._clients) >= self._most:
            return False
        self._clients.add(client)
        return True

    def dismiss(self, client: _Client) -> None:
        self._clients.discard(client)
