"""The agents' transcripts in PostgreSQL, measured by the SDK's own rules for stores."""

from typing import Any

import pytest
from claude_agent_sdk import SessionStore
from claude_agent_sdk.testing import run_session_store_conformance
from sqlalchemy import func, select, update

from app.database import Database, TenantId, new_id
from app.errors import StaleOwner
from app.models import Conversation, Model, SessionEntry, Tenant
from app.services.transcript_service import Transcripts
from runner.protocol import SessionKey

ACME = TenantId("acme")
KEY = SessionKey(project_key="p", session_id="s")


class Store(SessionStore):
    """A conversation's transcripts, as the SDK asks for them."""

    def __init__(self, transcripts: Transcripts) -> None:
        self._transcripts = transcripts

    async def append(self, key: Any, entries: Any) -> None:
        await self._transcripts.append(SessionKey(**key), entries, fence=1)

    async def load(self, key: Any) -> Any:
        return await self._transcripts.load(SessionKey(**key))

    async def list_subkeys(self, key: Any) -> list[str]:
        return await self._transcripts.subkeys(SessionKey(**key))


async def new_transcripts(database: Database, tenant_id: TenantId = ACME) -> Transcripts:
    """Those of a new conversation, the first owner of which is at work."""
    conversation_id = new_id()
    row = {"conversation_id": conversation_id, "user_id": "ann", "model_id": "sonnet", "fence": 1}
    async with database.tenant(tenant_id) as session:
        session.add(Conversation(tenant_id=tenant_id, **row))
    return Transcripts(database, tenant_id, conversation_id)


@pytest.fixture
async def stored(database: Database) -> Database:
    """A database with two tenants and a model."""
    sizes = {"context_window": 10_000, "max_output_tokens": 1000}
    async with database.platform() as session:
        session.add(Model(model_id="sonnet", display_name="Sonnet", bedrock_model_id="vendor.sonnet", **sizes))
    for tenant_id in (ACME, TenantId("other")):
        async with database.platform() as session:
            session.add(Tenant(tenant_id=tenant_id))
    return database


async def test_the_store_keeps_to_every_rule_of_the_sdk(stored: Database) -> None:
    async def fresh() -> Store:
        return Store(await new_transcripts(stored))

    await run_session_store_conformance(fresh)


async def test_an_entry_that_comes_again_is_kept_once_and_one_without_an_id_each_time(stored: Database) -> None:
    transcripts = await new_transcripts(stored)
    named, nameless = {"uuid": "a", "type": "user"}, {"type": "summary"}
    await transcripts.append(KEY, [named, nameless], 1)
    await transcripts.append(KEY, [named, nameless, {"uuid": "b", "type": "user"}], 1)
    assert await transcripts.load(KEY) == [named, nameless, nameless, {"uuid": "b", "type": "user"}]


async def test_entries_come_back_as_they_were_whatever_they_hold(stored: Database) -> None:
    transcripts = await new_transcripts(stored)
    entries = [
        {"uuid": "a", "z": 1, "a": 2, "text": "\x00 \u2028 😀 \\u0000", "deep": [{"n": 1e300, "x": None}] * 3},
        {"uuid": "b", "long": "x" * 1_000_000},
        *({"uuid": f"many {number}"} for number in range(5000)),
    ]
    await transcripts.append(KEY, entries, 1)
    assert await transcripts.load(KEY) == entries


async def test_only_the_newest_owner_writes(stored: Database) -> None:
    transcripts = await new_transcripts(stored)
    async with stored.tenant(ACME) as session:
        await session.execute(update(Conversation).values(fence=2))
    for fence in (1, 3):
        with pytest.raises(StaleOwner):
            await transcripts.append(KEY, [{"uuid": "late"}], fence)
    await transcripts.append(KEY, [{"uuid": "in time"}], 2)
    assert await transcripts.load(KEY) == [{"uuid": "in time"}]


async def test_conversations_and_tenants_do_not_meet(stored: Database) -> None:
    ours, theirs = await new_transcripts(stored), await new_transcripts(stored, TenantId("other"))
    await ours.append(KEY, [{"uuid": "a"}], 1)
    assert await theirs.load(KEY) is None
    assert await (await new_transcripts(stored)).load(KEY) is None
    async with stored.tenant_read(TenantId("other")) as session:
        assert await session.scalar(select(func.count()).select_from(SessionEntry)) == 0
