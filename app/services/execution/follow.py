"""Reading the event log: first view, second viewer, reconnect and replay are this one loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from uuid import UUID

from app.database import Database, TenantId
from app.models.run import LIVE
from app.repositories.events import Events
from app.repositories.runs import Runs
from app.schemas.events import TERMINAL, Recorded
from app.services.execution.run_log import RunLog
from app.services.execution.wakeups import Wakeups

PAGE = 500

FindLog = Callable[[TenantId, UUID], RunLog | None]


class Follower:
    """Follows runs from a cursor, wherever they are worked on."""

    def __init__(self, database: Database, live: FindLog, wakeups: Wakeups, draining: asyncio.Event) -> None:
        self._database = database
        self._live = live
        self._wakeups = wakeups
        self._draining = draining

    async def follow(
        self, tenant_id: TenantId, run_id: UUID, after: int, idle: float
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield events in order until the terminal one; an empty sequence after each `idle` seconds without any."""
        cursor, told_at = after, time.monotonic()
        while True:
            run_log = self._live(tenant_id, run_id)
            signal = run_log.signal if run_log else self._wakeups.signal(run_id)
            events = await self._after(run_log, tenant_id, run_id, cursor)
            if events:
                yield events
                cursor, told_at = events[-1].seq, time.monotonic()
                if events[-1].type == TERMINAL:
                    return
                continue
            if run_log is None and (self._draining.is_set() or await self.is_over(tenant_id, run_id, cursor)):
                return
            await _woken(signal, told_at + idle - time.monotonic())
            if time.monotonic() - told_at >= idle:
                yield ()
                told_at = time.monotonic()

    async def page(self, tenant_id: TenantId, run_id: UUID, after: int, limit: int) -> Sequence[Recorded]:
        """What is recorded behind a cursor now."""
        async with self._database.tenant_read(tenant_id) as session:
            return await Events(session, tenant_id).list_after(run_id, after, limit)

    async def _after(
        self, run_log: RunLog | None, tenant_id: TenantId, run_id: UUID, cursor: int
    ) -> Sequence[Recorded]:
        recent = run_log.since(cursor) if run_log else None
        return await self.page(tenant_id, run_id, cursor, PAGE) if recent is None else recent

    async def is_over(self, tenant_id: TenantId, run_id: UUID, cursor: int) -> bool:
        """Whether nothing will ever follow behind a cursor: the run ended and was told of, or was deleted."""
        async with self._database.tenant_read(tenant_id) as session:
            run = await Runs(session, tenant_id).find(run_id)
            last = await Events(session, tenant_id).last_seq(run_id)
        return run is None or (run.status not in LIVE and last <= cursor)


async def _woken(signal: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(signal.wait(), max(seconds, 0))
