"""The policy, the price list and the ledger's last resort."""

from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
import pytest

from app.database import Database, TenantId, open_database
from app.errors import Forbidden, ServiceUnavailable
from app.infrastructure.bedrock.usage import Tokens
from app.repositories.usage_logs import UsageLogs
from app.services import model_gate, price_list
from app.services.model_gate import Binding, BoundRun, ModelGate, UsageNotRecorded
from tests.gateway.conftest import HAIKU, TENANT, gate_on, origin, register, reprice, rows, until
from tests.standin.client import MODEL, messages_body

OPUS = "anthropic.claude-opus-4-5-20251101-v1:0"


async def admitted(gate: ModelGate, model: str, **fields: Any) -> str:
    return (await gate.admit(origin(**fields), model, "invoke")).model_id


async def test_only_active_registered_models_and_the_configured_two_are_admitted(database: Database, gate: ModelGate):
    await register(database, "opus", OPUS)
    assert await admitted(gate, OPUS) == "opus"
    assert await admitted(gate, MODEL) == MODEL
    assert await admitted(gate, HAIKU) == HAIKU
    for other in ("", "opus", OPUS + "x", OPUS.upper(), f" {OPUS}", "*"):
        with pytest.raises(Forbidden):
            await admitted(gate, other)


async def test_a_deprecated_model_serves_only_runs_that_use_it(database: Database, gate: ModelGate):
    await register(database, "opus", OPUS, status="deprecated")
    assert await admitted(gate, OPUS, model_id="opus") == "opus"
    with pytest.raises(Forbidden):
        await admitted(gate, OPUS, model_id="sonnet")


async def test_a_deprecated_row_still_prices_a_configured_model(database: Database, gate: ModelGate):
    await register(database, "haiku", HAIKU, status="deprecated")
    assert await admitted(gate, HAIKU) == "haiku"


async def test_of_rows_that_share_a_bedrock_id_the_runs_own_counts_else_an_active_one(
    database: Database, gate: ModelGate
):
    await register(database, "a", OPUS, status="deprecated")
    await register(database, "b", OPUS, input_token_price=2)
    await register(database, "c", OPUS, input_token_price=3)
    assert await admitted(gate, OPUS) == "b"
    assert await admitted(gate, OPUS, model_id="c") == "c"
    assert await admitted(gate, OPUS, model_id="a") == "a"


async def test_a_changed_model_is_known_within_two_seconds_and_at_once_where_it_was_changed(
    database: Database, gate: ModelGate, monkeypatch
):
    await register(database, "opus", OPUS)
    await admitted(gate, OPUS)
    await reprice(database, "opus", status="deprecated")
    await until(lambda: _is_refused(gate), price_list.FRESH_SECONDS + 1)
    await reprice(database, "opus", status="active")
    assert await _is_refused(gate)
    gate.models_changed()
    assert not await _is_refused(gate)


async def _is_refused(gate: ModelGate) -> bool:
    try:
        return await admitted(gate, OPUS) != "opus"
    except Forbidden:
        return True


async def test_costs_are_exact(database: Database, gate: ModelGate):
    await register(database, "opus", OPUS, input_token_price=Decimal("0.000001"), output_token_price="99999999.999999")
    grant = await gate.admit(origin(), OPUS, "invoke")
    assert grant.cost(Tokens(input=1)) == Decimal("0.000000001")
    assert grant.cost(Tokens(output=1_000_003)) == Decimal("100000299999.998999997")
    await gate.record(grant, origin(), Tokens(input=7, output=3), "completed")
    (row,) = await rows(database)
    assert row.cost_usd == Decimal("300000.000000004")


async def test_a_binding_speaks_for_the_run_that_is_live():
    binding = Binding(origin())
    assert (binding.origin.run_id, binding.origin.user_id) == (None, "ann")
    run = BoundRun(origin().conversation_id, "ben", "opus")
    binding.run = run
    spoken = binding.origin
    assert (spoken.run_id, spoken.user_id, spoken.model_id) == (run.run_id, "ben", "opus")
    binding.run = None
    assert binding.origin.run_id is None
    assert spoken.calls is binding.origin.calls


