"""A live agent in its sandbox, as the rest of the backend speaks to it."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from app.errors import ServiceUnavailable, StaleOwner
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


class Agent:
    """Sorts what the runner sends: transcripts into the database, everything else to the run."""

    def __init__(self, link: RunnerLink, transcripts: Transcripts) -> None:
        self.opened: AgentOptions | None = None
        self.fence = 0
        """The fencing number that transcript entries are written under."""
        self._link = link
        self._transcripts = transcripts
        self._frames: asyncio.Queue[AnyFrame | Gone] = asyncio.Queue(FRAMES)
        self._appends: asyncio.Queue[StoreAppend] = asyncio.Queue(FRAMES)
        self._unstored: deque[int] = deque()
        self._acknowledged = 0

    async def run(self) -> None:
        """Receive until the connection ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                storing = tasks.create_task(self._store(), name="transcripts")
                await self._receive()
                storing.cancel()
        finally:
            self.opened = None

    async def _receive(self) -> None:
        try:
            while True:
                await self._sort(await self._link.receive())
        except LinkLost as error:
            await self._frames.put(Gone(str(error)))

    async def _sort(self, frame: AnyFrame) -> None:
        if isinstance(frame, StoreAppend):
            self._unstored.append(frame.seq)
            await self._appends.put(frame)
        elif isinstance(frame, StoreLoad | StoreSubkeys):
            await self._answer(frame)
        else:
            await self._frames.put(frame)

    async def _store(self) -> None:
        while True:
            frame = await self._appends.get()
            try:
                await self._transcripts.append(frame.key, frame.entries, self.fence)
            except (ServiceUnavailable, StaleOwner) as error:
                log.error("transcript.not_stored", entries=len(frame.entries), reason=error.message)
                self._link.post(StoreReply(request=frame.request, error=error.code))
            self._unstored.popleft()
            self._appends.task_done()

    async def _answer(self, frame: StoreLoad | StoreSubkeys) -> None:
        await self._appends.join()
        try:
            for reply in await self._replies(frame):
                await self._link.send(reply)
        except ServiceUnavailable as error:
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
        """Wait until every transcript entry received so far is in the database."""
        await self._appends.join()

    def acknowledge(self, recorded: int) -> None:
        """Let the runner forget what is recorded, events and transcripts alike."""
        seq = min(recorded, self._unstored[0] - 1) if self._unstored else recorded
        if seq > self._acknowledged:
            self._acknowledged = seq
            self._link.acknowledge(seq)

    async def open(self, options: AgentOptions) -> None:
        """Start the Claude process; raises `AgentFailed`."""
        self.opened = None
        await self._link.send(Open(options=options))
        while True:
            frame = await self._frames.get()
            if isinstance(frame, Failed | Gone):
                raise AgentFailed(frame)
            self.acknowledge(frame.seq)
            if isinstance(frame, Opened):
                self.opened = options
                return

    async def prompt(self, text: str, model: str | None) -> None:
        """Begin a turn; its frames come from `next`."""
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
        length = len(orjson.dumps(entry))
        if part and size + length > REPLY_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += length
    yield part
