"""Frames and their own bytes, out of chunks of any size; damage is told as damage."""

import struct
import zlib
from contextlib import suppress

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given
from hypothesis import strategies as st

from app.infrastructure.bedrock.frames import DamagedFrame, Frame, FrameReader
from standin import frames

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256)
HEADERS = st.dictionaries(NAMES, st.text(max_size=40), max_size=4)
FRAMES = st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=6)


def ours(*chunks: bytes) -> list[Frame]:
    reader = FrameReader()
    found = [frame for chunk in chunks for frame in reader.feed(chunk)]
    assert reader.is_between_frames
    return found


def theirs(data: bytes) -> list[tuple[dict, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


def sealed(section: bytes, payload: bytes = b"") -> bytes:
    return frames.frame(section, payload)


@given(FRAMES, st.integers(1, 50))
def test_it_reads_what_botocore_reads(made, size):
    data = b"".join(frames.frame(frames.headers(headers), payload) for headers, payload in made)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert [(dict(frame.headers), frame.payload) for frame in ours(*chunks)] == theirs(data) == made


def test_headers_of_every_type_are_passed_over_or_read():
    values = [
        (0, b""),
        (1, b""),
        (2, b"a"),
        (3, b"ab"),
        (4, b"abcd"),
        (5, b"abcdefgh"),
        (8, b"abcdefgh"),
        (9, b"x" * 16),
    ]
    values += [(6, struct.pack(">H3s", 3, b"abc")), (7, struct.pack(">H3s", 3, b"end"))]
    section = b"".join(
        struct.pack(">B1sB", 1, bytes([65 + place]), kind) + raw for place, (kind, raw) in enumerate(values)
    )
    (frame,) = ours(sealed(section, b"payload"))
    assert (frame.headers["J"], frame.headers["A"], frame.payload) == ("end", "", b"payload")
    assert theirs(sealed(section))[0][0]["J"] == "end"


TYPES = st.integers(0, 11)
SECTIONS = st.lists(
    st.tuples(st.sampled_from([b"\x01A", b"\x01B", b"\x02"]), TYPES, st.binary(max_size=18)), max_size=3
)


@given(st.binary(max_size=60) | SECTIONS.map(lambda parts: b"".join(n + bytes([t]) + v for n, t, v in parts)))
def test_headers_that_are_none_are_damage_to_us_whenever_they_are_to_botocore(section):
    understood = True
    try:
        theirs(sealed(section))
    except (ParserError, struct.error, KeyError, ValueError, IndexError):
        understood = False
    with suppress(DamagedFrame):
        ours(sealed(section))
        assert understood


@given(st.binary(min_size=12, max_size=80))
def test_noise_is_damage(noise):
    with pytest.raises(DamagedFrame):
        ours(noise)


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (16, 1), (2**25, 0), (2**32 - 1, 2**32 - 1)])
def test_lengths_that_cannot_be_are_damage(total, headers):
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(DamagedFrame):
        ours(prelude + struct.pack(">I", zlib.crc32(prelude)) + bytes(16))
