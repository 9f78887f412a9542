"""Frames are numbered, kept until acknowledged, and never dropped."""

import asyncio
from functools import partial

import pytest

from runner.outbox import LineTooLong, Outbox, encode
from runner.protocol import MAX_LINE, Text, ToolUse, frames


def text(words: str) -> partial[Text]:
    return partial(Text, text=words)


def test_frames_are_numbered_from_one() -> None:
    outbox = Outbox()
    outbox.put(text("a"))
    outbox.put(text("b"))

    assert outbox.last_seq == 2
    assert frames.validate_json(outbox.line(2) or b"") == Text(seq=2, text="b")
    assert outbox.line(3) is None


def test_an_acknowledgement_drops_every_frame_up_to_it() -> None:
    outbox = Outbox()
    for word in "abc":
        outbox.put(text(word))
    outbox.forget(2)

    assert [outbox.line(seq) is None for seq in (1, 2, 3)] == [True, True, False]
    assert outbox.first_seq == 3


def test_an_acknowledgement_of_what_is_yet_to_come_drops_what_is_there_alone() -> None:
    outbox = Outbox()
    outbox.put(text("a"))
    outbox.forget(99)
    outbox.put(text("b"))

    assert outbox.line(2) is not None
    outbox.forget(1)
    assert outbox.line(2) is not None


async def test_a_full_outbox_makes_wait_until_acknowledgements_make_room() -> None:
    outbox = Outbox(capacity=100)
    outbox.put(text("x" * 200))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert outbox.full
    assert not waiting.done()

    outbox.forget(1)
    await asyncio.wait_for(waiting, 5)
    assert not outbox.full


async def test_a_full_outbox_still_takes_what_must_not_wait() -> None:
    outbox = Outbox(capacity=1)
    outbox.put(text("a"))
    outbox.put(text("b"))

    assert outbox.last_seq == 2


def test_a_frame_longer_than_a_line_takes_no_number() -> None:
    outbox = Outbox()
    with pytest.raises(LineTooLong):
        outbox.put(text("x" * MAX_LINE))

    assert outbox.last_seq == 0
    outbox.put(text("a"))
    assert outbox.line(1)


def test_half_a_surrogate_pair_in_free_json_does_not_stop_the_line() -> None:
    line = encode(ToolUse(seq=1, tool_use_id="t", name="n", input={"a": "x\ud83dy", "\udc00": ["é😀"]}))

    read = frames.validate_json(line)
    assert isinstance(read, ToolUse)
    assert read.input == {"a": "x?y", "?": ["é😀"]}
