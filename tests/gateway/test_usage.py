"""The meter, byte by byte."""

from contextlib import suppress
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infrastructure.bedrock.calls import AnswerBroken
from app.infrastructure.bedrock.usage import BodyMeter, FreeMeter, Reading, StreamMeter, Tokens, meter
from standin import frames, wires
from standin.tokens import Usage

USAGE = Usage(input_tokens=11, output_tokens=0, cache_creation_5m=4, cache_creation_1h=3, cache_read=2)
TIMING = wires.Timing(1, 2)
WIRE = wires.MessagesWire("msg", "model")


def event(kind: str, **fields: object) -> bytes:
    return wires._messages_event(kind, **fields)


def start() -> bytes:
    return WIRE.start(USAGE)


def deltas(*pieces: str) -> bytes:
    return b"".join(WIRE.delta(0, "text", piece) for piece in pieces)


def end(output: int) -> bytes:
    usage = Usage(11, output, 4, 3, 2)
    return b"".join(WIRE.end("end_turn", usage, TIMING, None))


def read(*chunks: bytes, whole: bool = True) -> Reading:
    stream = StreamMeter()
    for chunk in chunks:
        with suppress(AnswerBroken):
            stream.feed(chunk)
    return stream.reading(whole=whole)


def passed(*chunks: bytes) -> bytes:
    stream = StreamMeter()
    through = b""
    with suppress(AnswerBroken):
        for chunk in chunks:
            through += stream.feed(chunk)
    return through


WHOLE = start() + deltas("one ", "two ") + end(50)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts):
    places = [0, *sorted(cuts), len(WHOLE)]
    chunks = [WHOLE[begin:stop] for begin, stop in pairwise(places)]
    assert read(*chunks) == Reading("completed", Tokens(11, 50, 4, 3, 2))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_stream_cut_anywhere_is_broken_and_never_costs_more_than_whole(cut):
    reading = read(WHOLE[:cut])
    assert reading.outcome == "broken"
    assert reading.tokens.total <= Tokens(11, 50, 4, 3, 2).total


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_byte_anywhere_is_noticed(place, flip):
    damaged = bytearray(WHOLE)
    damaged[place] ^= flip
    assert read(bytes(damaged)).outcome == "broken"


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_a_whole_stream_passes_byte_for_byte(cuts):
    places = [0, *sorted(cuts), len(WHOLE)]
    assert passed(*(WHOLE[begin:stop] for begin, stop in pairwise(places))) == WHOLE


@given(st.integers(0, len(WHOLE) - 1))
def test_of_a_cut_stream_only_whole_frames_before_the_stop_reason_pass(cut):
    before_the_end = start() + deltas("one ", "two ")
    through = passed(*(bytes([byte]) for byte in WHOLE[:cut]))
    assert before_the_end.startswith(through)
    assert cut < len(before_the_end) or through == before_the_end


def test_nothing_passes_from_a_damaged_frame_on():
    damaged = start() + deltas("one ") + frames.with_bad_crc(deltas("two "))
    assert passed(damaged, deltas("three "), end(3)) == start() + deltas("one ")


def test_a_failure_passes_in_place_of_a_stop_reason_and_is_the_last_to_pass():
    stop = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
    exception = wires.exception("throttling", "slow down")
    assert passed(start() + stop) == start()
    assert passed(start(), stop, exception, end(3)) == start() + exception


def test_large_chunks_are_read_like_small_ones():
    many = start() + deltas(*[f"{number} " for number in range(5000)]) + end(7)
    assert read(many) == Reading("completed", Tokens(11, 7, 4, 3, 2))


def test_output_that_was_not_named_is_estimated_from_what_arrived():
    thought = WIRE.delta(0, "thinking", "12345")
    call = WIRE.delta(1, "tool_use", "{}")
    assert read(start() + deltas("日本") + thought + call).tokens.output == 2 + 2 + 1


def test_a_later_word_replaces_an_earlier_one():
    said = event("message_delta", delta={}, usage={"output_tokens": 9, "input_tokens": 12})
    metrics = {"inputTokenCount": 13, "outputTokenCount": 10, "cacheReadInputTokenCount": 5}
    last = event("message_stop", **{"amazon-bedrock-invocationMetrics": metrics})
    assert read(start() + said).tokens == Tokens(12, 9, 4, 3, 2)
    assert read(start() + said + last).tokens == Tokens(13, 10, 4, 3, 5)


@pytest.mark.parametrize(
    ("usage", "written"),
    [
        ({"cache_creation_input_tokens": 9}, (9, 0)),
        ({"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}}, (5, 4)),
        ({"cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 4}}, (0, 3)),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4}}, (2, 4)),
        ({"cache_creation": None, "cache_creation_input_tokens": None}, (0, 0)),
    ],
)
def test_cache_writes_are_divided_as_far_as_the_service_says(usage, written):
    tokens = read(event("message_start", message={"usage": usage})).tokens
    assert (tokens.cache_creation_5m, tokens.cache_creation_1h) == written


def test_exceptions_and_errors_are_failures_whatever_follows():
    exception = wires.exception("throttling", "slow down")
    error = frames.frame(frames.headers({":message-type": "error", ":error-code": "x"}), b"")
    inner = event("error", error={"type": "overloaded_error"})
    for failure in (exception, error, inner):
        assert read(start() + failure).outcome == "failed"
        assert read(start() + failure + end(3)).outcome == "failed"


def test_events_nobody_knows_are_passed_over():
    strange = event("content_block_thought", anything=[1]) + frames.frame(frames.event("initial-response"), b"{}")
    assert read(start() + strange + event("ping") + end(3)).outcome == "completed"


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"bytes": 1}', b'{"bytes": "e30="}', b'{"bytes": "!!"}'])
def test_frames_that_make_no_sense_break_the_stream(payload):
    assert read(start() + frames.frame(frames.event("chunk"), payload) + end(3)).outcome == "broken"


def test_a_transfer_that_did_not_end_is_broken_even_if_all_was_said():
    assert read(WHOLE, whole=False) == Reading("broken", Tokens(11, 50, 4, 3, 2))


def body_reading(body: bytes, headers: dict[str, str] | None = None, *, whole: bool = True) -> Reading:
    made = BodyMeter(headers or {})
    made.feed(body[:5])
    made.feed(body[5:])
    return made.reading(whole=whole)


def test_a_whole_answer_says_its_usage_itself():
    body = orjson.dumps({"usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5}})
    assert body_reading(body) == Reading("completed", Tokens(3, 4, 0, 0, 5))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"usage": 1}'])
def test_a_broken_whole_answer_is_charged_by_its_headers(body):
    headers = {"X-Amzn-Bedrock-Input-Token-Count": "3", "X-Amzn-Bedrock-Output-Token-Count": "4"}
    assert body_reading(body, headers) == Reading("broken", Tokens(3, 4))
    assert body_reading(body, {"X-Amzn-Bedrock-Input-Token-Count": "-1"}) == Reading("broken", Tokens())


def test_each_operation_has_its_meter():
    assert isinstance(meter("invoke", {}), BodyMeter)
    assert isinstance(meter("invoke-with-response-stream", {}), StreamMeter)
    free = FreeMeter()
    free.feed(b"{}")
    assert free.reading(whole=True) == Reading("completed", Tokens())
