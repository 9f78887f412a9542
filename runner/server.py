"""The control socket: one backend at a time, every frame sent at once and again after a reconnect."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from runner.outbox import Outbox
from runner.processes import descends_from_here
from runner.protocol import (
    MAX_LINE,
    VERSION,
    Ack,
    Attach,
    Command,
    Hello,
    Interrupt,
    Open,
    Prompt,
    StoreReply,
    commands,
)

_WRITE_AHEAD = 1024 * 1024
"""Bytes handed to the system before waiting for a slow backend; the rest stays in the outbox alone."""
_PEER = struct.Struct("3i")
_OUTSIDE = 0
"""How the system names a peer in another process namespace."""

log = logging.getLogger(__name__)


class Server:
    """Knows the one attached connection and hands commands to whom they concern."""

    def __init__(
        self,
        outbox: Outbox,
        hello: Callable[[], Hello],
        submit: Callable[[Open | Prompt | Interrupt], None],
        reply: Callable[[StoreReply], None],
    ) -> None:
        self.outbox = outbox
        self.hello = hello
        self._submit = submit
        self._reply = reply
        self._attached: _Connection | None = None
        self._server: asyncio.Server | None = None
        outbox.on_frame = self._flush

    async def listen(self, path: Path) -> None:
        """The socket appears under its name only when it can be connected to."""
        unfinished = path.with_name(".new")
        unfinished.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), str(unfinished))
        unfinished.chmod(0o666)  # the folder decides who reaches it: the backend may run under another uid
        unfinished.replace(path)

    async def close(self) -> None:
        if self._server:
            self._server.close()
        if self._attached:
            self._attached.close()

    def attach(self, connection: "_Connection") -> None:
        """A newer connection replaces the older."""
        former, self._attached = self._attached, connection
        if former:
            former.abort()

    def detach(self, connection: "_Connection") -> None:
        if self._attached is connection:
            self._attached = None

    def obey(self, command: Command) -> None:
        """Raises `ValueError` on an `Attach` that is not a connection's first line."""
        match command:
            case Ack(seq=seq):
                self.outbox.forget(seq)
            case StoreReply():
                self._reply(command)
            case Attach():
                raise ValueError("a second attach")
            case _:
                self._submit(command)

    def _flush(self) -> None:
        if self._attached:
            self._attached.flush()


class _Connection(asyncio.Protocol):
    """One connection: lines in, frames out from its own place in the outbox."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._searched = 0
        self._next: int | None = None
        """The seq to send next; none before the attach."""
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_AHEAD)
        if _started_by_the_agent(transport.get_extra_info("socket")):
            log.warning("a process of the agent's own reached for the control socket")
            self.close()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._server.detach(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def data_received(self, chunk: bytes) -> None:
        self._unread += chunk
        try:
            for line in self._lines():
                self._take(commands.validate_json(line))
        except ValueError as error:
            log.warning("connection closed: %s", _without_input(error))
            self.close()

    def flush(self) -> None:
        while self._transport and not self._paused and self._next is not None:
            line = self._server.outbox.line(self._next)
            if line is None:
                return
            self._next += 1
            self._transport.write(line)

    def close(self) -> None:
        if self._transport:
            self._transport.close()
            self._transport = None

    def abort(self) -> None:
        """Close without waiting for a backend that does not read; what it missed is still in the outbox."""
        if self._transport:
            self._transport.abort()
            self._transport = None

    def _lines(self) -> "list[bytes]":
        end = self._unread.rfind(b"\n", self._searched)
        self._searched = len(self._unread)
        if end < 0:
            if len(self._unread) > MAX_LINE:
                raise ValueError("a line beyond the limit")
            return []
        lines = bytes(self._unread[:end]).split(b"\n")
        del self._unread[: end + 1]
        self._searched = len(self._unread)
        if max(map(len, lines)) > MAX_LINE:
            raise ValueError("a line beyond the limit")
        return lines

    def _take(self, command: Command) -> None:
        if self._transport is None:
            return
        if self._next is not None:
            self._server.obey(command)
        elif isinstance(command, Attach):
            self._attach(command)
        else:
            raise ValueError("a first line that is no attach")

    def _attach(self, attach: Attach) -> None:
        if self._transport is None:
            return
        self._transport.write(self._server.hello().model_dump_json().encode() + b"\n")
        if attach.version != VERSION:
            raise ValueError(f"protocol version {attach.version}")
        self._server.outbox.forget(attach.after)
        self._next = self._server.outbox.first_seq
        self._server.attach(self)
        self.flush()


def _started_by_the_agent(connection: socket.socket) -> bool:
    """Tools run under the runner's own uid and see its socket; they must not pass for the backend."""
    pid, _, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid not in {_OUTSIDE, os.getpid()} and descends_from_here(pid)


def _without_input(error: ValueError) -> str:
    return f"{error.error_count()} faults in a line" if isinstance(error, ValidationError) else str(error)
