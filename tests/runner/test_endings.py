"""Interrupts, deaths and the end of the runner, with the real CLI."""

import asyncio
import signal

import pytest

from runner.protocol import Failed, Interrupt, Opened, SessionInit, StoreLoad, ToolUse, TurnEnded
from tests.runner.client import Backend, outcome
from tests.runner.conftest import Runner, options
from tests.runner.scenes import AGENT, FOREVER, gone, sleeping

pytestmark = pytest.mark.needs_cli


@pytest.mark.parametrize("prompt", ["@text so far\n@wait 60\n@text never", FOREVER, AGENT % '"@wait 60"', "@ttft 60"])
async def test_an_interrupt_ends_the_turn_soon_and_the_next_one_works(backend: Backend, prompt: str) -> None:
    begun = len(backend.frames)
    backend.prompt(prompt)
    await backend.next(SessionInit, begun)
    if "tool" in prompt:
        await backend.next(ToolUse, begun)
    backend.send(Interrupt())
    end = await backend.next(TurnEnded, begun, seconds=4)

    assert (end.outcome, end.reason) == ("interrupted", None)
    assert outcome(await backend.turn("@text alive")).outcome == "success"


async def test_an_interrupt_that_overtakes_its_prompt_still_stops_it(backend: Backend) -> None:
    begun = len(backend.frames)
    backend.prompt("@text a\n@wait 60\n@text never")
    backend.send(Interrupt())

    assert (await backend.next(TurnEnded, begun, seconds=4)).outcome == "interrupted"


async def test_an_interrupt_without_a_turn_does_nothing(backend: Backend) -> None:
    backend.send(Interrupt())

    assert outcome(await backend.turn("@text alive")).outcome == "success"


@pytest.mark.slow
async def test_a_cli_that_hangs_is_ended_after_an_interrupt(runner: Runner, backend: Backend) -> None:
    begun = len(backend.frames)
    backend.prompt(FOREVER)
    await backend.next(ToolUse, begun)
    below = runner.below()
    runner.claude().send_signal(signal.SIGSTOP)
    backend.send(Interrupt())
    failed = await backend.next(Failed, begun, seconds=10)

    assert failed.kind == "died"
    await gone(below)


async def test_a_cli_that_dies_is_told_at_once_and_takes_everything_with_it(
    runner: Runner, backend: Backend, session_id: str
) -> None:
    begun = len(backend.frames)
    backend.prompt('@tool Bash {"command": "(setsid sleep 120 &) ; sleep 120"}')
    await backend.next(ToolUse, begun)
    await sleeping(runner, 2)
    below = runner.below()
    runner.claude().kill()
    failed = await backend.next(Failed, begun, seconds=3)

    assert (failed.kind, failed.message.splitlines()[0]) == ("died", "the Claude process ended with exit code -9")
    await gone(below)
    assert runner.below() == [], "not even a zombie"
    backend.open(options(session_id, resume=True))
    await backend.next(Opened, begun)
    assert outcome(await backend.turn("@text alive")).outcome == "success"


@pytest.mark.slow
async def test_a_cli_that_dies_between_turns_is_told(runner: Runner, backend: Backend) -> None:
    begun = len(backend.frames)
    runner.claude().kill()
    assert (await backend.next(Failed, begun, seconds=3)).kind == "died"
    async with runner.backend(after=backend.frames[-1].seq) as again:
        assert again.hello is not None
        assert not again.hello.open


async def test_a_new_open_ends_the_former_process_and_its_turn(runner: Runner, backend: Backend) -> None:
    begun = len(backend.frames)
    backend.prompt(FOREVER)
    await backend.next(ToolUse, begun)
    below = runner.below()
    backend.open(options())
    await backend.next(Opened, begun)

    assert [frame.type for frame in backend.frames[begun:] if frame.type in {"failed", "opened"}] == [
        "failed",
        "opened",
    ]
    await gone(below)
    assert outcome(await backend.turn("@text new")).outcome == "success"


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [None, FOREVER])
async def test_sigterm_ends_everything_within_two_seconds(own_runner: Runner, prompt: str | None) -> None:
    async with own_runner.backend() as backend:
        backend.open(options())
        await backend.next(Opened)
        if prompt:
            backend.prompt(prompt)
            await backend.next(ToolUse)
            await sleeping(own_runner, 1)
        below = own_runner.below()
        own_runner.process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(own_runner.process.wait(), 2) == 0
        await gone(below)


@pytest.mark.slow
async def test_sigterm_while_the_cli_starts_ends_the_runner_too(own_runner: Runner) -> None:
    async with own_runner.backend() as backend:
        backend.answering = False
        backend.open(options(resume=True))
        await backend.next(StoreLoad)
        own_runner.process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(own_runner.process.wait(), 2) == 0
