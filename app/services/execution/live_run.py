"""One run, from its admission to its end, as its owner works on it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import structlog

from app.config import Settings
from app.database import Database, UserId
from app.errors import StaleOwner
from app.infrastructure.metrics import AGENT_EXECUTION_DURATION, AGENT_EXECUTIONS
from app.repositories.runs import Claim, Runs
from app.schemas.events import Progress, Recorded
from app.services.agent_plan import agent_options
from app.services.container.agent import AgentFailed
from app.services.container.orchestrator import START_FAULTS, Orchestrator
from app.services.container.place import Place
from app.services.execution import outcome as outcomes
from app.services.execution.admit import Admitted
from app.services.execution.conclude import conclude
from app.services.execution.deliver import deliver
from app.services.execution.outcome import Outcome
from app.services.execution.run_log import RunLog
from app.services.execution.turn import Turn
from app.services.model_gate import BoundRun, OpenCalls, Origin
from app.services.patience import patiently
from runner.protocol import Failed

log = structlog.get_logger()

Stop = Literal["cancel", "drain", "timeout"]

STOPPED: dict[Stop, Outcome] = {
    "cancel": outcomes.CANCELLED,
    "drain": outcomes.INTERRUPTED,
    "timeout": outcomes.TIMED_OUT,
}
INTERRUPT_SECONDS = 6.0
"""The runner ends an interrupted turn within 5 s; after this the sandbox is ended instead."""

MakeTitle = Callable[[Origin, str, float], Awaitable[str | None]]
"""From the account, the user's words and the seconds it may take."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every run is worked on with."""

    settings: Settings
    database: Database
    sandboxes: Orchestrator
    make_title: MakeTitle


class LiveRun:
    """Works on one run. Whoever wants it to stop says so; it always ends by itself."""

    def __init__(self, admitted: Admitted, run_log: RunLog, workshop: Workshop, held: ExitStack) -> None:
        self.admitted = admitted
        self.log = run_log
        self._workshop = workshop
        self._held = held
        self._stop: Stop | None = None
        self._place: Place | None = None
        self._working: asyncio.Task[Outcome] | None = None
        self._title: asyncio.Task[str | None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._spoken = False
        """Whether its turn is over: what it used is still to be learnt, and nothing left to be stopped."""

    @property
    def claim(self) -> Claim:
        """The run as it is ours."""
        return self.admitted.claim

    def stop(self, why: Stop) -> None:
        """Have it end soon; the first reason counts."""
        if self._stop is not None:
            return
        self._stop = why
        if self._place is not None and self._working is not None:
            self._patience = asyncio.get_running_loop().call_later(INTERRUPT_SECONDS, self._working.cancel)
            self._place.agent.interrupt()
        elif self._working is not None and not self._spoken:
            self._working.cancel()

    def lose(self) -> None:
        """It belongs to another replica now: stop without a word."""
        self.log.lose()
        if self._working is not None:
            self._working.cancel()

    def release_files(self) -> None:
        """Close the files it was given, if it has not done so."""
        self._held.close()

    async def drive(self) -> None:
        """Work until the run has ended."""
        begun = time.monotonic()
        claim = self.claim
        structlog.contextvars.bind_contextvars(run_id=str(claim.run_id), tenant_id=claim.tenant_id)
        try:
            outcome = await self._outcome()
            self.release_files()
            await self._conclude(outcome)
        except StaleOwner:
            log.warning("run.lost")
            return
        finally:
            await self._leave_title()
        seconds = time.monotonic() - begun
        AGENT_EXECUTIONS.labels(outcome.status).inc()
        AGENT_EXECUTION_DURATION.observe(seconds)
        log.info("run.ended", status=outcome.status, seconds=round(seconds, 3))

    async def give_up(self) -> None:
        """End it with what is certain, after something unforeseen."""
        with suppress(StaleOwner):
            self.log.concluded(await self._write_end(outcomes.BROKEN, bare=True))

    async def _outcome(self) -> Outcome:
        if self.admitted.context_full:
            return outcomes.CONTEXT_FULL
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._workshop.settings.runs.run_timeout, self.stop, "timeout")
        self._working = asyncio.create_task(self._work(), name="work")
        if self._stop is not None:
            self._working.cancel()
        try:
            outcome = await self._working
        except asyncio.CancelledError:
            if self._stop is None:
                raise
            return STOPPED[self._stop]
        finally:
            timer.cancel()
        if self._stop is None or outcome.status == "succeeded":
            return outcome
        return replace(STOPPED[self._stop], turns=outcome.turns, context_tokens=outcome.context_tokens)

    async def _work(self) -> Outcome:
        plan = self.admitted.plan
        self.log.append([Progress(type="setup", message="Preparing the sandbox")], datetime.now(UTC))
        options = agent_options(plan, self.admitted.wishes, self._workshop.settings.models.anthropic_haiku_model)
        async with AsyncExitStack() as held:
            try:
                place = await held.enter_async_context(self._workshop.sandboxes.lend(plan, options))
            except START_FAULTS as error:
                return _not_started(error)
            return await self._turn(place)

    async def _turn(self, place: Place) -> Outcome:
        claim, plan = self.claim, self.admitted.plan
        if not self.admitted.at_once:
            await self._mark_running()
        try:
            await self._deliver(place)
        except OSError as error:
            log.warning("run.files_not_written", exc_info=error)
            return outcomes.NOT_DELIVERED
        run = BoundRun(claim.run_id, UserId(plan.user_id), plan.model.model_id)
        place.begin_turn(run, claim.fence)
        self._place = place
        try:
            return await Turn(self.admitted, self.log, place, partial(self._begin_title, place.binding.origin)).relay()
        finally:
            self._place, self._spoken = None, True
            if self._patience is not None:
                self._patience.cancel()
            await place.end_turn(run)

    async def _deliver(self, place: Place) -> None:
        if self.admitted.files:
            workspace = self._workshop.sandboxes.workspace(place)
            await deliver(self.admitted.files, workspace, place.sandbox.peer_uid, self.log)
            await asyncio.to_thread(self.release_files)

    @patiently
    async def _mark_running(self) -> None:
        async with self._workshop.database.tenant(self.claim.tenant_id) as session:
            if not await Runs(session, self.claim.tenant_id).mark_running(session, self.claim):
                raise StaleOwner

    def _begin_title(self, origin: Origin) -> None:
        if self.admitted.first_turn and self._title is None:
            deadline = self._workshop.settings.runs.title_timeout
            own = replace(origin, calls=OpenCalls())
            words = self._workshop.make_title(own, self.admitted.prompt, deadline)
            self._title = asyncio.ensure_future(words)

    async def _leave_title(self) -> None:
        if self._title is not None and not self._title.done():
            self._title.cancel()
            await asyncio.wait([self._title])

    async def _conclude(self, outcome: Outcome) -> None:
        await self.log.settled()
        title = await self._title if self._title is not None else None
        last = await self._write_end(replace(outcome, title=title))
        self.log.concluded(last)

    @patiently
    async def _write_end(self, outcome: Outcome, *, bare: bool = False) -> tuple[Recorded, ...]:
        window = self.admitted.plan.model.context_window
        async with self._workshop.database.tenant(self.claim.tenant_id) as session:
            return await conclude(session, self.claim, outcome, window, bare=bare)


def _not_started(error: Exception) -> Outcome:
    log.warning("run.no_sandbox", exc_info=error)
    if isinstance(error, AgentFailed) and isinstance(error.failure, Failed):
        return outcomes.of_failure(error.failure)
    return outcomes.NO_SANDBOX
