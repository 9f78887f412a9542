"""A server that is killed, or told to end, while agents work and clients listen."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.client import Stream, Talk, error_of, kinds, raw, status_of, text_of
from tests.end_to_end.conftest import House, OpenHouse
from tests.end_to_end.invariants import check_messages, check_runs
from tests.end_to_end.processes import all_gone, living

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

LEASES = {"LEASE_SECONDS": "3", "LEASE_RENEWAL_SECONDS": "1"}
NOTE = '@tool Bash {"command": "echo here > note"}'
SLEEP = '@tool Bash {"command": "sleep 100"}'
WORK = {
    f"@text The code is quartz.\n{NOTE}\n@step\n{SLEEP}": "tool_result",
    f"@text before\n@stream n=200 rate=50\n{SLEEP}": "assistant",
    f"@wait 3\n{SLEEP}": "init",
}
"""What agents do, and the event by which it is under way."""
RECALL = '@recall code is (\\w+)\n@tool Bash {"command": "cat note"}\n@echo_results'


@dataclass
class Watched:
    """A client that listens to a run."""

    talk: Talk
    stream: Stream


async def at_work(house: House, opened: AsyncExitStack) -> list[Watched]:
    """Runs in the middle of their work, each with a client that listens."""

    async def begin(text: str, under_way: str) -> Watched:
        talk = await house.talk()
        stream = await opened.enter_async_context(talk.streaming(text))
        await stream.until(under_way)
        return Watched(talk, stream)

    return await asyncio.gather(*(begin(*work) for work in WORK.items()))


def owner_of(house: House) -> str:
    """The name under which a server keeps its sandboxes."""
    (lock,) = (house.data / "sandboxes").glob("*.lock")
    return lock.stem


def traces(house: House, owner: str) -> list[Path]:
    """What is left of a server's sandboxes: folders, locks and control groups."""
    folders = [path for path in (house.data / "sandboxes").iterdir() if path.name.startswith(owner)]
    groups = [Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup") if f"sandbox-{owner}-" in folder]
    return folders + groups


def sockets(house: House) -> list[Path]:
    return [path for path in house.data.rglob("*") if path.is_socket()]


async def test_a_killed_server_leaves_nothing_that_matters_and_loses_nothing_it_told(open_house: OpenHouse) -> None:
    async with AsyncExitStack() as opened:
        house = await opened.enter_async_context(open_house(**LEASES))
        watched = await at_work(house, opened)
        family, owner = house.server.family(), owner_of(house)
        assert {"postgres", "redis-server", "bwrap"} <= {one.name() for one in family}
        assert traces(house, owner)
        await house.server.kill()
        await all_gone(family)
    async with open_house(**LEASES) as house:
        await asyncio.gather(
            *(goes_on(Talk(house.api, each.talk.tenant, each.talk.id), each.stream) for each in watched)
        )
        assert traces(house, owner) == []
        await check_runs(house)
        await check_messages(house)


async def goes_on(talk: Talk, seen: Stream) -> None:
    """What was seen is there as it was seen, the run ends, and the conversation goes on where it was."""
    events = await talk.events(seen.run_id, headers={"Last-Event-ID": str(seen.events[-1].id)})
    assert kinds(events)[-2:] == ["error", "done"]
    whole = await talk.events(seen.run_id)
    assert raw(whole) == raw(seen.events) + raw(events)
    assert (status_of(whole), error_of(whole)) == ("error", "interrupted")
    run = await talk.run(seen.run_id)
    assert (run["status"], run["error_type"]) == ("interrupted", "interrupted")
    assert text_of(await talk.turn("@text alive again")) == "alive again"


async def test_a_server_told_to_end_ends_its_runs_first_and_leaves_nothing(open_house: OpenHouse) -> None:
    async with AsyncExitStack() as opened:
        house = await opened.enter_async_context(open_house(SHUTDOWN_TIMEOUT="30"))
        watched = await at_work(house, opened)
        just_begun = await (await house.talk()).begin(SLEEP)
        family, owner, begun = house.server.family(), owner_of(house), time.monotonic()
        for _ in range(2):
            house.server.process.terminate()
        for each in watched:
            events = await each.stream.rest()
            assert kinds(events)[-2:] == ["error", "done"]
            assert (status_of(events), error_of(events)) == ("error", "interrupted")
        assert await house.server.ended() in {0, -signal.SIGTERM}
        assert time.monotonic() - begun < 30
        assert not living(family)
        assert traces(house, owner) == []
        assert sockets(house) == []
    async with open_house() as house:
        assert await statuses(house, [just_begun, *(each.stream.run_id for each in watched)]) == {"interrupted"}
        for each in watched:
            assert await each.talk.through(house.api).events(each.stream.run_id) == each.stream.events
        remembered = await watched[0].talk.through(house.api).turn(RECALL)
        assert "quartz" in text_of(remembered)
        assert "here" in text_of(remembered)
        await check_runs(house)


async def statuses(house: House, run_ids: list[str]) -> set[str]:
    rows = await house.rows("SELECT status FROM runs WHERE run_id::text = ANY($1)", run_ids)
    assert len(rows) == len(run_ids)
    return {row["status"] for row in rows}
