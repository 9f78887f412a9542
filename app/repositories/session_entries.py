"""The transcripts' statements."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert

from app.database import ReadSession, Session, TenantId
from app.errors import StaleOwner
from app.models.conversation import Conversation
from app.models.session_entry import SessionEntry

ROWS = 1000
"""Entries of one statement."""


class SessionEntries:
    """One conversation's transcripts."""

    def __init__(self, session: ReadSession, tenant_id: TenantId, conversation_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._conversation_id = conversation_id

    async def append(self, session: Session, key: str, entries: Sequence[dict[str, Any]], fence: int) -> None:
        """Keep entries in order, each uuid once; refused for a writer whose fence is not the conversation's."""
        await self._check_fence(session, fence)
        rows = [
            {
                "tenant_id": self._tenant_id,
                "conversation_id": self._conversation_id,
                "session_key": key,
                "entry_uuid": entry.get("uuid"),
                "entry": entry,
            }
            for entry in entries
        ]
        for begin in range(0, len(rows), ROWS):
            await session.execute(insert(SessionEntry).values(rows[begin : begin + ROWS]).on_conflict_do_nothing())

    async def _check_fence(self, session: Session, fence: int) -> None:
        current = (
            select(Conversation.fence)
            .where(
                Conversation.tenant_id == self._tenant_id,
                Conversation.conversation_id == self._conversation_id,
            )
            .with_for_update(read=True)
        )
        if await session.scalar(current) != fence:
            raise StaleOwner

    def _of_key(self, key: str) -> Select[dict[str, Any]]:
        return (
            select(SessionEntry.entry)
            .where(
                SessionEntry.tenant_id == self._tenant_id,
                SessionEntry.conversation_id == self._conversation_id,
                SessionEntry.session_key == key,
            )
            .order_by(SessionEntry.position)
        )

    async def list(self, key: str) -> Sequence[dict[str, Any]]:
        """A transcript, oldest entry first."""
        entries: Sequence[dict[str, Any]] = (await self._session.scalars(self._of_key(key))).all()
        return entries

    async def list_subpaths(self, project_key: str, session_id: str) -> Sequence[str]:
        """The subpaths under which a session's sub-agents wrote."""
        prefix = orjson.dumps([project_key, session_id]).decode()[:-1] + ","
        keys = (
            select(SessionEntry.session_key)
            .distinct()
            .where(
                SessionEntry.tenant_id == self._tenant_id,
                SessionEntry.conversation_id == self._conversation_id,
                func.starts_with(SessionEntry.session_key, prefix),
            )
        )
        return [orjson.loads(key)[2] for key in await self._session.scalars(keys)]

    async def exist(self) -> bool:
        """Whether anything was ever written."""
        one = select(SessionEntry.position).where(
            SessionEntry.tenant_id == self._tenant_id, SessionEntry.conversation_id == self._conversation_id
        )
        return await self._session.scalar(one.limit(1)) is not None


def session_key(project_key: str, session_id: str, subpath: str | None) -> str:
    """One text for the three parts of a key."""
    parts = [project_key, session_id] if subpath is None else [project_key, session_id, subpath]
    return orjson.dumps(parts).decode()