class Faltering:
    """A database that fails a number of times, before or after the commit."""

    def __init__(self, database: Database, failures: int, *, after_commit: bool = False) -> None:
        self._database = database
        self._failures = failures
        self._after_commit = after_commit
        self.asked = 0

    @asynccontextmanager
    async def platform_read(self):
        async with self._database.platform_read() as session:
            yield session

    @asynccontextmanager
    async def tenant(self, tenant_id: TenantId):
        self.asked += 1
        fails = self.asked <= self._failures
        if fails and not self._after_commit:
            raise ConnectionRefusedError
        async with self._database.tenant(tenant_id) as session:
            yield session
        if fails:
            raise ConnectionResetError


async def test_a_row_waits_for_a_database_that_is_briefly_away(database: Database, settings):
    faltering = Faltering(database, 3)
    async with gate_on(faltering, settings) as gate:
        grant = await gate.admit(origin(), MODEL, "invoke")
        assert await gate.record(grant, origin(), Tokens(input=5), "completed")
    assert (faltering.asked, len(await rows(database))) == (4, 1)


async def test_a_row_waits_for_a_server_that_hangs_up(own_database_name: str, cluster, settings):
    """The connections of the pool are cut, the row finds a new one."""
    async with (
        open_database(cluster.app_url(own_database_name), pool_size=3, timeout=5.0) as database,
        gate_on(database, settings) as gate,
    ):
        grant = await gate.admit(origin(), MODEL, "invoke")
        await cluster.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{own_database_name}'"
        )
        assert await gate.record(grant, origin(), Tokens(input=5), "completed")
        assert len(await rows(database)) == 1


async def test_a_row_that_is_wrong_is_given_up_at_once(database: Database, gate: ModelGate):
    grant = await gate.admit(origin(), MODEL, "invoke")
    assert not await gate.record(grant, origin(), Tokens(input=2**63), "completed")


async def test_a_commit_whose_reply_was_lost_is_not_written_twice(database: Database, settings):
    async with gate_on(Faltering(database, 2, after_commit=True), settings) as gate:
        grant = await gate.admit(origin(), MODEL, "invoke")
        assert await gate.record(grant, origin(), Tokens(input=5), "completed")
    assert len(await rows(database)) == 1


async def test_a_row_that_has_to_be_given_up_is_told_to_the_run_once(database: Database, settings, monkeypatch):
    monkeypatch.setattr(model_gate, "RECORD_SECONDS", 0.2)
    binding = Binding(origin())
    async with gate_on(Faltering(database, 10_000), settings) as gate:
        async with gate.call(binding.origin, MODEL, "invoke", orjson.dumps(messages_body("hi"))) as call:
            while await call.read():
                pass
        with pytest.raises(UsageNotRecorded):
            await binding.settled()
        await binding.settled()


async def test_without_a_database_no_call_is_admitted(settings):
    class Away:
        @asynccontextmanager
        async def platform_read(self):
            raise ConnectionRefusedError
            yield

    async with gate_on(Away(), settings) as gate:
        with pytest.raises(ServiceUnavailable):
            await gate.admit(origin(), MODEL, "invoke")


async def test_settled_waits_for_calls_under_way(database: Database, gate: ModelGate):
    binding = Binding(origin())
    body = orjson.dumps(messages_body("@wait 0.3\n@text hi"))
    async with gate.call(binding.origin, MODEL, "invoke-with-response-stream", body) as call:
        await call.read()
    await binding.settled()
    assert len(await rows(database)) == 1


async def test_a_runs_usage_is_summed_by_model(database: Database, gate: ModelGate):
    await register(database, "sonnet", MODEL, input_token_price=1)
    run = BoundRun(origin().conversation_id, "ben", "sonnet")
    binding = Binding(origin())
    binding.run = run
    for model in (MODEL, HAIKU, MODEL):
        grant = await gate.admit(binding.origin, model, "invoke")
        await gate.record(grant, binding.origin, Tokens(1000, 2, 3, 4, 5), "completed")
    async with database.tenant_read(TENANT) as session:
        used = await UsageLogs(session, TENANT).list_by_model(run.run_id)
    assert [(line.model_id, line.calls, line.input_tokens, line.cache_read_tokens) for line in used] == [
        (HAIKU, 1, 1000, 5),
        ("sonnet", 2, 2000, 10),
    ]
    assert isinstance(used[1].input_tokens, int)
    assert used[1].cost_usd == Decimal("2.000000108")
