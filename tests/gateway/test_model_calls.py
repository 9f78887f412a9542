"""What a sandbox gets from the model service, and what the ledger says of it."""

import asyncio
import os
from decimal import Decimal

import aiohttp
import pytest

from app.database import Database
from app.gateway.server import Gateway
from app.infrastructure.gateway_sockets import NAME, listen
from app.services.model_gate import Binding
from tests.gateway.conftest import (
    HAIKU,
    assert_ledger_equals_counters,
    five_of_row,
    gate_on,
    register,
    reprice,
    rows,
    through,
    until,
)
from tests.standin.client import MODEL, Client, messages_body
from tests.standin.test_failures import STATUSES

AT_ONCE = ("throttling", "unavailable", "internal", "model_error", "timeout", "validation")
BREAKS = ("cut", "crc", "empty", "missing_end")
POSITIONS = (0, 1, 3, 6, 1000)


async def test_a_stream_arrives_byte_for_byte_and_is_one_row(
    database: Database, sandbox: Client, service: Client, binding: Binding
):
    await register(database)
    streamed = await sandbox.stream("@think hm\n@text Grüße, 世界\n@stream n=30")
    await binding.settled()
    assert "Grüße, 世界" in streamed.text
    assert streamed.kinds()[-1] == "message_stop"
    (row,) = await rows(database)
    assert (row.status, row.operation) == ("completed", "invoke-with-response-stream")
    assert (row.model_id, row.bedrock_model_id, row.user_id) == ("sonnet", MODEL, "ben")
    assert binding.run
    assert (row.run_id, row.conversation_id) == (binding.run.run_id, binding.origin.conversation_id)
    assert row.session_id == binding.origin.session_id
    await assert_ledger_equals_counters(database, service)


async def test_a_whole_answer_is_one_row(database: Database, sandbox: Client, service: Client, binding: Binding):
    status, body = await sandbox.post("invoke", messages_body("@text hello"))
    await binding.settled()
    assert (status, body["content"][0]["text"]) == (200, "hello")
    (row,) = await rows(database)
    assert (row.operation, row.status) == ("invoke", "completed")
    await assert_ledger_equals_counters(database, service)


@pytest.mark.parametrize("operation", ["invoke", "invoke-with-response-stream"])
async def test_five_kinds_of_tokens_are_priced_each_at_its_own_price(
    database: Database, sandbox: Client, binding: Binding, operation
):
    await register(database)
    body = messages_body("@usage input=9000 output=5000 cache_5m=4000 cache_1h=3000 cache_read=2000\n@text hi")
    await sandbox.post_stream(operation, body)
    await binding.settled()
    (row,) = await rows(database)
    assert five_of_row(row) == (9000, 5000, 4000, 3000, 2000)
    assert row.cost_usd == Decimal(9 * 1 + 5 * 2 + 4 * 3 + 3 * 4 + 2 * 5) / 1_000_000


async def test_the_price_at_the_beginning_of_a_call_holds_for_all_of_it(
    database: Database, sandbox: Client, service: Client, binding: Binding, gate
):
    await register(database, input_token_price=1)
    begun = asyncio.create_task(sandbox.stream("@usage input=1000 output=0\n@text a\n@wait 0.3\n@text b"))
    await until(lambda: a_call_is_open(service))
    await reprice(database, "sonnet", input_token_price=7)
    gate.models_changed()
    await begun
    await sandbox.stream("@usage input=1000 output=0\n@text a")
    await binding.settled()
    assert [row.cost_usd for row in await rows(database)] == [Decimal(1), Decimal(7)]


async def a_call_is_open(service: Client) -> bool:
    return (await service.control("counters"))["in_flight"] > 0


async def test_calls_without_a_live_run_go_on_the_conversations_account(
    database: Database, sandbox: Client, binding: Binding
):
    binding.run = None
    await sandbox.stream("@text hi")
    await binding.settled()
    (row,) = await rows(database)
    assert (row.run_id, row.user_id) == (None, "ann")


async def test_a_configured_model_that_nobody_registered_is_allowed_and_free(
    database: Database, sandbox: Client, binding: Binding
):
    await sandbox.stream("@text hi")
    await binding.settled()
    (row,) = await rows(database)
    assert (row.model_id, row.cost_usd) == (MODEL, 0)


async def test_counting_tokens_works_and_costs_nothing(
    database: Database, sandbox: Client, service: Client, binding: Binding
):
    status, body = await sandbox.post("count-tokens", {"input": {"converse": {"messages": []}}})
    await binding.settled()
    assert (status, list(body)) == (200, ["inputTokens"])
    assert await rows(database) == []
    assert len(await service.calls()) == 1


