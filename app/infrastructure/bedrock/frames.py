"""Whole AWS event-stream frames, decoded and checked by botocore, each beside its own bytes."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

_UNREADABLE = (ParserError, struct.error, UnicodeDecodeError, IndexError, KeyError)
"""What botocore raises for bytes that are no frame; the last four come from headers that are none."""


class DamagedFrame(Exception):
    """The bytes are no frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    headers: Mapping[str, str]
    """Values that are no text appear empty."""
    payload: bytes
    raw: bytes
    """All of it, as it came."""


class FrameReader:
    """Takes bytes as they come and gives whole frames."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()
        self._rest = b""

    @property
    def is_between_frames(self) -> bool:
        return not self._rest

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that are whole now; to be taken to the end. Raises `DamagedFrame`."""
        self._rest += chunk
        self._buffer.add_data(chunk)
        try:
            for message in self._buffer:
                yield self._frame(message)
        except _UNREADABLE as error:
            raise DamagedFrame(type(error).__name__) from error

    def _frame(self, message: EventStreamMessage) -> Frame:
        length = message.prelude.total_length
        raw, self._rest = self._rest[:length], self._rest[length:]
        headers = {name: value if isinstance(value, str) else "" for name, value in message.headers.items()}
        return Frame(headers, message.payload, raw)
