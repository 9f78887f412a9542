"""Encodes AWS event-stream frames, cheaply."""

import struct
import zlib
from collections.abc import Mapping

_STRING = 7


def headers(values: Mapping[str, str]) -> bytes:
    """The header section of a frame; made once per kind of frame."""
    return b"".join(_header(name, value) for name, value in values.items())


def _header(name: str, value: str) -> bytes:
    raw_name, raw_value = name.encode(), value.encode()
    return struct.pack(f">B{len(raw_name)}sBH", len(raw_name), raw_name, _STRING, len(raw_value)) + raw_value


def event(name: str) -> bytes:
    return headers({":event-type": name, ":content-type": "application/json", ":message-type": "event"})


def exception(name: str) -> bytes:
    return headers({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"})


def frame(section: bytes, payload: bytes) -> bytes:
    """One frame: lengths, their CRC, headers, payload, CRC of all."""
    prelude = struct.pack(">II", 16 + len(section) + len(payload), len(section))
    checked = b"".join((prelude, struct.pack(">I", zlib.crc32(prelude)), section, payload))
    return checked + struct.pack(">I", zlib.crc32(checked))


def with_bad_crc(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 0xFF])
