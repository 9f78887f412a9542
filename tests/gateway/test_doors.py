"""The sockets: who may come through, how many, and what becomes of them."""

import asyncio
import os
import socket
from pathlib import Path

import aiohttp
import pytest

from app.database import Database
from app.gateway.server import MOST_CONNECTIONS, Gateway
from app.infrastructure.gateway_sockets import NAME, listen
from app.services.model_gate import Binding, ModelGate
from tests.gateway.conftest import origin, post, raw, requests_seen, rows, through, until
from tests.standin.client import Client, messages_body, path


async def test_connections_are_limited(door: Path):
    async with through(door, connections=MOST_CONNECTIONS) as client:
        held = [await asyncio.open_unix_connection(str(door)) for _ in range(MOST_CONNECTIONS)]
        with pytest.raises(aiohttp.ClientError):
            await client.stream("@text hi")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await until(lambda: _works(client))


async def _works(client: Client) -> bool:
    try:
        return (await client.stream("@text hi")).status == 200
    except aiohttp.ClientError:
        return False


def for_anybody(folder: Path, _: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / NAME))
    listener.listen()
    listener.setblocking(False)
    return listener


async def test_a_peer_with_another_uid_is_hung_up_on(
    database: Database, gate: ModelGate, binding: Binding, folder: Path, service: Client
):
    door = await Gateway(gate, for_anybody).open(folder, binding, os.geteuid() + 1)
    assert await raw(folder / NAME, post(path("invoke"))) == b""
    await door.close()
    assert await requests_seen(service) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
async def test_the_socket_belongs_to_its_sandbox_alone(gate: ModelGate, binding: Binding, folder: Path):
    door = await Gateway(gate, listen).open(folder, binding, 54321)
    held = (folder / NAME).stat()
    assert (held.st_uid, held.st_mode & 0o777) == (54321, 0o600)
    await door.close()


async def test_a_door_opens_in_a_folder_too_deep_for_a_socket_address(gate: ModelGate, binding: Binding, folder: Path):
    deep = folder / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    door = await Gateway(gate, listen).open(deep, binding, os.geteuid())
    assert (deep / NAME).is_socket()
    await door.close()
    assert not (deep / NAME).exists()
    await door.close()


async def test_a_new_door_takes_an_old_ones_place_and_keeps_it(
    gate: ModelGate, binding: Binding, folder: Path, service: Client
):
    old = await Gateway(gate, listen).open(folder, binding, os.geteuid())
    new = await Gateway(gate, listen).open(folder, binding, os.geteuid())
    await old.close()
    async with through(folder / NAME) as client:
        assert (await client.stream("@text hi")).text == "hi"
    await new.close()


async def test_a_closed_door_cuts_what_is_under_way_and_still_counts_it(
    database: Database, gate: ModelGate, binding: Binding, folder: Path
):
    door = await Gateway(gate, listen).open(folder, binding, os.geteuid())
    async with through(folder / NAME) as client:
        async with client.session.post(
            path("invoke-with-response-stream"), json=messages_body("@stream n=30 rate=100")
        ) as answer:
            await answer.content.readany()
            await door.close()
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.stream("@text hi")
    await binding.settled()
    assert [(row.status, row.output_tokens) for row in await rows(database)] == [("completed", 30)]


async def test_two_sandboxes_are_two_accounts(database: Database, gate: ModelGate, binding: Binding, folder: Path):
    other = Binding(origin())
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    gateway = Gateway(gate, listen)
    doors = [
        await gateway.open(folder / name, account, os.geteuid()) for name, account in (("a", binding), ("b", other))
    ]
    for name in ("a", "b"):
        async with through(folder / name / NAME) as client:
            await client.stream("@text hi")
    await asyncio.gather(binding.settled(), other.settled())
    for door in doors:
        await door.close()
    assert {row.conversation_id for row in await rows(database)} == {
        binding.origin.conversation_id,
        other.origin.conversation_id,
    }


async def test_a_fault_of_ours_is_logged_and_nothing_of_it_told(sandbox: Client, gate: ModelGate, monkeypatch, caplog):
    async def broken(*_: object) -> None:
        raise LookupError("an internal matter")

    monkeypatch.setattr(gate, "admit", broken)
    async with sandbox.session.post(path("invoke"), json=messages_body("hi")) as answer:
        assert answer.status == 500
        assert "internal matter" not in await answer.text()
    assert "gateway.failed" in caplog.text


async def test_malformed_requests_do_not_fill_the_log(door: Path, caplog):
    for _ in range(5):
        await raw(door, b"nonsense\r\n\r\n")
    assert not caplog.text
