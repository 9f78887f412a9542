"""Every way to fail, and what is counted then."""

import asyncio

import pytest

from standin import tokens
from tests.standin.client import Client, Streamed, messages_body

STATUSES = {
    "throttling": (429, "ThrottlingException", "throttlingException"),
    "unavailable": (503, "ServiceUnavailableException", "serviceUnavailableException"),
    "internal": (500, "InternalServerException", "internalServerException"),
    "model_error": (424, "ModelErrorException", "modelStreamErrorException"),
    "timeout": (408, "ModelTimeoutException", "modelTimeoutException"),
    "validation": (400, "ValidationException", "validationException"),
    "expired": (403, "ExpiredTokenException", "validationException"),
}
POSITIONS = (0, 1, 3, 6, 1000)


def output_seen(streamed: Streamed) -> int:
    deltas = [event["delta"] for event in streamed.events if event["type"] == "content_block_delta"]
    return sum(tokens.of_text(delta.get("text", "")) for delta in deltas)


@pytest.mark.parametrize("kind", STATUSES)
async def test_standing_first_it_is_an_error_status_that_counts_nothing(client: Client, kind):
    status, name, _ = STATUSES[kind]
    streamed = await client.stream(f"@fail {kind}\n@text never")
    assert (streamed.status, streamed.error_type) == (status, name)
    assert (await client.post("invoke", messages_body(f"@fail {kind}")))[0] == status
    for call in await client.calls():
        assert (call["status"], call["failure"], call["finished"]) == (status, kind, False)
        assert call["input_tokens"] == call["output_tokens"] == 0


@pytest.mark.parametrize("after", POSITIONS)
@pytest.mark.parametrize("kind", STATUSES)
async def test_in_mid_stream_it_is_an_exception_frame(client: Client, kind, after):
    streamed = await client.stream(f"@stream n=6\n@fail {kind} after={after}")
    assert streamed.status == 200
    assert streamed.exception == STATUSES[kind][2]
    assert len(streamed.events) == min(after, 10)
    assert "message_stop" not in streamed.kinds()


@pytest.mark.parametrize("after", POSITIONS)
@pytest.mark.parametrize("kind", ["throttling", "cut", "crc", "empty"])
async def test_a_broken_stream_counts_what_could_be_read_of_it(client: Client, kind, after):
    streamed = await client.stream(f"@stream n=6\n@fail {kind} after={after}")
    (call,) = await client.calls()
    assert not call["finished"]
    assert call["output_tokens"] == output_seen(streamed)
    stated = streamed.events[0]["message"]["usage"]["input_tokens"] if streamed.events else 0
    assert call["input_tokens"] == stated


async def test_where_it_stands_between_texts_it_strikes_there(client: Client):
    streamed = await client.stream("@text before\n@fail internal\n@text never")
    assert (streamed.text, streamed.exception) == ("before", "internalServerException")


async def test_a_cut_stream_ends_in_the_middle_of_a_frame(client: Client):
    streamed = await client.stream("@stream n=6\n@fail cut after=4")
    assert len(streamed.events) == 4
    assert streamed.broken == "ClientPayloadError"


async def test_a_damaged_frame_is_found_by_its_checksum(client: Client):
    streamed = await client.stream("@stream n=6\n@fail crc after=4")
    assert len(streamed.events) == 4
    assert streamed.broken == "ChecksumMismatch"


async def test_an_empty_stream_has_no_frame(client: Client):
    streamed = await client.stream("@fail empty")
    assert (streamed.status, streamed.events, streamed.broken) == (200, [], None)


async def test_no_metrics_and_missing_end_leave_out_just_that(client: Client):
    no_metrics = await client.stream("@text x\n@fail no_metrics")
    assert no_metrics.events[-1] == {"type": "message_stop"}
    missing_end = await client.stream("@fail missing_end\n@text x")
    assert missing_end.kinds()[-1] == "message_delta"
    assert [call["finished"] for call in await client.calls()] == [False, False]


async def test_a_silent_stream_stays_open_for_a_bounded_time(client: Client):
    await client.control("settings", {"silence": 0.05})
    streamed = await client.stream("@stream n=6\n@fail silence after=4")
    assert len(streamed.events) == 4
    assert streamed.broken == "ClientPayloadError"


async def test_times_lets_a_retry_succeed_and_counts_for_each_conversation(client: Client):
    script = "@fail throttling times=2\n@text worked"
    statuses = [(await client.stream(script)).status for _ in range(3)]
    assert statuses == [429, 429, 200]
    other = await client.stream("another beginning", {"role": "assistant", "content": "ok"}, script)
    assert other.status == 429
    await client.control("reset", {})
    assert (await client.stream(script)).status == 429


async def test_a_client_that_leaves_is_told_apart(client: Client):
    task = asyncio.create_task(client.stream("@text some words\n@wait 60\n@text never"))
    async with asyncio.timeout(10):
        await client.until(lambda counters: counters["totals"]["output_tokens"])
        task.cancel()
        await client.until(lambda counters: not counters["in_flight"])
    (call,) = await client.calls()
    assert (call["failure"], call["finished"], call["output_tokens"]) == ("client_gone", False, 4)


async def test_half_a_body_is_sent_where_nothing_is_streamed(client: Client):
    for kind in ("cut", "crc", "missing_end"):
        async with client.session.post("/model/m/invoke", json=messages_body(f"@text x\n@fail {kind}")) as answer:
            assert (await answer.text()).startswith('{"model"')
            assert not (await answer.text()).endswith("}}")
    assert {call["output_tokens"] for call in await client.calls()} == {0}
