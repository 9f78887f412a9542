"""A backend that leaves, comes back or does not keep up, with the real CLI."""

import asyncio
from pathlib import Path

import pytest

from runner.protocol import Opened, SessionInit, Text, TurnEnded
from standin.server import Address
from tests.runner.client import Backend, of, said
from tests.runner.conftest import Runner, options, running
from tests.runner.scenes import settled

pytestmark = pytest.mark.needs_cli


async def test_a_turn_goes_on_without_a_backend_and_is_read_later(runner: Runner, session_id: str) -> None:
    async with runner.backend() as first:
        first.open(options(session_id))
        await first.next(Opened)
        first.prompt("@stream n=300 rate=0")
        await first.next(SessionInit)
    seen = first.frames

    async with runner.backend(after=seen[-1].seq) as second:
        await second.next(TurnEnded)
        everything = [*seen, *second.frames]

    assert [frame.seq for frame in everything] == list(range(everything[0].seq, everything[-1].seq + 1))
    assert said(everything) == "".join(f"{number:03} " for number in range(300))


@pytest.mark.slow
async def test_a_full_buffer_stops_the_agent_and_loses_nothing(folder: Path, own_address: Address) -> None:
    limit = 100_000
    async with running(folder, folder / "gateway", RUNNER_BUFFER_BYTES=str(limit)) as runner:
        async with runner.backend() as first:
            first.acknowledging = False
            first.open(options())
            first.prompt("@stream n=4000 rate=0")
            await first.wait(lambda: sum(len(frame.model_dump_json()) + 1 for frame in first.frames) >= limit)
            await settled(runner)
            held = first.frames

        assert len(held) < 2500, "most of the answer waits inside the CLI"
        async with runner.backend(after=held[-1].seq) as second:
            end = await second.next(TurnEnded, seconds=60)
            everything = [*held, *second.frames]

    assert end.outcome == "success"
    assert [frame.seq for frame in everything] == list(range(1, end.seq + 1))
    assert said(everything) == "".join(frame.text for frame in of(Text, everything))


@pytest.mark.slow
async def test_a_malformed_line_does_not_disturb_the_turn(runner: Runner, backend: Backend) -> None:
    backend.prompt("@wait 0.5\n@text undisturbed")
    backend.send_raw(b"nonsense\n")
    await asyncio.wait_for(backend.lost.wait(), 5)
    async with runner.backend(after=0) as again:
        assert (await again.next(TurnEnded)).result == "undisturbed"
