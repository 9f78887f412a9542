"""The event log's statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BindParameter, Integer, bindparam, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import ReadSession, Session, TenantId
from app.models.event import Event
from app.schemas.events import Recorded

_APPEND = text(
    """
    WITH wanted AS (
        SELECT * FROM unnest(
            CAST(:tenant_ids AS text[]), CAST(:run_ids AS uuid[]), CAST(:fences AS bigint[]), CAST(:seqs AS int[]),
            CAST(:types AS text[]), CAST(:data AS text[]), CAST(:source_seqs AS bigint[])
        ) AS wanted (tenant_id, run_id, fence, seq, type, data, source_seq)
    ), owned AS (
        SELECT run.tenant_id, run.run_id, run.fence FROM runs AS run
        WHERE run.status IN ('queued', 'running', 'waiting')
          AND (run.tenant_id, run.run_id) IN (SELECT wanted.tenant_id, wanted.run_id FROM wanted)
        ORDER BY run.tenant_id, run.run_id FOR SHARE
    ), written AS (
        INSERT INTO events (tenant_id, run_id, seq, type, data, source_seq)
        SELECT wanted.tenant_id, wanted.run_id, wanted.seq, wanted.type, wanted.data, wanted.source_seq
        FROM wanted JOIN owned USING (tenant_id, run_id, fence)
        ON CONFLICT DO NOTHING
    )
    SELECT DISTINCT wanted.tenant_id, wanted.run_id FROM wanted
    WHERE NOT EXISTS (SELECT FROM owned
                      WHERE (owned.tenant_id, owned.run_id, owned.fence)
                          = (wanted.tenant_id, wanted.run_id, wanted.fence))
    """
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A row to append."""

    tenant_id: TenantId
    run_id: UUID
    fence: int
    seq: int
    type: str
    data: str
    source_seq: int | None


async def append(connection: AsyncConnection, rows: Sequence[NewEvent]) -> set[tuple[TenantId, UUID]]:
    """Append events of many runs in one statement; returns the runs whose fence was stale, of which nothing is written.

    Rows that are there already (the reply to their commit was lost) are passed over.
    """
    columns = {
        "tenant_ids": [row.tenant_id for row in rows],
        "run_ids": [row.run_id for row in rows],
        "fences": [row.fence for row in rows],
        "seqs": [row.seq for row in rows],
        "types": [row.type for row in rows],
        "data": [row.data for row in rows],
        "source_seqs": [row.source_seq for row in rows],
    }
    refused = await connection.execute(_APPEND, columns)
    return {(TenantId(row.tenant_id), row.run_id) for row in refused}


_tenant: BindParameter[str] = bindparam("tenant_id")
_run: BindParameter[UUID] = bindparam("run_id")
_after: BindParameter[int] = bindparam("after")

_OF_RUN = (
    select(Event.seq, Event.type, Event.data)
    .where(Event.tenant_id == _tenant, Event.run_id == _run, Event.seq > _after)
    .order_by(Event.seq)
)
_PAGE = _OF_RUN.limit(bindparam("page_limit", type_=Integer()))
_OF_TYPES = _OF_RUN.where(Event.type.in_(bindparam("types", expanding=True)))
_LAST_SEQS = (
    select(Event.run_id, func.max(Event.seq).label("seq"))
    .where(Event.tenant_id == _tenant, Event.run_id.in_(bindparam("run_ids", expanding=True)))
    .group_by(Event.run_id)
)


class Events:
    """One tenant's events."""

    def __init__(self, session: ReadSession, tenant_id: TenantId) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def list_after(self, run_id: UUID, after: int, limit: int) -> list[Recorded]:
        """The next events behind a cursor."""
        values = {"tenant_id": self._tenant_id, "run_id": run_id, "after": after, "page_limit": limit}
        return [Recorded(*row) for row in await self._session.execute(_PAGE, values)]

    async def list_of_types(self, run_id: UUID, types: Sequence[str], after: int = 0) -> list[Recorded]:
        """A run's events of certain types behind a cursor."""
        values = {"tenant_id": self._tenant_id, "run_id": run_id, "after": after, "types": types}
        return [Recorded(*row) for row in await self._session.execute(_OF_TYPES, values)]

    async def last_seq(self, run_id: UUID) -> int:
        """The number of the newest event; 0 before the first."""
        return (await self.last_seqs([run_id])).get(run_id, 0)

    async def last_seqs(self, run_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The numbers of several runs' newest events."""
        found = await self._session.execute(_LAST_SEQS, {"tenant_id": self._tenant_id, "run_ids": run_ids})
        return {row.run_id: row.seq for row in found}

    async def add(self, session: Session, run_id: UUID, events: Sequence[Recorded]) -> None:
        """Append inside a transaction that holds the run's row."""
        rows = [
            {"tenant_id": self._tenant_id, "run_id": run_id, "seq": seq, "type": kind, "data": data}
            for seq, kind, data in events
        ]
        await session.execute(insert(Event), rows)
