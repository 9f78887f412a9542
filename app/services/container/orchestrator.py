"""Who gets which sandbox: a conversation keeps its own between turns, and gets one before its first."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog

from app.config import Sandboxes as SandboxSettings
from app.database import TenantId
from app.errors import AppError, ServiceUnavailable
from app.infrastructure.metrics import (
    WORKSPACE_ACTIVE_CONTAINERS,
    WORKSPACE_CONTAINER_STARTUP,
    WORKSPACE_REQUESTS,
    WORKSPACE_WARM_POOL_ACQUIRE,
    WORKSPACE_WARM_POOL_SIZE,
)
from app.infrastructure.runner_link import LinkLost
from app.infrastructure.sandboxes.contract import SandboxUnavailable
from app.services.agent_plan import Plan, fits
from app.services.container.agent import AgentFailed
from app.services.container.place import Key, Place
from app.services.container.starter import Starter
from runner.protocol import AgentOptions

log = structlog.get_logger()

T = TypeVar("T")

Describe = Callable[[TenantId, UUID], Awaitable[tuple[Plan, AgentOptions] | None]]
"""What a conversation's agent would be started with, or none when it can have none."""

START_FAULTS = (SandboxUnavailable, LinkLost, AgentFailed, AppError, OSError)


class Orchestrator:
    """Hands out places and takes them back."""

    def __init__(self, starter: Starter, describe: Describe, settings: SandboxSettings) -> None:
        self._starter = starter
        self._describe = describe
        self._settings = settings
        self._places: dict[Key, Place] = {}
        self._starting: dict[Key, asyncio.Task[Place]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._preparing: set[asyncio.Task[Any]] = set()
        self._freed = asyncio.Condition()
        self._slots = 0
        """Sandboxes that live or are being made."""
        self._wanted: set[Key] = set()
        """Conversations whose run waits for its place."""
        self._closing = False
        self._failing = False
        """Whether the newest attempt to start a sandbox failed."""

    async def check(self) -> None:
        """Raises `ServiceUnavailable` when sandboxes cannot be made."""
        if self._failing:
            raise ServiceUnavailable

    @property
    def counts(self) -> tuple[int, int]:
        """Sandboxes that wait for a first message, and sandboxes that live."""
        return sum(not place.used for place in self._places.values()), len(self._places)

    async def prewarm(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        """Begin to make a new conversation's place, unless enough are waiting; returns at once."""
        waiting = self.counts[0] + len(self._starting)
        crowded = len(self._places) + len(self._starting) >= self._settings.sandbox_max
        if waiting < self._settings.sandbox_prewarm_max and not crowded and not self._closing:
            self._prepare(self._warm((tenant_id, conversation_id)), "prewarm")

    async def _warm(self, key: Key) -> None:
        described = await self._describe(*key)
        if described is None:
            return
        with suppress(*START_FAULTS):
            await self._ensure(key, *described)

    @asynccontextmanager
    async def lend(self, plan: Plan, options: AgentOptions) -> AsyncIterator[Place]:
        """The conversation's place with its agent open, for one run; raises one of `START_FAULTS`."""
        place = await self._reserved(plan, options)
        try:
            place.binding.open_between_runs = True
            if not _serves(place, plan, options):
                await place.agent.open(options)
            yield place
        finally:
            await self._take_back(place)

    async def _reserved(self, plan: Plan, options: AgentOptions) -> Place:
        begun = time.monotonic()
        key = (plan.tenant_id, plan.conversation_id)
        fit = self._fit(key)
        self._wanted.add(key)
        try:
            place = await self._ensure(key, plan, options)
        finally:
            self._wanted.discard(key)
        WORKSPACE_REQUESTS.labels("cold" if fit is None else "hot" if fit.used else "warm").inc()
        place.busy = place.used = True
        self._count()
        WORKSPACE_WARM_POOL_ACQUIRE.observe(time.monotonic() - begun)
        return place

    async def _take_back(self, place: Place) -> None:
        place.busy = False
        place.used_at = time.monotonic()
        async with self._freed:
            self._freed.notify_all()
        if not place.alive or not place.clean:
            self._spawn(self._end(place), "end")

    def is_ready(self, tenant_id: TenantId, conversation_id: UUID) -> bool:
        """Whether the conversation's agent is up and idle."""
        return self._fit((tenant_id, conversation_id)) is not None

    def workspace(self, place: Place) -> Path:
        """The host's view of a place's files."""
        return self._starter.workspace(*place.key)

    def _fit(self, key: Key) -> Place | None:
        place = self._places.get(key)
        fit = place is not None and place.alive and place.clean and not place.busy
        return place if fit else None

    async def _ensure(self, key: Key, plan: Plan, options: AgentOptions) -> Place:
        place = self._fit(key)
        if place is not None:
            return place
        starting = self._starting.get(key)
        if starting is None:
            starting = self._prepare(self._start(key, plan, options), "start sandbox")
            self._starting[key] = starting
        return await asyncio.shield(starting)

    async def _start(self, key: Key, plan: Plan, options: AgentOptions) -> Place:
        begun = time.monotonic()
        try:
            await self._take_slot(key)
            place = await self._in_slot(plan, options)
        except START_FAULTS:
            self._failing = True
            WORKSPACE_REQUESTS.labels("failed").inc()
            raise
        finally:
            del self._starting[key]
        self._failing = False
        self._places[key] = place
        self._count()
        place.receiving.add_done_callback(lambda _: self._fallen(place))
        WORKSPACE_CONTAINER_STARTUP.observe(time.monotonic() - begun)
        return place

    async def _in_slot(self, plan: Plan, options: AgentOptions) -> Place:
        try:
            return await self._opened(plan, options)
        except BaseException:
            await asyncio.shield(self._free_slot())
            raise

    async def _opened(self, plan: Plan, options: AgentOptions) -> Place:
        place = await self._starter.start(plan)
        try:
            await asyncio.wait_for(place.agent.open(options), self._settings.sandbox_start_timeout)
        except BaseException as error:
            await asyncio.shield(self._starter.end(place))
            if isinstance(error, TimeoutError):
                raise ServiceUnavailable("The agent did not start in time.") from error
            raise
        return place

    def _count(self) -> None:
        waiting, living = self.counts
        WORKSPACE_WARM_POOL_SIZE.set(waiting)
        WORKSPACE_ACTIVE_CONTAINERS.set(living)

    async def _take_slot(self, key: Key) -> None:
        former = self._places.get(key)
        if former is not None:
            await self._end(former)
        while True:
            async with self._freed:
                await self._freed.wait_for(lambda: self._slots < self._settings.sandbox_max or self._idle)
                if self._slots < self._settings.sandbox_max:
                    self._slots += 1
                    return
                longest_idle = min(self._idle, key=lambda place: (place.used, place.used_at))
            await self._end(longest_idle)

    async def _free_slot(self) -> None:
        async with self._freed:
            self._slots -= 1
            self._freed.notify_all()

    @property
    def _idle(self) -> list[Place]:
        return [place for place in self._places.values() if not place.busy and place.key not in self._wanted]

    def _fallen(self, place: Place) -> None:
        if not place.busy and not self._closing:
            self._spawn(self._end(place), "end")

    async def _end(self, place: Place) -> None:
        if self._places.get(place.key) is place:
            del self._places[place.key]
            self._count()
        async with place.lock:
            if place.ended:
                return
            place.ended = True
            try:
                await self._starter.end(place)
            finally:
                await self._free_slot()

    async def discard(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        """End a deleted conversation's place and remove its files; returns at once."""
        self._spawn(self._discard((tenant_id, conversation_id)), "discard")

    async def _discard(self, key: Key) -> None:
        starting = self._starting.get(key)
        if starting is not None:
            await asyncio.wait([starting])
        place = self._places.get(key)
        if place is not None:
            await self._end(place)
        await self._starter.forget(key)

    async def end_idle(self) -> None:
        """End what nobody used for long."""
        oldest = time.monotonic() - self._settings.sandbox_idle_seconds
        for place in list(self._places.values()):
            if not place.busy and place.used_at < oldest:
                log.info("sandbox.idle", sandbox=place.sandbox.sandbox_id)
                await self._end(place)

    async def close(self) -> None:
        """Start nothing more, and end every place."""
        self._closing = True
        for task in self._preparing:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(*(self._end(place) for place in list(self._places.values())))

    def _prepare(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """As `_spawn`, for what is given up when the program ends."""
        task = self._spawn(work, name)
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)
        return task

    def _spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.warning("sandbox.task_failed", task=task.get_name(), exc_info=error)


def _serves(place: Place, plan: Plan, options: AgentOptions) -> bool:
    """Whether its agent has these options and knows every turn so far, also those of other replicas."""
    opened = place.agent.opened
    return opened is not None and fits(opened, options) and place.agent.fence == plan.fence
