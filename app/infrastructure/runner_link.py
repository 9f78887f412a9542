"""The backend's end of a runner's control socket."""

import asyncio
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from app.infrastructure.unix_sockets import reachable
from runner.protocol import CONTROL_SOCKET, MAX_LINE, VERSION, Ack, AnyFrame, Attach, Hello, frames

CONNECT_PAUSE = 0.005


class LinkLost(Exception):
    """The runner closed the connection, broke the protocol, or never answered."""


class RunnerLink:
    """Sends commands and receives frames, one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello) -> None:
        self.hello = hello
        self._reader = reader
        self._writer = writer

    def post(self, command: BaseModel) -> None:
        """Send without waiting; nothing happens on a closed connection."""
        if not self._writer.is_closing():
            self._writer.write(command.model_dump_json().encode() + b"\n")

    async def send(self, command: BaseModel) -> None:
        """Send, and wait while the runner is slow to read."""
        if self._writer.is_closing():
            raise LinkLost("the connection is closed")
        try:
            self.post(command)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:  # uvloop tells a closed transport by a RuntimeError
            raise LinkLost(str(error)) from error

    def acknowledge(self, seq: int) -> None:
        """Frames up to `seq` are recorded."""
        self.post(Ack(seq=seq))

    async def receive(self) -> AnyFrame:
        """The next frame."""
        frame = await _read(self._reader)
        if isinstance(frame, Hello):
            raise LinkLost("a second greeting")
        return frame

    async def close(self) -> None:
        """Hang up at once, whatever is still unsent: a stopped runner would never read it."""
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Hello | AnyFrame:
    try:
        line = await reader.readuntil(b"\n")
        return frames.validate_json(line)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
        raise LinkLost(type(error).__name__) from error
    except ValidationError as error:
        raise LinkLost(f"not a frame: {error.error_count()} faults") from error


async def connect(folder: Path, *, after: int, timeout: float) -> RunnerLink:
    """Connect to the runner whose socket is, or soon will be, in that folder; raises `LinkLost`."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await _dial(folder)
            return await _greet(reader, writer, after)
    except TimeoutError as error:
        raise LinkLost("the runner did not answer in time") from error


async def _dial(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with reachable(folder) as address:
        while True:
            try:
                return await asyncio.open_unix_connection(f"{address}/{CONTROL_SOCKET}", limit=MAX_LINE)
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(CONNECT_PAUSE)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int) -> RunnerLink:
    try:
        writer.write(Attach(after=after).model_dump_json().encode() + b"\n")
        hello = await _read(reader)
        if not isinstance(hello, Hello) or hello.version != VERSION:
            raise LinkLost("the runner speaks another version")
    except BaseException:
        writer.close()
        raise
    return RunnerLink(reader, writer, hello)
