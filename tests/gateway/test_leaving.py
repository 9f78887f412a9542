"""A sandbox that leaves in the middle of an answer still pays for it."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from app.database import Database
from app.gateway import model_calls
from app.services import model_gate
from app.services.model_gate import Binding
from tests.gateway.conftest import assert_ledger_equals_counters, rows, through, until
from tests.standin.client import Client, messages_body, path


async def leave(door: Path, asked: str, operation: str = "invoke-with-response-stream", chunks: int = 1) -> None:
    async with through(door) as client:
        asking = client.session.post(path(operation), json=messages_body(asked))
        try:
            async with asyncio.timeout(0.15 if not chunks else None):
                async with asking as answer:
                    for _ in range(chunks):
                        await answer.content.readany()
        except TimeoutError:
            assert not chunks


@pytest.mark.parametrize("chunks", [1, 5, 15])
async def test_an_answer_nobody_reads_any_more_is_read_on_and_counted_exactly(
    database: Database, door: Path, service: Client, binding: Binding, chunks
):
    await leave(door, "@stream n=40 rate=150", chunks=chunks)
    await binding.settled()
    (row,) = await rows(database)
    assert (row.status, row.output_tokens) == ("completed", 40)
    (call,) = await service.calls()
    assert call["finished"]
    await assert_ledger_equals_counters(database, service)


@pytest.mark.parametrize("operation", ["invoke", "invoke-with-response-stream"])
async def test_leaving_before_the_first_byte_changes_nothing(
    database: Database, door: Path, service: Client, binding: Binding, operation
):
    await leave(door, "@ttft 0.4\n@text hello\n@wait 0.2", operation, chunks=0)
    await binding.settled()
    assert [row.status for row in await rows(database)] == ["completed"]
    await assert_ledger_equals_counters(database, service)


async def test_an_answer_that_goes_on_for_too_long_is_charged_as_far_as_it_came(
    database: Database, door: Path, binding: Binding, monkeypatch
):
    monkeypatch.setattr(model_gate, "DRAIN_SECONDS", 0.2)
    await leave(door, "@stream n=600 rate=100")
    async with asyncio.timeout(5):
        await binding.settled()
    (row,) = await rows(database)
    assert row.status == "broken"
    assert 10 <= row.output_tokens <= 60


async def test_an_answer_that_breaks_after_the_reader_left_is_charged_as_far_as_it_came(
    database: Database, door: Path, service: Client, binding: Binding
):
    await leave(door, "@stream n=40 rate=150\n@fail cut after=20")
    await binding.settled()
    assert [row.status for row in await rows(database)] == ["broken"]
    await assert_ledger_equals_counters(database, service)


async def test_a_sandbox_that_stops_reading_is_cut_and_its_answer_counted(
    database: Database, door: Path, service: Client, binding: Binding, monkeypatch
):
    monkeypatch.setattr(model_calls, "STALL_SECONDS", 0.2)
    reader, writer = await asyncio.open_unix_connection(str(door), limit=1024)
    body = aiohttp.payload.JsonPayload(messages_body("@stream n=30000"))._value
    head = f"POST {path('invoke-with-response-stream')} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await reader.read(1)
    await until(lambda: rows(database))
    writer.close()
    assert [(row.status, row.output_tokens) for row in await rows(database)] == [("completed", 30000)]
    await assert_ledger_equals_counters(database, service)
