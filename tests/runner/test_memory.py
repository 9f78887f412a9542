"""Another runner goes on with a stored conversation, whole or torn."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runner.protocol import (
    Frame,
    Open,
    Opened,
    SessionInit,
    StoreAppend,
    SubagentStarted,
    ToolResult,
    ToolUse,
    TurnEnded,
)
from standin.server import Address
from tests.runner.client import Backend, Transcripts, of
from tests.runner.conftest import Runner, options, running
from tests.runner.scenes import AGENT, FOREVER, asked, gone

pytestmark = pytest.mark.needs_cli


@asynccontextmanager
async def reborn(folder: Path, transcripts: Transcripts) -> AsyncIterator[Backend]:
    """Another runner with the same workspace and nothing else but the stored transcripts."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    (folder / "control" / "control.sock").unlink(missing_ok=True)
    async with running(folder, folder / "gateway") as runner:
        runner.transcripts = transcripts
        async with runner.backend() as backend:
            yield backend


async def begun(folder: Path, session_id: str, prompt: str, until: type[Frame]) -> Transcripts:
    """A conversation that knows a word, killed with its runner as soon as a prompt led to some kind of frame."""
    async with running(folder, folder / "gateway") as runner, runner.backend() as backend:
        backend.open(options(session_id, system_prompt="TENANT-PROMPT-1"))
        await backend.next(Opened)
        await backend.turn("@text The word is MAGENTA.")
        before = len(backend.frames)
        backend.prompt(prompt)
        await backend.next(until, before)
        if until is not TurnEnded:
            await backend.wait(lambda: bool(of(StoreAppend, backend.frames[before:])))
        below = runner.below()
        runner.process.kill()
        await runner.process.wait()
        for child in below:
            os.kill(child.pid, signal.SIGKILL)
        await gone(below)
        return runner.transcripts


@pytest.mark.parametrize(
    ("prompt", "until"),
    [
        ("@text whole", TurnEnded),
        (FOREVER, ToolUse),
        ('@tool Bash {"command": "echo 1"}\n' + FOREVER, ToolResult),
        (AGENT % '"@wait 60"', SubagentStarted),
        ("@text a\n@wait 60", SessionInit),
    ],
    ids=["whole", "unanswered tool call", "one of two answered", "unanswered sub-agent", "unanswered prompt"],
)
async def test_another_runner_remembers_the_conversation(
    folder: Path, own_address: Address, session_id: str, prompt: str, until: type[Frame]
) -> None:
    transcripts = await begun(folder, session_id, prompt, until)
    async with reborn(folder, transcripts) as backend:
        backend.page = 3
        backend.open(options(session_id, resume=True, system_prompt="TENANT-PROMPT-2"))
        backend.prompt("@recall word is (\\w+)")
        end = await backend.next(TurnEnded)

        assert end.outcome == "success"
        assert "MAGENTA" in (end.result or "")
        assert of(ToolUse, backend.frames) == [], "no call is repeated"
    last = (await asked(own_address)).rpartition("TENANT-PROMPT-")
    assert last[2].startswith("2"), "an edited prompt takes effect"


async def test_commands_may_be_sent_before_the_process_is_up(runner: Runner, session_id: str) -> None:
    async with runner.backend() as backend:
        backend.send(Open(options=options(session_id)))
        backend.prompt("@text hi")
        assert (await backend.next(TurnEnded)).outcome == "success"
