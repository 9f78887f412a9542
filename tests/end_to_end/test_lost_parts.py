"""Parts of a running server that die under it while agents work."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise

import psutil
import pytest

from tests.end_to_end.client import Json, Talk, connected, error_of, kinds, of, raw, status_of, text_of
from tests.end_to_end.conftest import House, OpenHouse
from tests.end_to_end.invariants import check_messages, check_runs
from tests.end_to_end.processes import all_gone, standing_in, stop

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

SLOW_TOOL = '@tool Bash {"command": "sleep 60"}'


@pytest.fixture(scope="module")
async def frail(open_house: OpenHouse) -> AsyncIterator[House]:
    """A server whose parts may be killed."""
    async with open_house() as house:
        yield house
        await check_runs(house)
        await check_messages(house)


async def health(house: House) -> dict[str, str]:
    told = await house.api.ask("GET", "/health")
    return {name: check["status"] for name, check in told["checks"].items()} | {"all": told["status"]}


async def until_healthy(house: House) -> None:
    deadline = time.monotonic() + 20
    while (told := await health(house))["all"] != "healthy":
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.05)


async def test_a_killed_agent_is_told_as_a_crash_and_the_next_turn_works(frail: House) -> None:
    talk = await frail.talk()
    async with talk.streaming(f"@text The code is opal.\n{SLOW_TOOL}") as stream:
        await stream.until("tool_call")
        await until_remembered(frail, talk, "tool_use")
        agent = frail.server.agent_of(talk.id)
        inside = [agent, *agent.children(recursive=True)]
        stop(agent)
        events = await stream.rest()
    assert (status_of(events), error_of(events)) == ("error", "sandbox_crashed")
    assert kinds(events)[-5:] == ["progress", "tool_result", "title", "error", "done"]
    assert "unknown" in of("tool_result", events)[0]["content"]
    assert (await talk.run(stream.run_id))["status"] == "failed"
    _, answer = await talk.messages()
    assert answer["content"]["text"] == "The code is opal."
    again = await talk.turn("@recall code is (\\w+)")
    assert "opal" in text_of(again)
    check_that_every_call_is_answered((await frail.asked_of_model())[-1]["body"]["messages"])
    await all_gone(inside)


async def until_remembered(house: House, talk: Talk, word: str) -> None:
    """Wait until the agent's own transcript, which comes a moment after its events, holds something."""
    wanted = "SELECT FROM session_entries WHERE conversation_id::text = $1 AND entry::text LIKE $2"
    deadline = time.monotonic() + 10
    while not await house.rows(wanted, talk.id, f"%{word}%"):
        assert time.monotonic() < deadline, f"{word} is not remembered"
        await asyncio.sleep(0.02)


def check_that_every_call_is_answered(messages: list[Json]) -> None:
    """The model service refuses a conversation in which a tool call has no result in the next message."""
    for message, following in pairwise([*messages, {"content": []}]):
        called = {block["id"] for block in message["content"] if block["type"] == "tool_use"}
        assert called <= {block.get("tool_use_id") for block in following["content"]}, messages


async def test_a_killed_sandbox_is_told_as_a_crash(frail: House) -> None:
    talk = await frail.talk()
    async with talk.streaming(f"@text so far\n{SLOW_TOOL}") as stream:
        await stream.until("tool_call")
        processes = frail.server.sandbox_of(talk.id)
        stop(processes[0])
        events = await stream.rest()
    assert (status_of(events), error_of(events)) == ("error", "sandbox_crashed")
    await all_gone(processes)
    assert text_of(await talk.turn("@text alive")) == "alive"


async def test_a_killed_database_comes_back_and_no_event_is_lost_or_doubled(frail: House) -> None:
    talk = await frail.talk()
    async with talk.streaming("@text first\n@stream n=150 rate=50\n@text last") as stream:
        await stream.until("assistant")
        postmaster = postmaster_of(frail)
        family = [postmaster, *postmaster.children(recursive=True)]
        for one in family:
            stop(one)
        await all_gone(family)
        events = await stream.rest()
    assert (status_of(events), error_of(events)) == ("success", None)
    assert text_of(events).endswith("149 \nlast")
    await until_healthy(frail)
    assert raw(await talk.events(stream.run_id)) == raw(events)
    assert status_of(await talk.turn("@text alive")) == "success"


def postmaster_of(house: House) -> psutil.Process:
    pid = (house.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
    return psutil.Process(int(pid))


async def test_a_killed_redis_loses_nothing_and_comes_back(frail: House) -> None:
    await until_healthy(frail)
    talk = await frail.talk()
    async with talk.streaming("@text first\n@stream n=100 rate=50\n@text last") as stream:
        await stream.until("assistant")
        (redis,) = frail.server.named("redis-server")
        redis.suspend()
        assert (await health(frail))["redis"] == "unhealthy"
        assert (await health(frail))["all"] == "degraded"
        stop(redis)
        events = await stream.rest()
    assert status_of(events) == "success"
    assert text_of(events).endswith("last")
    await until_healthy(frail)
    assert raw(await talk.events(stream.run_id)) == raw(events)


async def test_a_killed_model_service_is_never_a_success_and_a_run_goes_on_when_it_is_back(frail: House) -> None:
    waiting, given_up = await frail.talk(), await frail.talk()
    async with AsyncExitStack() as opened:
        service = await opened.enter_async_context(connected(frail.model_service.url))
        await service.ask("POST", "/_standin/settings", {"rate": 2})
        first, second = [
            await opened.enter_async_context(talk.streaming("@text first\n@stream n=200\n@text last"))
            for talk in (waiting, given_up)
        ]
        for stream in (first, second):
            await stream.until("assistant")
        await frail.model_service.kill()
        for stream in (first, second):
            await stream.until("retrying")
        await given_up.cancel(second.run_id)
        assert status_of(await second.rest()) == "cancelled"
        async with standing_in(frail.folder, frail.model_service.url.rpartition(":")[2]):
            assert status_of(await first.rest()) == "success"
            assert text_of(first.events).endswith("last")
            assert status_of(await given_up.turn("@text alive")) == "success"