@pytest.mark.parametrize("kind", AT_ONCE)
@pytest.mark.parametrize("operation", ["invoke", "invoke-with-response-stream"])
async def test_a_refusal_keeps_its_status_name_and_reason_and_is_no_row(
    database: Database, sandbox: Client, binding: Binding, kind, operation
):
    status, name, _ = STATUSES[kind]
    async with sandbox.session.post(f"/model/{MODEL}/{operation}", json=messages_body(f"@fail {kind}")) as answer:
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (status, name)
        assert (await answer.json()) == {"message": f"Stand-in model: scripted failure {kind}"}
    await binding.settled()
    assert await rows(database) == []


async def test_expired_credentials_of_ours_are_nobodys_business_inside(sandbox: Client):
    async with sandbox.session.post(f"/model/{MODEL}/invoke", json=messages_body("@fail expired")) as answer:
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (503, "ServiceUnavailableException")
        assert (await answer.json()) == {"message": "The model service cannot be called at the moment."}


@pytest.mark.parametrize("after", POSITIONS)
@pytest.mark.parametrize("kind", AT_ONCE)
async def test_an_exception_in_mid_stream_is_passed_on_and_charged_as_failed(
    database: Database, sandbox: Client, service: Client, binding: Binding, kind, after
):
    streamed = await sandbox.stream(f"@stream n=6\n@fail {kind} after={after}")
    await binding.settled()
    assert streamed.exception == STATUSES[kind][2]
    assert not {"message_delta", "message_stop"} & set(streamed.kinds())
    assert {row.status for row in await rows(database)} <= {"failed"}
    await assert_ledger_equals_counters(database, service)


@pytest.mark.parametrize("after", POSITIONS)
@pytest.mark.parametrize("kind", BREAKS)
async def test_a_stream_that_breaks_never_ends_properly_and_is_charged_as_far_as_it_came(
    database: Database, sandbox: Client, service: Client, binding: Binding, kind, after
):
    streamed = await sandbox.stream(f"@stream n=6\n@fail {kind} after={after}")
    await binding.settled()
    assert streamed.broken == "ClientPayloadError"
    assert not {"message_delta", "message_stop"} & set(streamed.kinds())
    assert {row.status for row in await rows(database)} <= {"broken"}
    await assert_ledger_equals_counters(database, service)


async def test_a_stream_without_its_last_metrics_counts_by_its_usage(
    database: Database, sandbox: Client, service: Client, binding: Binding
):
    streamed = await sandbox.stream("@stream n=6\n@fail no_metrics")
    await binding.settled()
    assert streamed.broken is None
    assert [row.status for row in await rows(database)] == ["completed"]
    await assert_ledger_equals_counters(database, service)


@pytest.mark.parametrize("kind", ["cut", "crc", "missing_end", "empty"])
async def test_a_whole_answer_that_comes_in_half_is_no_success(
    database: Database, sandbox: Client, service: Client, binding: Binding, kind
):
    with pytest.raises(aiohttp.ClientPayloadError):
        await sandbox.post("invoke", messages_body(f"@text hello\n@fail {kind}"))
    await binding.settled()
    await assert_ledger_equals_counters(database, service)


async def test_a_silent_service_is_given_up_and_charged_as_far_as_it_came(
    database: Database, standin, settings, binding: Binding, folder, service: Client
):
    impatient = settings.model_copy(update={"models": settings.models.model_copy(update={"model_call_timeout": 0.3})})
    async with gate_on(database, impatient) as gate:
        door = await Gateway(gate, listen).open(folder, binding, os.geteuid())
        async with through(folder / NAME) as sandbox:
            streamed = await sandbox.stream("@stream n=6\n@fail silence after=4")
        await binding.settled()
        await door.close()
    assert (len(streamed.events), streamed.broken) == (4, "ClientPayloadError")
    await assert_ledger_equals_counters(database, service)
    await service.control("settings", {"silence": 0})


async def test_an_unreachable_service_is_503_without_internals(database: Database, sandbox: Client, gate, settings):
    other = settings.models.model_copy(update={"bedrock_endpoint_url": "http://127.0.0.1:9"})
    gate._service._settings = other
    status, body = await sandbox.post("invoke", messages_body("hi"))
    assert (status, body) == (503, {"message": "The model service cannot be reached at the moment."})


@pytest.mark.slow
async def test_fifty_streams_at_once_are_counted_exactly(
    database: Database, sandbox: Client, service: Client, binding: Binding
):
    await register(database)
    await register(database, "haiku", HAIKU)
    kinds = ("", "@fail cut after=9", "@fail throttling after=20", "@fail missing_end", "@fail crc after=12")
    asked = [f"@stream n={20 + number}\n{kinds[number % 5]}" for number in range(50)]
    answers = await asyncio.gather(*map(sandbox.stream, asked))
    await binding.settled()
    assert sum(answer.broken is None and answer.exception is None for answer in answers) == 10
    assert len(await rows(database)) == 50
    await assert_ledger_equals_counters(database, service)
