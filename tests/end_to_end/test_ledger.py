"""What the tables hold after all sorts of runs, against what clients and the model service saw."""

import asyncio
import json

import pytest

from standin.directives import BREAKAGES, EXCEPTIONS
from tests.end_to_end.client import Event, Talk, connected, error_of, of, status_of
from tests.end_to_end.conftest import House
from tests.end_to_end.invariants import check_everything, check_usage

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

INNER = json.dumps({"prompt": '@tool Bash {"command": "echo deep"}\n@echo_results'})
FAILING = json.dumps({"prompt": "@text half\n@fail internal after=3"})
ECHO = '@tool Bash {"command": "echo %s"}'
SLEEP = '@tool Bash {"command": "sleep 60"}'
ORDINARY = (
    "@text plain",
    "@think first\n@text then",
    f"{ECHO % 1}\n{ECHO % 2}\n{ECHO % 3}\n@echo_results",
    f"{ECHO % 4}\n@step\n{ECHO % 5}\n@text after two steps",
    f"@agent {INNER}\n@text back",
    f"@agent {INNER}\n@agent {INNER}\n@text back from two",
    "@usage input=9 output=5 cache_5m=4 cache_1h=3 cache_read=2\n@text counted so",
    '@tool Read {"file_path": "/nowhere"}\n@text not there',
    "@stream n=300 rate=0",
    "@fail unavailable times=1\n@text in the end",
    f"{ECHO % 6}\n@text and then\n@fail model_error",
    f"@agent {FAILING}\n@text back from one that failed",
)
POSITIONS = ("", " after=0", " after=1", " after=3", " after=999")
"""As an error status, as a stream that only fails, behind the first frame, in the middle, and at the last frame."""


async def take(talk: Talk, texts: tuple[str, ...]) -> list[list[Event]]:
    return [await talk.turn(text) for text in texts]


async def leave(talk: Talk) -> None:
    """Go away at the first event and come back when all is over."""
    async with talk.streaming('@stream n=100 rate=200\n@tool Bash {"command": "echo alone"}\n@text done') as stream:
        await stream.until("progress")
        run_id = stream.run_id
    assert status_of(await talk.events(run_id)) == "success"


async def break_off(talk: Talk, text: str, event: str) -> None:
    """Cancel a run at an event of it."""
    async with talk.streaming(text) as stream:
        await stream.until(event)
        assert (await talk.cancel(stream.run_id)).status == 202
        assert status_of(await stream.rest()) == "cancelled"
    assert (await talk.run(stream.run_id))["status"] == "cancelled"


async def test_every_row_agrees_with_what_clients_and_the_model_service_saw(house: House) -> None:
    talks = [await house.talk() for _ in range(6)]
    async with asyncio.timeout(90):
        first, second, third, *_ = await asyncio.gather(
            take(talks[0], ORDINARY[:4]),
            take(talks[1], ORDINARY[4:8]),
            take(talks[2], ORDINARY[8:]),
            leave(talks[3]),
            break_off(talks[4], f"@stream n=200 rate=100\n{SLEEP}", "text_delta"),
            break_off(talks[5], f"@text at length\n@stream n=400 rate=50\n{SLEEP}", "assistant"),
        )
        await break_off(talks[4], f"@text first\n{SLEEP}", "tool_call")
        await break_off(talks[4], "@fail throttling\n@text never", "retrying")
        assert status_of(await talks[4].turn("@text alive")) == "success"
    assert [status_of(events) for events in first + second] == ["success"] * 8
    assert [status_of(events) for events in third] == ["success", "success", "error", "success"]
    await check_everything(house)
    (held,) = (await talks[4].messages())[3:4]
    assert held["content"]["text"] == "first"


@pytest.fixture
async def impatient(house: House) -> None:
    """A model service that is never silent for long."""
    async with connected(house.model_service.url) as api:
        await api.ask("POST", "/_standin/settings", {"silence": 0.3})


async def fail_everywhere(house: House, kind: str) -> list[str]:
    """How runs end whose model call fails for good, at every position; those retried too long are cancelled."""
    talk, ends = await house.talk(), []
    for position in POSITIONS:
        async with talk.streaming(f"@fail {kind}{position}\n@text one two three four") as stream:
            event = await stream.until(lambda event: event.type in {"retrying", "done"})
            if event.type == "retrying":
                await talk.cancel(stream.run_id)
            events = await stream.rest()
        ends.append(status_of(events))
        assert event.type == "retrying" or error_of(events) in FAILED
    once = await talk.turn(f"@fail {kind} times=1\n@text survived")
    assert status_of(once) == ("error" if kind in NEVER_RETRIED else "success")
    return ends


NEVER_RETRIED = {"model_error", "validation"}
FAILED = {"model_unavailable", "model_validation_error"}


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
async def test_a_failed_model_call_is_never_a_success_wherever_it_fails(house: House) -> None:
    kinds = sorted((EXCEPTIONS | BREAKAGES) - {"no_metrics"})
    async with asyncio.timeout(100):
        parts = await asyncio.gather(*(fail_everywhere(house, kind) for kind in kinds))
    ends = [end for part in parts for end in part]
    assert set(ends) <= {"error", "cancelled"}, dict(zip(kinds, parts, strict=True))
    assert await check_usage(house) > len(ends)
    await check_everything(house)


async def test_a_stream_without_metrics_is_whole_and_counted_by_what_it_said_before(talk: Talk, house: House) -> None:
    events = await talk.turn("@text one two three\n@fail no_metrics")
    assert status_of(events) == "success"
    assert of("done", events)[0]["usage"]["output_tokens"] > 0
    await check_usage(house)
