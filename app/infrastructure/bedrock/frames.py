"""Decodes AWS event-stream frames, checksums included, at a few microseconds each."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

LARGEST_FRAME = 16 * 1024 * 1024

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_OVERHEAD = _PRELUDE.size + _CRC.size
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type."""
_SIZED = frozenset({6, _STRING})
"""Types whose values say their size."""


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
        self._rest = b""

    @property
    def is_between_frames(self) -> bool:
        return not self._rest

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that are whole now; to be taken to the end. Raises `DamagedFrame`."""
        data = self._rest + chunk if self._rest else chunk
        begin = 0
        while (end := _end(data, begin)) is not None:
            yield _frame(data, begin, end)
            begin = end
        self._rest = data[begin:]


def _end(data: bytes, begin: int) -> int | None:
    """Where the frame ends, if it is there."""
    if len(data) - begin < _PRELUDE.size:
        return None
    total, header_size, checksum = _PRELUDE.unpack_from(data, begin)
    if zlib.crc32(data[begin : begin + 8]) != checksum:
        raise DamagedFrame("prelude")
    if not header_size + _OVERHEAD <= total <= LARGEST_FRAME:
        raise DamagedFrame("length")
    return begin + total if len(data) - begin >= total else None


def _frame(data: bytes, begin: int, end: int) -> Frame:
    raw = data[begin:end]
    (checksum,) = _CRC.unpack_from(raw, len(raw) - _CRC.size)
    if zlib.crc32(raw[: -_CRC.size]) != checksum:
        raise DamagedFrame("content")
    _, header_size, _ = _PRELUDE.unpack_from(raw)
    payload = _PRELUDE.size + header_size
    return Frame(_headers(raw[_PRELUDE.size : payload]), raw[payload : -_CRC.size], raw)


@lru_cache(maxsize=64)
def _headers(section: bytes) -> Mapping[str, str]:
    """Cached, because a stream's frames have few different ones."""
    found: dict[str, str] = {}
    try:
        for name, value in _values(section):
            if name in found:
                raise DamagedFrame("headers")
            found[name] = value
    except (IndexError, struct.error, UnicodeDecodeError):
        raise DamagedFrame("headers") from None
    return found


def _values(section: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(section):
        name_end = at + 1 + section[at]
        name, kind = section[at + 1 : name_end].decode(), section[name_end]
        begin, at = _extent(section, kind, name_end + 1)
        yield name, section[begin:at].decode() if kind == _STRING else ""


def _extent(section: bytes, kind: int, at: int) -> tuple[int, int]:
    """Where a value begins and ends."""
    if kind in _SIZES:
        begin, size = at, _SIZES[kind]
    elif kind in _SIZED:
        (size,) = _LENGTH.unpack_from(section, at)
        begin = at + _LENGTH.size
    else:
        raise DamagedFrame("headers")
    if begin + size > len(section):
        raise DamagedFrame("headers")
    return begin, begin + size
