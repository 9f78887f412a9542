"""Wake-ups between replicas: says that something happened to a run, never what."""

import asyncio
from collections.abc import Callable
from typing import Protocol
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from app.errors import ServiceUnavailable
from app.utils.ids import parse_uuid

log = structlog.get_logger()

POLL_SECONDS = 1.0
CANCEL = "cancel:"


class Bell(Protocol):
    """A channel between replicas."""

    async def ring(self, words: list[str]) -> None:
        """Send; raises `ServiceUnavailable`."""
        ...

    async def next(self, timeout: float) -> str | None:
        """The next word of another replica, or none in that time; raises `ServiceUnavailable`."""
        ...


class _Signal(asyncio.Event):
    """An event that can be kept weakly."""


class Wakeups:
    """Signals by run. Without the channel every signal rings at a fixed pace: polling is the fallback."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._signals: WeakValueDictionary[UUID, _Signal] = WeakValueDictionary()
        self._to_ring: set[str] = set()
        self._work = asyncio.Event()
        self.on_cancel: Callable[[UUID], object] = str
        """Told when another replica was asked to cancel a run."""

    def signal(self, run_id: UUID) -> asyncio.Event:
        """Set at the next word about that run, or when it is time to look."""
        return self._signals.setdefault(run_id, _Signal())

    def ring(self, run_id: UUID) -> None:
        """Tell the other replicas, soon and at most once."""
        self._to_ring.add(str(run_id))
        self._work.set()

    def ring_cancel(self, run_id: UUID) -> None:
        """Tell the owner of a run that it is to be cancelled."""
        self._to_ring.add(f"{CANCEL}{run_id}")
        self._work.set()

    async def send(self) -> None:
        """Ring what there is to ring, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            words, self._to_ring = list(self._to_ring), set()
            try:
                await self._bell.ring(words)
            except ServiceUnavailable:
                log.warning("wakeups.unsent", runs=len(words))

    async def listen(self) -> None:
        """Set signals as words come in, and all of them at the polling pace, until cancelled."""
        while True:
            word = await self._next()
            if word is None:
                self._wake_all()
            else:
                self._hear(word)

    async def _next(self) -> str | None:
        try:
            return await self._bell.next(POLL_SECONDS)
        except ServiceUnavailable:
            await asyncio.sleep(POLL_SECONDS)
            return None

    def _hear(self, word: str) -> None:
        run_id = parse_uuid(word.removeprefix(CANCEL))
        if run_id is None:
            log.warning("wakeups.foreign_word")
        elif word.startswith(CANCEL):
            self.on_cancel(run_id)
        else:
            self._wake(run_id)

    def _wake(self, run_id: UUID) -> None:
        signal = self._signals.pop(run_id, None)
        if signal is not None:
            signal.set()

    def _wake_all(self) -> None:
        for run_id in list(self._signals):
            self._wake(run_id)
