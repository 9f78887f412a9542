"""Idempotency keys and the runs they are tied to."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.database import Database, TenantId, new_id
from app.errors import ValidationFailed
from app.models import IdempotencyKey
from app.repositories.idempotency_keys import IdempotencyKeys, purge
from app.services.idempotency import KeyedRequest, keyed_request, reserve

ACME, OTHER = TenantId("acme"), TenantId("other")


async def test_a_key_is_tied_to_the_first_run(database: Database) -> None:
    asked, first, second = keyed_request("k", b"a"), new_id(), new_id()
    async with database.tenant(ACME) as session:
        assert await reserve(session, ACME, asked, first) is None
    async with database.tenant(ACME) as session:
        assert await reserve(session, ACME, asked, second) == first
    async with database.tenant(OTHER) as session:
        assert await reserve(session, OTHER, asked, second) is None


async def test_a_request_without_a_key_is_always_new(database: Database) -> None:
    async with database.tenant(ACME) as session:
        assert [await reserve(session, ACME, None, new_id()) for _ in range(2)] == [None, None]


async def test_a_key_of_another_request_is_refused(database: Database) -> None:
    async with database.tenant(ACME) as session:
        await reserve(session, ACME, KeyedRequest("k", "one"), new_id())
    with pytest.raises(ValidationFailed):
        async with database.tenant(ACME) as session:
            await reserve(session, ACME, KeyedRequest("k", "two"), new_id())


async def test_an_admission_that_fails_leaves_its_key_free(database: Database) -> None:
    asked = keyed_request("k", b"a")

    async def admit(end: BaseException | None) -> object:
        async with database.tenant(ACME) as session:
            earlier = await reserve(session, ACME, asked, new_id())
            if end:
                raise end
            return earlier

    with pytest.raises(ZeroDivisionError):
        await admit(ZeroDivisionError())
    assert await admit(None) is None
    assert await admit(None) is not None


@pytest.mark.slow
async def test_a_hundred_admissions_at_once_begin_one_run(database: Database) -> None:
    asked = keyed_request("k", b"a")

    async def admit() -> object:
        run_id = new_id()
        async with database.tenant(ACME) as session:
            return await reserve(session, ACME, asked, run_id) or run_id

    assert len({await run for run in asyncio.as_completed([admit() for _ in range(100)])}) == 1


async def test_old_keys_of_all_tenants_are_forgotten(database: Database) -> None:
    for tenant in (ACME, OTHER):
        async with database.tenant(tenant) as session:
            keys = IdempotencyKeys(session, tenant)
            assert [await keys.reserve(key, "x") for key in ("old", "new")] == [True, True]
            old = IdempotencyKey.created_at - timedelta(hours=25)
            await session.execute(update(IdempotencyKey).where(IdempotencyKey.key == "old").values(created_at=old))
    async with database.platform() as session:
        assert await purge(session, timedelta(hours=24)) == 2
    async with database.tenant(ACME) as session:
        keys = IdempotencyKeys(session, ACME)
        assert [await keys.reserve(key, "x") for key in ("old", "new")] == [True, False]


def test_parts_of_a_request_do_not_run_together() -> None:
    assert keyed_request("k", b"ab", b"c").fingerprint != keyed_request("k", b"a", b"bc").fingerprint
