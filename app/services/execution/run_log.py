"""One live run's end of the event log: what waits to be recorded, and the newest part of what is."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.errors import StaleOwner
from app.repositories.events import NewEvent
from app.repositories.runs import Claim
from app.schemas.events import AnyEvent, Recorded, TextDelta, ThinkingDelta, ToolInputDelta, encode

TAIL_EVENTS = 2048
PENDING_EVENTS = 4096
"""Events that may wait for a commit; whoever appends more waits too."""

type_of_delta = (TextDelta, ThinkingDelta, ToolInputDelta)


@dataclass(slots=True)
class _Waiting:
    event: AnyEvent
    source_seq: int | None
    at: datetime


@dataclass(slots=True)
class Batch:
    """Events of one run on their way into one commit."""

    log: "RunLog"
    rows: list[NewEvent] = field(default_factory=list)


class RunLog:
    """Numbers and keeps a live run's events. Everything happens on the event loop, so nothing needs a lock."""

    def __init__(self, claim: Claim, *, wake: Callable[["RunLog"], None]) -> None:
        self.claim = claim
        self.last_seq = 0
        self.on_recorded: Callable[[int], object] = int
        """Told how far the runner's frames are durable, after each commit."""
        self._wake = wake
        self._waiting: deque[_Waiting] = deque()
        self._tail: deque[Recorded] = deque(maxlen=TAIL_EVENTS)
        self._changed: asyncio.Event = asyncio.Event()
        self._inflight = 0
        self._stale = False

    def append(self, events: Sequence[AnyEvent], at: datetime, source_seq: int | None = None) -> None:
        """Have events recorded with the next commit."""
        if self._stale:
            raise StaleOwner
        self._waiting.extend(_Waiting(event, source_seq, at) for event in events)
        if source_seq is not None and not events and self.idle:
            self.on_recorded(source_seq)
        self._wake(self)

    @property
    def idle(self) -> bool:
        """Whether everything appended is durable."""
        return not self._waiting and not self._inflight

    async def settled(self) -> None:
        """Wait until everything appended is durable; raises `StaleOwner` when the run is not ours any more."""
        await self._until(lambda: self.idle)

    async def has_room(self) -> None:
        """Wait until few enough events wait."""
        await self._until(lambda: len(self._waiting) < PENDING_EVENTS)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._stale:
                raise StaleOwner
            await self._changed.wait()
        if self._stale:
            raise StaleOwner

    @property
    def signal(self) -> asyncio.Event:
        """Set at the next commit of this run; take it before looking, wait for it after."""
        return self._changed

    def take(self, limit: int) -> Batch:
        """Number and encode what waits, merging deltas that follow each other."""
        batch = Batch(self)
        while self._waiting and len(batch.rows) < limit:
            batch.rows.append(self._number(self._next_merged()))
        self._inflight = len(batch.rows)
        return batch

    def _next_merged(self) -> _Waiting:
        first = self._waiting.popleft()
        if not isinstance(first.event, type_of_delta):
            return first
        pieces = [first.event.content]
        last_source = first.source_seq
        while self._waiting and _continues(first.event, self._waiting[0].event):
            waiting = self._waiting.popleft()
            pieces.append(waiting.event.content)  # type: ignore[union-attr]
            last_source = waiting.source_seq
        merged = first.event if len(pieces) == 1 else first.event.model_copy(update={"content": "".join(pieces)})
        return _Waiting(merged, last_source, first.at)

    def _number(self, waiting: _Waiting) -> NewEvent:
        self.last_seq += 1
        return NewEvent(
            self.claim.tenant_id,
            self.claim.run_id,
            self.claim.fence,
            self.last_seq,
            waiting.event.event,
            encode(waiting.event, self.last_seq, waiting.at),
            waiting.source_seq,
        )

    def committed(self, batch: Batch) -> None:
        """Let readers have what is durable now."""
        self._inflight = 0
        self._publish([Recorded(row.seq, row.type, row.data) for row in batch.rows])
        sources = [row.source_seq for row in batch.rows if row.source_seq is not None]
        if sources:
            self.on_recorded(max(sources))

    def concluded(self, events: Sequence[Recorded]) -> None:
        """Let readers have the last events, which another transaction recorded."""
        self._publish(events)

    def close(self) -> None:
        """Nothing follows here: wake the readers, so that they look elsewhere."""
        self._publish(())

    def lose(self) -> None:
        """The run is somebody else's now: drop what waits and wake whoever waits for it."""
        self._stale = True
        self._waiting.clear()
        self._inflight = 0
        self._publish(())

    def _publish(self, events: Sequence[Recorded]) -> None:
        self._tail.extend(events)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def dirty(self) -> bool:
        """Whether events wait to be taken."""
        return bool(self._waiting)

    def since(self, after: int) -> list[Recorded] | None:
        """The durable events behind a cursor, or none when the newest part does not reach back that far."""
        if not self._tail:
            return None if self.last_seq and after < self.last_seq else []
        oldest, newest = self._tail[0].seq, self._tail[-1].seq
        if after >= newest:
            return []
        if after + 1 < oldest:
            return None
        return [self._tail[index] for index in range(after + 1 - oldest, len(self._tail))]


def _continues(first: AnyEvent, following: AnyEvent) -> bool:
    if type(first) is not type(following) or not isinstance(following, type_of_delta):
        return False
    same_parent = first.parent_agent_id == following.parent_agent_id  # type: ignore[union-attr]
    return same_parent and getattr(first, "tool_use_id", None) == getattr(following, "tool_use_id", None)
