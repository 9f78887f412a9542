"""Numbered frames, kept until the backend says that it has recorded them."""

import asyncio
import json
from collections.abc import Callable

from pydantic_core import PydanticSerializationError

from runner.config import CAPACITY
from runner.protocol import MAX_LINE, Frame

Draft = Callable[..., Frame]
"""A frame that lacks only its `seq`."""


class LineTooLong(Exception):
    """A frame does not fit into one line of the protocol."""


def encode(frame: Frame) -> bytes:
    """The line of a frame, its LF included."""
    try:
        return frame.model_dump_json().encode() + b"\n"
    except PydanticSerializationError:  # half a surrogate pair somewhere in free JSON: no UTF-8 can carry it
        return json.dumps(frame.model_dump(), ensure_ascii=False).encode(errors="replace") + b"\n"


class Outbox:
    """Holds every frame from its number on until it is acknowledged; nothing is ever dropped."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lines: dict[int, bytes] = {}
        self.first_seq = 1
        """The oldest kept frame's, or the next one's when none is kept."""
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self.last_seq = 0
        self.on_frame: Callable[[], None] = lambda: None
        """Called after every `put`."""

    @property
    def full(self) -> bool:
        return self._bytes >= self._capacity

    def put(self, draft: Draft) -> None:
        """Number and keep a frame, at once and whether or not there is room. Raises `LineTooLong`."""
        line = encode(draft(seq=self.last_seq + 1))
        if len(line) > MAX_LINE:
            raise LineTooLong(f"a frame of {len(line)} bytes; a line has at most {MAX_LINE}")
        self.last_seq += 1
        self._lines[self.last_seq] = line
        self._bytes += len(line)
        if self.full:
            self._room.clear()
        self.on_frame()

    async def room(self) -> None:
        """Wait until acknowledgements have made room."""
        await self._room.wait()

    def line(self, seq: int) -> bytes | None:
        """The line of a kept frame; none when it is acknowledged or yet to come."""
        return self._lines.get(seq)

    def forget(self, seq: int) -> None:
        """Drop every frame up to `seq`."""
        upto = min(seq, self.last_seq)
        for number in range(self.first_seq, upto + 1):
            self._bytes -= len(self._lines.pop(number))
        self.first_seq = max(self.first_seq, upto + 1)
        if not self.full:
            self._room.set()
