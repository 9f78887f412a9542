"""A live agent in its sandbox, as the rest of the backend speaks to it."""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from app.errors import AppError
from app.infrastructure.runner_link import LinkLost, RunnerLink
from app.services.transcript_service import Transcripts
from runner.protocol import (
    MAX_LINE,
    AgentOptions,
    AnyFrame,
    Failed,
    Interrupt,
    Open,
    Opened,
    Prompt,
    StoreAppend,
    StoreLoad,
    StoreReply,
    StoreSubkeys,
    TurnEnded,
)

log = structlog.get_logger()

FRAMES = 256
"""Frames that may wait for the run to take them; the runner waits when more come."""
REPLY_BYTES = MAX_LINE // 2


@dataclass(frozen=True, slots=True)
class Gone:
    """The connection to the agent is lost; nothing follows."""

    reason: str


class AgentFailed(Exception):
    """The agent could not be started."""

    def __init__(self, failure: Failed | Gone) -> None:
        self.failure = failure
        super().__init__(str(failure))


class MemoryLost(Exception):
    """Something the agent has to remember could not be stored."""


class Agent:
    """Sorts what the runner sends: transcripts into the database, everything else to the run."""

    def __init__(self, link: RunnerLink, transcripts: Transcripts) -> None:
        self.opened: AgentOptions | None = None
        self.fence = 0
        """The fencing number of the newest turn it knows, under which its transcript is written."""
        self._link = link
        self._transcripts = transcripts
        self._frames: asyncio.Queue[AnyFrame | Gone] = asyncio.Queue(FRAMES)
        self._appends: asyncio.Queue[StoreAppend] = asyncio.Queue(FRAMES)
        self._unstored: deque[int] = deque()
        self._listening = False
        """Whether somebody waits for frames: from a command until what ends it."""
        self._memory_lost = False
        self._last_frame = self._recorded = self._acknowledged = 0

    async def run(self) -> None:
        """Receive until the connection ends."""
        ways = [
            asyncio.create_task(self._receive(), name="frames"),
            asyncio.create_task(self._store(), name="transcripts"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            self._give_up_appends()
            self.opened = None
        reasons = [repr(way.exception()) for way in ways if not way.cancelled()]
        log.info("agent.gone", reasons=reasons)
        await self._frames.put(Gone("; ".join(reasons)))

    def _give_up_appends(self) -> None:
        while not self._appends.empty():
            self._memory_lost = True
            self._appends.get_nowait()
            self._appends.task_done()

    async def _receive(self) -> None:
        try:
            while True:
                await self._sort(await self._link.receive())
        except LinkLost:
            await self._appends.join()
            raise

    async def _sort(self, frame: AnyFrame) -> None:
        if isinstance(frame, StoreAppend):
            self._unstored.append(frame.seq)
            await self._appends.put(frame)
        elif isinstance(frame, StoreLoad | StoreSubkeys):
            await self._answer(frame)
        elif self._listening:
            self._last_frame = frame.seq
            self._listening = not isinstance(frame, Opened | TurnEnded | Failed)
            await self._frames.put(frame)
        elif isinstance(frame, Failed):
            log.warning("agent.failed_idle", kind=frame.kind)
            self.opened = None

    async def _store(self) -> None:
        while True:
            frame = await self._appends.get()
            try:
                await self._stored(frame)
            finally:
                self._unstored.popleft()
                self._appends.task_done()
            if self._recorded >= self._last_frame:
                self.acknowledge(frame.seq)

    async def _stored(self, frame: StoreAppend) -> None:
        """Behind a hole nothing is stored: a transcript with one must not be gone on with."""
        if self._memory_lost:
            return
        try:
            await self._transcripts.append(frame.key, frame.entries, self.fence)
        except AppError as error:
            self._memory_lost = True
            log.error("transcript.not_stored", entries=len(frame.entries), reason=error.message)
            self._link.post(StoreReply(request=frame.request, error=error.code))

    async def _answer(self, frame: StoreLoad | StoreSubkeys) -> None:
        await self._appends.join()
        try:
            for reply in await self._replies(frame):
                await self._link.send(reply)
        except AppError as error:
            await self._link.send(StoreReply(request=frame.request, error=error.code))

    async def _replies(self, frame: StoreLoad | StoreSubkeys) -> list[StoreReply]:
        if isinstance(frame, StoreSubkeys):
            return [StoreReply(request=frame.request, subkeys=await self._transcripts.subkeys(frame.key))]
        entries = await self._transcripts.load(frame.key)
        if entries is None:
            return [StoreReply(request=frame.request)]
        parts = list(_parts(entries))
        return [
            StoreReply(request=frame.request, entries=part, more=number < len(parts))
            for number, part in enumerate(parts, 1)
        ]

    async def stored(self) -> None:
        """Wait until every transcript entry received so far is in the database; raises `MemoryLost`."""
        await self._appends.join()
        if self._memory_lost:
            raise MemoryLost

    def acknowledge(self, recorded: int) -> None:
        """Let the runner forget what is recorded, events and transcripts alike."""
        self._recorded = max(self._recorded, recorded)
        seq = min(self._recorded, self._unstored[0] - 1) if self._unstored else self._recorded
        if seq > self._acknowledged:
            self._acknowledged = seq
            self._link.acknowledge(seq)

    async def open(self, options: AgentOptions) -> None:
        """Start the Claude process; raises `AgentFailed`, `LinkLost`."""
        self.opened = None
        self._listen()
        await self._link.send(Open(options=options))
        frame = await self._frames.get()
        while not isinstance(frame, Opened):
            if isinstance(frame, Failed | Gone):
                raise AgentFailed(frame)
            frame = await self._frames.get()
        self.acknowledge(frame.seq)
        self._memory_lost = False
        self.opened = options

    def _listen(self) -> None:
        while not self._frames.empty() and not self._listening:
            stale = self._frames.get_nowait()
            if isinstance(stale, Gone):
                self._frames.put_nowait(stale)
                break
        self._listening = True

    async def prompt(self, text: str, model: str | None) -> None:
        """Begin a turn; its frames come from `next`."""
        self._listen()
        try:
            await self._link.send(Prompt(text=text, model=model))
        except LinkLost as error:
            await self._frames.put(Gone(str(error)))

    def interrupt(self) -> None:
        """Ask the agent to end its turn."""
        self._link.post(Interrupt())

    async def next(self) -> AnyFrame | Gone:
        """The next frame of the turn."""
        return await self._frames.get()

    async def close(self) -> None:
        """Hang up."""
        await self._link.close()


def _parts(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        length = len(json.dumps(entry))
        if part and size + length > REPLY_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += length
    yield part
