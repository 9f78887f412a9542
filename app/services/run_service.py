"""What can be read and asked of runs."""

from dataclasses import dataclass
from uuid import UUID

import orjson

from app.database import Database, ReadSession, TenantId
from app.errors import InvalidInput, NotFound
from app.models.run import Run as Row
from app.repositories.conclusions import KINDS
from app.repositories.events import Events
from app.repositories.runs import Runs
from app.schemas.events import Usage
from app.schemas.runs import EventPage, RecordedEvent, Run, RunPage, RunQuery
from app.services import conversation_service
from app.services.callers import Caller
from app.services.execute_service import ExecuteService


@dataclass(frozen=True, slots=True)
class RunPath:
    """A run as somebody names it."""

    caller: Caller
    tenant_id: TenantId
    conversation_id: UUID
    run_id: UUID


@dataclass(frozen=True, slots=True)
class Followed:
    """A run whose events are wanted, behind a cursor."""

    tenant_id: TenantId
    run_id: UUID
    after: int


async def get(session: ReadSession, path: RunPath) -> Run:
    """One run of a conversation the caller may know of. Raises NotFound."""
    await conversation_service.get(session, path.tenant_id, path.caller, path.conversation_id)
    row = await Runs(session, path.tenant_id).find(path.run_id)
    if row is None or row.conversation_id != path.conversation_id:
        raise NotFound
    return _shown(row, await Events(session, path.tenant_id).last_seq(path.run_id))


async def read(database: Database, path: RunPath) -> Run:
    """As `get`, in a transaction of its own."""
    async with database.tenant_read(path.tenant_id) as session:
        return await get(session, path)


async def list_runs(
    session: ReadSession, tenant_id: TenantId, caller: Caller, conversation_id: UUID, query: RunQuery
) -> RunPage:
    """A conversation's runs, newest first."""
    await conversation_service.get(session, tenant_id, caller, conversation_id)
    rows, total = await Runs(session, tenant_id).list(conversation_id, query.limit, query.offset)
    last = await Events(session, tenant_id).last_seqs([row.run_id for row in rows])
    items = [_shown(row, last.get(row.run_id, 0)) for row in rows]
    return RunPage(items=items, total=total, limit=query.limit, offset=query.offset)


async def followed(session: ReadSession, path: RunPath, cursor: str | None) -> Followed:
    """A run and where to begin in it. Raises NotFound, and InvalidInput for a cursor that was never given out."""
    run = await get(session, path)
    if cursor is None:
        return Followed(path.tenant_id, path.run_id, 0)
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 10 or int(cursor) > run.last_event_id:
        raise InvalidInput("The event id to go on after is none of this run's.")
    return Followed(path.tenant_id, path.run_id, int(cursor))


async def event_page(execution: ExecuteService, wanted: Followed, limit: int) -> EventPage:
    """What is recorded behind a cursor, as JSON."""
    events = await execution.page(wanted.tenant_id, wanted.run_id, wanted.after, limit)
    items = [RecordedEvent(id=event.seq, event=event.type, data=orjson.loads(event.data)) for event in events]
    cursor = events[-1].seq if events else wanted.after
    ended = await execution.is_over(wanted.tenant_id, wanted.run_id, cursor)
    return EventPage(items=items, last_event_id=cursor, ended=ended)


async def cancel(database: Database, execution: ExecuteService, path: RunPath) -> Run:
    """Have a run end soon. Raises NotFound, and Conflict when it ended or is being cancelled."""
    await read(database, path)
    await execution.cancel(path.tenant_id, path.run_id)
    return await read(database, path)


def _shown(row: Row, last_event_id: int) -> Run:
    tokens = {kind: getattr(row, kind) for kind in KINDS}
    return Run(
        run_id=row.run_id,
        conversation_id=row.conversation_id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        model_id=row.model_id,
        status=row.status,
        error_type=row.error_type,
        message=row.message,
        usage=Usage(**tokens, total_tokens=sum(tokens.values())),
        cost_usd=row.cost_usd,
        turn_count=row.turn_count,
        started_at=row.started_at,
        finished_at=row.finished_at,
        last_event_id=last_event_id,
        versions=row.versions,
        created_at=row.created_at,
    )
