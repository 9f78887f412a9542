"""Bytes between a loopback port and the gateway's unix socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from runner.relay import Relay

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BIG = b"0123456789abcdef" * 1024 * 1024


@asynccontextmanager
async def relayed(folder: Path, serve: Serve, most: int = 64) -> AsyncIterator[Relay]:
    gateway = await asyncio.start_unix_server(serve, str(folder / "gateway.sock"))
    relay = Relay(folder / "gateway.sock", most)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.close()
        gateway.close()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers everything it was sent, in capitals, once the sender is done."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


async def ask(port: int, question: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(question)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_bytes_arrive_unchanged_both_ways_and_each_side_may_finish_first(folder: Path) -> None:
    async with relayed(folder, shout) as relay:
        assert await ask(relay.port, b"hello") == b"HELLO"
        assert await ask(relay.port, BIG) == BIG.upper()


async def test_many_connections_at_once_do_not_mix(folder: Path) -> None:
    async with relayed(folder, shout) as relay:
        answers = await asyncio.gather(*(ask(relay.port, f"q{number}".encode()) for number in range(50)))

    assert answers == [f"Q{number}".encode() for number in range(50)]


async def test_it_listens_on_loopback_alone(folder: Path) -> None:
    async with relayed(folder, shout) as relay:
        assert relay._server is not None
        assert [each.getsockname()[0] for each in relay._server.sockets] == ["127.0.0.1"]


async def test_one_connection_too_many_is_closed_at_once(folder: Path) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        await reader.read()
        writer.close()

    async with relayed(folder, hold, most=2) as relay:
        held = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(2)]
        for reader, _ in held:
            assert await reader.readexactly(1) == b"!"
        refused, refused_writer = await asyncio.open_connection("127.0.0.1", relay.port)
        assert await asyncio.wait_for(refused.read(), 5) == b""
        for writer in (refused_writer, *(writer for _, writer in held)):
            writer.close()
            await writer.wait_closed()


async def test_a_connection_that_ended_makes_room_for_another(folder: Path) -> None:
    async with relayed(folder, shout, most=1) as relay:
        for _ in range(5):
            assert await ask(relay.port, b"a") == b"A"


async def test_without_a_gateway_the_connection_is_closed(folder: Path) -> None:
    relay = Relay(folder / "nobody.sock")
    await relay.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)

    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()
    await relay.close()


async def test_a_gateway_that_breaks_off_breaks_the_cli_off_too(folder: Path) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    async with relayed(folder, break_off) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await writer.wait_closed()


async def test_small_writes_are_not_held_back(folder: Path) -> None:
    """A chunk is relayed when it comes, not when more has come."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    async with relayed(folder, echo) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        for number in range(20):
            writer.write(bytes([number]))
            assert await asyncio.wait_for(reader.readexactly(1), 5) == bytes([number])
        ends = [client.transport.get_extra_info("socket") for client in relay._clients if client.transport]
        assert all(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in ends)
        writer.close()
        await writer.wait_closed()
