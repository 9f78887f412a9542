"""Runs: begun, followed, cancelled, and brought to an end when the server stops."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

import structlog

from app.database import TenantId
from app.errors import Conflict, ConversationBusy, NotFound, ServiceUnavailable
from app.models.run import LIVE
from app.repositories.runs import Runs
from app.schemas.events import Recorded
from app.services.execution.admit import Admitted, Application, Repeated, admit
from app.services.execution.event_writer import EventWriter
from app.services.execution.follow import Follower
from app.services.execution.live_run import LiveRun, Workshop
from app.services.execution.run_log import RunLog
from app.services.execution.wakeups import Wakeups

log = structlog.get_logger()

Key = tuple[TenantId, UUID]


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that a request began, now or when it came before."""

    run_id: UUID
    replayed: bool


class ExecuteService:
    """The runs of this replica, and the way to follow any."""

    def __init__(self, workshop: Workshop, writer: EventWriter, wakeups: Wakeups, owner: str) -> None:
        self._workshop = workshop
        self._writer = writer
        self._wakeups = wakeups
        self._owner = owner
        self._live: dict[Key, LiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = asyncio.Event()
        self._follower = Follower(workshop.database, self._log_of, wakeups, self.draining)
        wakeups.on_cancel = self._cancel_here

    @property
    def live(self) -> Collection[LiveRun]:
        """The runs this replica works on."""
        return list(self._live.values())

    def _log_of(self, tenant_id: TenantId, run_id: UUID) -> RunLog | None:
        live = self._live.get((tenant_id, run_id))
        return live.log if live else None

    async def start(self, asked: Application) -> Begun:
        """Begin a run and go on with it in the background; raises what refuses it."""
        if self.draining.is_set():
            raise ServiceUnavailable("The server is about to end.")
        at_once = self._workshop.sandboxes.is_ready(asked.tenant_id, asked.conversation_id)
        try:
            async with self._workshop.database.tenant(asked.tenant_id) as session:
                admitted = await admit(session, asked, self._workshop.settings, self._owner, at_once=at_once)
        except ConversationBusy as error:
            raise await self._busy(asked, error) from error
        if isinstance(admitted, Repeated):
            return await self._repeated(asked.tenant_id, admitted.run_id)
        self._launch(admitted, asked.held.pop_all())
        return Begun(admitted.claim.run_id, replayed=False)

    def _launch(self, admitted: Admitted, held: ExitStack) -> None:
        key = (admitted.claim.tenant_id, admitted.claim.run_id)
        live = LiveRun(admitted, self._writer.open(admitted.claim), self._workshop, held)
        self._live[key] = live
        task = asyncio.create_task(_carried(live), name=f"run {admitted.claim.run_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(key, ended))
        if self.draining.is_set():
            live.stop("drain")

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        live = self._live.pop(key)
        live.release_files()
        live.log.close()
        self._wakeups.ring(key[1])
        if not task.cancelled() and task.exception() is not None:
            log.error("run.left", run_id=str(key[1]), exc_info=task.exception())

    async def _busy(self, asked: Application, error: ConversationBusy) -> ConversationBusy:
        if "run_id" in error.extra:
            return error
        async with self._workshop.database.tenant_read(asked.tenant_id) as session:
            live = await Runs(session, asked.tenant_id).find_live(asked.conversation_id)
        return ConversationBusy(run_id=str(live.run_id)) if live else ConversationBusy()

    async def _repeated(self, tenant_id: TenantId, run_id: UUID) -> Begun:
        async with self._workshop.database.tenant_read(tenant_id) as session:
            run = await Runs(session, tenant_id).find(run_id)
        if run is not None and run.status in LIVE:
            raise ConversationBusy("The same request is still being worked on.", run_id=str(run_id))
        return Begun(run_id, replayed=True)

    def follow(self, tenant_id: TenantId, run_id: UUID, after: int) -> AsyncIterator[Sequence[Recorded]]:
        """The run's events behind a cursor until its last; empty sequences while nothing happens."""
        return self._follower.follow(tenant_id, run_id, after, self._workshop.settings.runs.ping_seconds)

    async def page(self, tenant_id: TenantId, run_id: UUID, after: int, limit: int) -> list[Recorded]:
        """What is recorded behind a cursor now."""
        return list(await self._follower.page(tenant_id, run_id, after, limit))

    async def is_over(self, tenant_id: TenantId, run_id: UUID, cursor: int) -> bool:
        """Whether nothing will ever follow behind a cursor."""
        return await self._follower.is_over(tenant_id, run_id, cursor)

    async def cancel(self, tenant_id: TenantId, run_id: UUID) -> None:
        """Have a run end soon, wherever it is worked on; raises `Conflict` when it ended or is being cancelled."""
        async with self._workshop.database.tenant(tenant_id) as session:
            runs = Runs(session, tenant_id)
            run = await runs.find_for_update(run_id)
            if run is None:
                raise NotFound
            if run.status not in LIVE:
                raise Conflict("The run has ended.")
            if run.cancel_requested_at is not None:
                raise Conflict("The run is being cancelled already.")
            await runs.request_cancel(session, run)
        if not self._cancel_here(run_id):
            self._wakeups.ring_cancel(run_id)

    def _cancel_here(self, run_id: UUID) -> bool:
        here = [live for live in self._live.values() if live.claim.run_id == run_id]
        for live in here:
            live.stop("cancel")
        return bool(here)

    async def drain(self) -> None:
        """Take no more runs, end the live ones as interrupted, and return when all have ended."""
        self.draining.set()
        for live in self.live:
            live.stop("drain")
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """End what is left without waiting for it to end well."""
        await asyncio.gather(*(_cancelled(task) for task in set(self._tasks)))


async def _carried(live: LiveRun) -> None:
    """Drive a run; whatever breaks it, it ends."""
    driving = asyncio.create_task(live.drive(), name="drive")
    try:
        await asyncio.wait([driving])
    finally:
        driving.cancel()
    fault = None if driving.cancelled() else driving.exception()
    if fault is not None:
        log.error("run.broken", run_id=str(live.claim.run_id), exc_info=fault)
        await live.give_up()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
