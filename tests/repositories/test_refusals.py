"""What the database refuses, and what it is told as."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from app.database import Database, Session, TenantId, new_id
from app.errors import AppError, Conflict, ConversationBusy, NotFound, RuleBroken
from app.models import Conversation, Run
from app.repositories.conversations import Conversations
from app.repositories.models import Models
from app.repositories.tenants import Tenants
from app.services import conversation_service, tenant_service
from app.services.callers import Caller
from tests.rows import add_run

ACME, OTHER = TenantId("acme"), TenantId("other")
MODEL = {"model_id": "m", "display_name": "M", "bedrock_model_id": "v", "context_window": 1, "max_output_tokens": 1}
ANYBODY = Caller("key")


class NoSandboxes:
    """Has none."""

    async def prewarm(self, tenant_id: TenantId, conversation_id: UUID) -> None: ...

    async def discard(self, tenant_id: TenantId, conversation_id: UUID) -> None: ...


async def add_conversation(session: Session, tenant_id: TenantId, model_id: str = "m") -> UUID:
    values = {"conversation_id": new_id(), "user_id": "ann", "model_id": model_id}
    return (await Conversations(session, tenant_id).add(values)).conversation_id


@pytest.fixture
async def conversation(database: Database) -> UUID:
    async with database.platform() as session:
        await Models(session).add(MODEL)
        for tenant in (ACME, OTHER):
            await Tenants(session).add({"tenant_id": tenant, "model_id": "m"})
    async with database.tenant(ACME) as session:
        return await add_conversation(session, ACME)


async def test_taken_ids_conflict(database: Database, conversation: UUID) -> None:
    with pytest.raises(Conflict, match="tenant"):
        async with database.platform() as session:
            await Tenants(session).add({"tenant_id": ACME})
    with pytest.raises(Conflict, match="model"):
        async with database.platform() as session:
            await Models(session).add(MODEL)


async def test_what_is_used_cannot_be_deleted_past_the_rules(database: Database, conversation: UUID) -> None:
    with pytest.raises(Conflict):
        async with database.platform() as session:
            await Models(session).delete("m")
    with pytest.raises(Conflict):
        async with database.platform() as session:
            await Tenants(session).delete(ACME)


async def test_parents_that_have_just_gone_are_named(database: Database, conversation: UUID) -> None:
    with pytest.raises(RuleBroken, match="model"):
        async with database.tenant(ACME) as session:
            await add_conversation(session, ACME, "gone")
    with pytest.raises(NotFound):
        async with database.tenant(TenantId("gone")) as session:
            await add_conversation(session, TenantId("gone"))
    with pytest.raises(RuleBroken, match="model"):
        async with database.platform() as session:
            await Tenants(session).update(ACME, {"model_id": "gone"})


async def test_a_repository_keeps_to_its_tenant_where_the_database_would_not(
    database: Database, conversation: UUID
) -> None:
    async with database.platform() as session:
        others = Conversations(session, OTHER)
        assert await others.find(conversation) is None
        assert await others.count() == 0
        assert await others.delete_all() == []
        assert await Conversations(session, ACME).find(conversation) is not None


async def delete_conversation(database: Database, conversation: UUID, *, force: bool) -> None:
    async with database.tenant(ACME) as session:
        await conversation_service.delete(session, ACME, ANYBODY, conversation, NoSandboxes(), force=force)


async def test_a_run_being_admitted_makes_the_deletion_wait_and_fail(database: Database, conversation: UUID) -> None:
    async with database.tenant(ACME) as session:
        run_id = await add_run(session, ACME, conversation)
        deletion = asyncio.create_task(delete_conversation(database, conversation, force=False))
        done, _ = await asyncio.wait({deletion}, timeout=0.1)
        assert not done
    with pytest.raises(ConversationBusy) as refused:
        await deletion
    assert refused.value.extra == {"run_id": str(run_id)}


async def test_a_run_cannot_begin_in_a_conversation_being_deleted(database: Database, conversation: UUID) -> None:
    async def admit() -> None:
        async with database.tenant(ACME) as session:
            await add_run(session, ACME, conversation)

    async with database.tenant(ACME) as session:
        await conversation_service.delete(session, ACME, ANYBODY, conversation, NoSandboxes(), force=False)
        admission = asyncio.create_task(admit())
        done, _ = await asyncio.wait({admission}, timeout=0.1)
        assert not done
    with pytest.raises(IntegrityError, match="foreign key"):
        await admission


async def delete_tenant(database: Database, conversation: UUID, *, force: bool) -> None:
    async with database.platform() as session:
        await tenant_service.delete(session, ACME, NoSandboxes(), force=force)


@pytest.mark.parametrize("delete", [delete_conversation, delete_tenant])
async def test_a_forced_deletion_and_a_run_that_ends_do_not_lock_each_other_out(
    database: Database, conversation: UUID, delete: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    async with database.tenant(ACME) as session:
        run_id = await add_run(session, ACME, conversation)
    async with database.tenant(ACME) as session:
        await session.execute(update(Run).where(Run.run_id == run_id).values(status="succeeded"))
        deletion = asyncio.create_task(delete(database, conversation, force=True))
        done, _ = await asyncio.wait({deletion}, timeout=0.1)
        assert not done
        await session.execute(update(Conversation).values(total_input_tokens=5))
    await deletion
    async with database.platform_read() as session:
        assert await Conversations(session, ACME).find(conversation) is None


async def test_a_conversation_cannot_begin_in_a_tenant_being_deleted(database: Database, conversation: UUID) -> None:
    async def begin() -> None:
        async with database.tenant(ACME) as session:
            await add_conversation(session, ACME)

    async with database.platform() as session:
        await tenant_service.delete(session, ACME, NoSandboxes(), force=True)
        beginning = asyncio.create_task(begin())
        done, _ = await asyncio.wait({beginning}, timeout=0.1)
        assert not done
    with pytest.raises(AppError) as refused:
        await beginning
    assert isinstance(refused.value, NotFound)


async def test_effects_are_forgotten_when_the_transaction_fails(database: Database, conversation: UUID) -> None:
    class Counting(NoSandboxes):
        discarded = 0

        async def discard(self, tenant_id: TenantId, conversation_id: UUID) -> None:
            self.discarded += 1

    async def delete(sandboxes: Counting, *, fail: bool) -> None:
        async with database.tenant(ACME) as session:
            await conversation_service.delete(session, ACME, ANYBODY, conversation, sandboxes, force=False)
            assert sandboxes.discarded == 0
            if fail:
                raise ZeroDivisionError

    sandboxes = Counting()
    with pytest.raises(ZeroDivisionError):
        await delete(sandboxes, fail=True)
    assert sandboxes.discarded == 0
    await delete(sandboxes, fail=False)
    assert sandboxes.discarded == 1
