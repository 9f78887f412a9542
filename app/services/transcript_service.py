"""The agents' transcripts: kept in PostgreSQL, handed back whole and mended."""

from typing import Any
from uuid import UUID

from app.database import Database, TenantId
from app.repositories.session_entries import SessionEntries, session_key
from app.services.patience import patiently
from runner.protocol import SessionKey


class Transcripts:
    """One conversation's transcripts, for the store of its agent."""

    def __init__(self, database: Database, tenant_id: TenantId, conversation_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._conversation_id = conversation_id

    @patiently
    async def append(self, key: SessionKey, entries: list[dict[str, Any]], fence: int) -> None:
        """Keep entries, however long the database is away; raises `StaleOwner` for a fence that is not the newest."""
        if not entries:
            return
        async with self._database.tenant(self._tenant_id) as session:
            store = SessionEntries(session, self._tenant_id, self._conversation_id)
            await store.append(session, _key(key), entries, fence)

    async def load(self, key: SessionKey) -> list[dict[str, Any]] | None:
        """A transcript that can be resumed, or none when it was never written."""
        async with self._database.tenant_read(self._tenant_id) as session:
            store = SessionEntries(session, self._tenant_id, self._conversation_id)
            return list(await store.list(_key(key))) or None

    async def subkeys(self, key: SessionKey) -> list[str]:
        """The subpaths under which the session's sub-agents wrote."""
        async with self._database.tenant_read(self._tenant_id) as session:
            store = SessionEntries(session, self._tenant_id, self._conversation_id)
            return list(await store.list_subpaths(key.project_key, key.session_id))


def _key(key: SessionKey) -> str:
    return session_key(key.project_key, key.session_id, key.subpath)
