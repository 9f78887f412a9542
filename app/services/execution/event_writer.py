"""Group commit: one task records the waiting events of all live runs of the process, again and again."""

import asyncio
from uuid import UUID

import structlog

from app.database import Database, TenantId
from app.errors import AppError, ServiceUnavailable
from app.repositories import events
from app.repositories.runs import Claim
from app.services.execution.run_log import Batch, RunLog
from app.services.patience import patiently

log = structlog.get_logger()

BATCH_EVENTS = 1000


class EventWriter:
    """Commits as soon as the last commit returned; never waits for a timer while something waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dirty: dict[tuple[TenantId, UUID], RunLog] = {}
        self._work = asyncio.Event()

    def open(self, claim: Claim) -> RunLog:
        """The log of a run that begins."""
        return RunLog(claim, wake=self._mark)

    def _mark(self, run_log: RunLog) -> None:
        if run_log.dirty:
            self._dirty[run_log.claim.tenant_id, run_log.claim.run_id] = run_log
            self._work.set()

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self._commit(self._take())

    def _take(self) -> list[Batch]:
        room = BATCH_EVENTS
        batches = []
        while self._dirty and room > 0:
            run_log = self._dirty.pop(next(iter(self._dirty)))
            batch = run_log.take(room)
            room -= len(batch.rows)
            if batch.rows:
                batches.append(batch)
            self._mark(run_log)
        if self._dirty:
            self._work.set()
        return batches

    async def _commit(self, batches: list[Batch]) -> None:
        if not batches:
            return None
        try:
            refused = await self._append(batches)
        except AppError as error:
            return await self._commit_alone(batches, error)
        for batch in batches:
            claim = batch.log.claim
            if (claim.tenant_id, claim.run_id) in refused:
                batch.log.lose()
            else:
                batch.log.committed(batch)
        return None

    async def _commit_alone(self, batches: list[Batch], error: AppError) -> None:
        if len(batches) > 1 and not isinstance(error, ServiceUnavailable):
            for batch in batches:
                await self._commit([batch])
            return
        for batch in batches:
            log.error("events.not_recorded", run_id=str(batch.log.claim.run_id), exc_info=error)
            batch.log.lose()

    @patiently
    async def _append(self, batches: list[Batch]) -> set[tuple[TenantId, UUID]]:
        async with self._database.events() as connection:
            return await events.append(connection, [row for batch in batches for row in batch.rows])
