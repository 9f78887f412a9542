"""What callers see when the database fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.database import Database, TenantId, open_database
from app.errors import InvalidInput, ServiceUnavailable
from app.models import Tenant
from tests.databases import Cluster

ACME = TenantId("acme")


@pytest.fixture
async def hasty(cluster: Cluster, database_name: str) -> AsyncIterator[Database]:
    """One connection, and little patience."""
    async with open_database(cluster.app_url(database_name), pool_size=1, timeout=0.3) as opened:
        yield opened


async def _in_a_tenant(database: Database) -> None:
    async with database.tenant(ACME):
        pass


async def _reading(database: Database) -> None:
    async with database.platform_read():
        pass


async def _appending(database: Database) -> None:
    async with database.events():
        pass


Use = Callable[[Database], Awaitable[None]]
uses = pytest.mark.parametrize("use", [_in_a_tenant, _reading, _appending, Database.ping])


@uses
@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid:5432"])
async def test_a_server_that_is_not_there_is_unavailable(use: Use, host: str) -> None:
    async with open_database(f"postgresql://app:pw@{host}/x", pool_size=1, timeout=1) as database:
        with pytest.raises(ServiceUnavailable):
            await use(database)


async def test_the_event_writer_waits_for_its_own_connections_only(hasty: Database) -> None:
    async with hasty.platform():
        await _appending(hasty)
    async with hasty.events(), hasty.events():
        with pytest.raises(ServiceUnavailable):
            await _appending(hasty)


@pytest.mark.parametrize("use", [_in_a_tenant, _reading, Database.ping])
async def test_a_pool_without_a_free_connection_is_unavailable(hasty: Database, use: Use) -> None:
    async with hasty.platform():
        with pytest.raises(ServiceUnavailable):
            await use(hasty)
    await use(hasty)


async def test_a_statement_that_takes_too_long_is_unavailable(hasty: Database) -> None:
    with pytest.raises(ServiceUnavailable):
        async with hasty.platform() as session:
            await session.execute(text("SELECT pg_sleep(5)"))
    await hasty.ping()


async def _cut(scope: Callable[[], Any], cluster: Cluster) -> None:
    async with scope() as session:
        backend = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await cluster.run(f"SELECT pg_terminate_backend({backend}, 5000)")
        await session.execute(text("SELECT 1"))


async def test_a_connection_cut_in_mid_transaction_is_unavailable(hasty: Database, cluster: Cluster) -> None:
    for scope in (hasty.platform, hasty.platform_read, hasty.events):
        with pytest.raises(ServiceUnavailable):
            await _cut(scope, cluster)
    await hasty.ping()


async def test_a_fault_of_the_caller_inside_a_scope_stays_what_it_is(hasty: Database) -> None:
    for fault in (OSError("disk"), TimeoutError("slow tool"), KeyError("x")):
        with pytest.raises(type(fault)):
            async with hasty.tenant(ACME):
                raise fault
    await hasty.ping()


async def test_a_cancelled_statement_is_cancelled(database: Database) -> None:
    async def sleep() -> None:
        async with database.platform() as session:
            await session.execute(text("SELECT pg_sleep(5)"))

    task = asyncio.create_task(sleep())
    async with asyncio.timeout(5):
        while not database.pool_states()["in_use"]:  # noqa: ASYNC110 -- the pool tells nobody
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("prompt", ["a\0b", "a\ud800b"])
async def test_a_value_that_no_column_holds_is_the_callers_fault(database: Database, prompt: str) -> None:
    with pytest.raises(InvalidInput):
        async with database.platform() as session:
            session.add(Tenant(tenant_id="acme", system_prompt=prompt))


async def test_a_broken_constraint_is_left_to_those_who_expect_it_and_names_no_values(database: Database) -> None:
    async def add() -> None:
        async with database.platform() as session:
            session.add(Tenant(tenant_id="acme", system_prompt="canary"))

    await add()
    with pytest.raises(IntegrityError) as caught:
        await add()
    assert "canary" not in str(caught.value)
