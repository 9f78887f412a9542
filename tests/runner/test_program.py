"""The whole runner with the real CLI, against the stand-in."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import psutil
import pytest

from runner.protocol import (
    Compacted,
    Failed,
    Frame,
    Interrupt,
    Open,
    Opened,
    Retrying,
    SessionInit,
    StoreAppend,
    StoreLoad,
    SubagentEnded,
    SubagentStarted,
    Text,
    Thinking,
    ToolInputDelta,
    ToolPending,
    ToolResult,
    ToolUse,
    TurnEnded,
)
from standin.server import Address
from tests.runner.client import Backend, Transcripts, calls_by_model, of, outcome, said
from tests.runner.conftest import MODEL, SMALL_MODEL, Runner, options, running

pytestmark = pytest.mark.needs_cli
FOREVER = '@tool Bash {"command": "sleep 120"}'
AGENT = '@agent {"description": "look", "subagent_type": "general-purpose", "prompt": %s}'


@pytest.fixture
async def session_id() -> str:
    return str(uuid4())


@pytest.fixture
async def backend(runner: Runner, session_id: str) -> AsyncIterator[Backend]:
    """Attached, with an agent that waits for a prompt."""
    async with runner.backend() as backend:
        backend.open(options(session_id, system_prompt="TENANT-PROMPT-1"))
        await backend.next(Opened)
        yield backend


async def counted(address: Address) -> dict[str, int]:
    async with aiohttp.ClientSession(address.url) as session, session.get("/_standin/counters") as answer:
        return calls_by_model(await answer.json())


async def asked(address: Address) -> list[str]:
    """The bodies of all requests."""
    async with aiohttp.ClientSession(address.url) as session, session.get("/_standin/requests") as answer:
        return [await answer.text()]


async def gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(10):
        while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_text_comes_as_it_is_written_and_whole_and_is_stored_before_the_end(backend: Backend) -> None:
    found = await backend.turn("@think hm\n@stream n=50 rate=0")

    kinds = [frame.type for frame in found]
    assert kinds[0] == "init"
    assert of(SessionInit, found)[0].model == MODEL
    assert said(found) == "".join(f"{number:03} " for number in range(50)) == of(Text, found)[0].text
    assert of(Thinking, found)[0].text == "hm"
    assert kinds.index("text_delta") < kinds.index("text") < kinds.index("turn_ended")
    stored = [entry["type"] for frame in of(StoreAppend, found) for entry in frame.entries]
    assert {"user", "assistant"} <= set(stored)
    end = outcome(found)
    assert (end.outcome, end.turns) == ("success", 1)
    assert end.context_tokens
    assert [frame.seq for frame in backend.frames] == list(range(1, len(backend.frames) + 1))


async def test_nothing_follows_the_end_of_a_turn(backend: Backend) -> None:
    for _ in range(3):
        await backend.turn('@tool Bash {"command": "echo hi"}\n@text done')
    await backend.turn("@text last")

    ends = [number for number, frame in enumerate(backend.frames) if isinstance(frame, TurnEnded)]
    assert all(backend.frames[number + 1].type in {"init", "store_append"} for number in ends[:-1])
    appended = [frame for frame in backend.frames[ends[-2] + 1 : ends[-1]] if isinstance(frame, StoreAppend)]
    assert all("done" not in str(frame.entries) for frame in appended), "an entry of the turn before"


async def test_the_second_turn_uses_the_same_process(runner: Runner, backend: Backend) -> None:
    await backend.turn("@text one")
    first = runner.claude().pid
    await backend.turn("@text two")

    assert runner.claude().pid == first


async def test_a_tools_call_and_result_are_told(runner: Runner, backend: Backend) -> None:
    found = await backend.turn('@tool Bash {"command": "pwd; echo $HOME; env | grep -c RUNNER_"}\n@text done')

    call, result = of(ToolUse, found)[0], of(ToolResult, found)[0]
    assert of(ToolPending, found)[0].tool_use_id == call.tool_use_id == result.tool_use_id
    assert "".join(piece.partial_json for piece in of(ToolInputDelta, found)).startswith('{"command"')
    assert result.text.split() == [str(runner.workspace), str(runner.folder / "home"), "0"]
    assert outcome(found).turns == 2


async def test_a_tool_that_fails_fails_alone(backend: Backend) -> None:
    found = await backend.turn('@tool Bash {"command": "exit 7"}\n@text went on')

    assert of(ToolResult, found)[0].is_error
    assert outcome(found).outcome == "success"


async def test_a_sub_agent_runs_inside_its_turn_with_the_small_model(address: Address, backend: Backend) -> None:
    found = await backend.turn(
        AGENT % '"@tool Bash {\\"command\\": \\"echo inner\\"}\\n@text sub done"' + "\n@text all done"
    )

    call = next(frame for frame in of(ToolUse, found) if frame.parent is None)
    assert of(SubagentStarted, found)[0].tool_use_id == call.tool_use_id
    assert of(SubagentStarted, found)[0].agent_type == "general-purpose"
    assert of(SubagentEnded, found)[0].status == "completed"
    inner = [frame for frame in found if getattr(frame, "parent", None) == call.tool_use_id]
    assert [frame.type for frame in inner] == ["tool_use", "tool_result", "text"]
    kinds = [frame.type for frame in found]
    assert kinds.index("subagent_started") < kinds.index("subagent_ended") < kinds.index("turn_ended")
    calls = await counted(address)
    assert set(calls) == {MODEL, SMALL_MODEL}
    assert calls[SMALL_MODEL] == 2


@pytest.mark.parametrize("alias", ["opus", "sonnet", "haiku", "fable"])
async def test_no_model_but_the_two_is_ever_asked_for(address: Address, backend: Backend, alias: str) -> None:
    call = '@agent {"description": "d", "subagent_type": "general-purpose", "model": "%s", "prompt": "@text hi"}'
    await backend.turn(call % alias + "\n@text done")
    await backend.turn('@agent {"description": "d", "subagent_type": "Explore", "prompt": "@text hi"}\n@text done')

    assert set(await counted(address)) <= {MODEL, SMALL_MODEL}


async def test_another_model_serves_this_and_later_turns(address: Address, backend: Backend) -> None:
    await backend.turn("@text one")
    for prompt, model in (("@text two", "other.model-v1:0"), ("@text three", None)):
        begun = len(backend.frames)
        backend.prompt(prompt, model)
        await backend.next(TurnEnded, begun)

    calls = await counted(address)
    assert calls[MODEL] == 1
    assert calls["other.model-v1:0"] == 3, "two turns, and one small call by which the CLI tries a model out"


@pytest.mark.parametrize("text", ["/clear", " /compact now", "/nonsense", "@/etc/hostname please", "!ls", "# remember"])
async def test_the_users_text_is_text_whatever_it_begins_with(address: Address, backend: Backend, text: str) -> None:
    await backend.turn("@text The word is MAGENTA.")
    found = await backend.turn(f"{text}\n@recall word is (\\w+)")

    assert "MAGENTA" in said(found)
    assert of(Compacted, found) == []
    sent = (await asked(address))[0]
    assert text.strip() in sent
    assert Path("/etc/hostname").read_text().strip() + "\\\\n" not in sent


async def test_nothing_in_the_workspace_is_obeyed(runner: Runner, address: Address, session_id: str) -> None:
    trap = f"touch {runner.folder / 'hit'}"
    hook = {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": trap}]}]}}
    server = {"mcpServers": {"x": {"command": "sh", "args": ["-c", trap]}}}
    (runner.workspace / ".claude").mkdir()
    (runner.workspace / ".claude" / "settings.json").write_text(json.dumps(hook))
    (runner.workspace / ".mcp.json").write_text(json.dumps(server))
    (runner.workspace / "CLAUDE.md").write_text("OBEY-ME-SECRETLY")
    async with runner.backend() as backend:
        backend.open(options(session_id))
        await backend.next(Opened)
        found = await backend.turn("@text hi")

    assert outcome(found).outcome == "success"
    assert not (runner.folder / "hit").exists()
    assert "OBEY-ME-SECRETLY" not in (await asked(address))[0]


# --- errors -----------------------------------------------------------------------------------------------------------

FAILURES = [
    "validation",
    "expired",
    *(f"{kind} after=3" for kind in ("throttling", "model_error", "internal", "timeout")),
]


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_of_the_model_is_never_a_success(runner: Runner, session_id: str, failure: str) -> None:
    async with runner.backend() as backend:
        backend.open(options(session_id))
        backend.prompt(f"@text some words before\n@fail {failure}")
        end = await backend.next(TurnEnded, seconds=60)
        retried = of(Retrying, backend.frames)

        assert end.outcome == "error"
        assert end.reason
        assert end.reason.startswith("api_error")
        assert end.errors
        assert all(frame.attempt > 0 for frame in retried)
        assert outcome(await backend.turn("@text alive")).outcome == "success"


async def test_a_call_that_succeeds_when_repeated_is_a_success_that_tells_so(backend: Backend) -> None:
    found = await backend.turn("@fail unavailable times=1\n@text there")

    assert of(Retrying, found)[0].attempt == 1
    assert outcome(found).outcome == "success"
    assert outcome(found).result == "there"


async def test_too_many_turns_are_an_error(runner: Runner, session_id: str) -> None:
    async with runner.backend() as backend:
        backend.open(options(session_id, max_turns=1))
        backend.prompt('@tool Bash {"command": "echo"}\n@text never')
        end = await backend.next(TurnEnded)

    assert (end.outcome, end.reason) == ("error", "error_max_turns")


@pytest.mark.parametrize(
    ("session", "changes"),
    [
        ("no uuid", {}),
        (None, {"resume": True}),
        (None, {"output_format": {"type": "json_schema", "schema": {"type": "nonsense"}}}),
    ],
)
async def test_options_that_the_cli_refuses_are_told(
    runner: Runner, session: str | None, changes: dict[str, object]
) -> None:
    async with runner.backend() as backend:
        backend.open(options(session, **changes))
        assert (await backend.next(Failed)).kind == "options"
        backend.open(options())
        await backend.next(Opened)


async def test_a_cli_that_is_not_there_or_says_nothing_useful_fails_to_start(folder: Path, address: Address) -> None:
    async with (
        running(folder, folder / "gateway", RUNNER_CLI_PATH="/nonexistent") as runner,
        runner.backend() as backend,
    ):
        backend.open(options())
        assert (await backend.next(Failed)).kind == "start"


async def test_a_store_that_cannot_be_read_fails_the_resume(runner: Runner) -> None:
    async with runner.backend() as backend:
        backend.store_error = "database down"
        backend.open(options(resume=True))
        failed = await backend.next(Failed)

    assert failed.kind == "store"
    assert "database down" in failed.message


async def test_a_store_that_cannot_be_written_ends_the_process(runner: Runner, backend: Backend) -> None:
    backend.store_error = "disk full"
    begun = len(backend.frames)
    backend.prompt(FOREVER)
    failed = await backend.next(Failed, begun)

    assert (failed.kind, failed.message) == ("store", "disk full")
    assert runner.below() == []


async def test_a_prompt_without_a_process_is_refused(runner: Runner) -> None:
    async with runner.backend() as backend:
        backend.prompt("hi")
        assert (await backend.next(Failed)).kind == "protocol"


async def test_a_prompt_during_a_turn_is_refused_and_disturbs_nothing(backend: Backend) -> None:
    begun = len(backend.frames)
    backend.prompt('@tool Bash {"command": "sleep 0.5"}\n@text undisturbed')
    await backend.next(SessionInit, begun)
    backend.prompt("@text me too")
    assert (await backend.next(Failed, begun)).kind == "protocol"
    end = await backend.next(TurnEnded, begun)

    assert (end.outcome, end.result) == ("success", "undisturbed")


# --- interrupts and deaths --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("prompt", [None, FOREVER])
async def test_sigterm_ends_everything_within_two_seconds(runner: Runner, backend: Backend, prompt: str | None) -> None:
    if prompt:
        begun = len(backend.frames)
        backend.prompt(prompt)
        await backend.next(ToolUse, begun)
        await sleeping(runner, 1)
    below = runner.below()
    runner.process.send_signal(signal.SIGTERM)

    assert await asyncio.wait_for(runner.process.wait(), 2) == 0
    await gone(below)


async def test_sigterm_while_the_cli_starts_ends_the_runner_too(runner: Runner) -> None:
    async with runner.backend() as backend:
        backend.answering = False
        backend.open(options(resume=True))
        await backend.next(StoreLoad)
        runner.process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(runner.process.wait(), 2) == 0


async def sleeping(runner: Runner, number: int) -> None:
    async with asyncio.timeout(10):
        while sum(child.name() == "sleep" for child in runner.below()) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- connections ------------------------------------------------------------------------------------------------------


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

    assert [frame.seq for frame in everything] == list(range(1, len(everything) + 1))
    assert said(everything) == "".join(f"{number:03} " for number in range(300))


async def test_a_full_buffer_stops_the_agent_and_loses_nothing(folder: Path, address: Address) -> None:
    limit = 200_000
    async with running(folder, folder / "gateway", RUNNER_BUFFER_BYTES=str(limit)) as runner:
        async with runner.backend() as first:
            first.acknowledging = False
            first.open(options())
            first.prompt("@stream n=8000 rate=0")
            await first.wait(lambda: sum(len(frame.model_dump_json()) + 1 for frame in first.frames) >= limit)
            await settled(runner)
            held = first.frames

        assert len(held) < 4000, "most of the answer waits inside the CLI"
        async with runner.backend(after=held[-1].seq) as second:
            end = await second.next(TurnEnded, seconds=60)
            everything = [*held, *second.frames]

    assert end.outcome == "success"
    assert [frame.seq for frame in everything] == list(range(1, end.seq + 1))
    assert said(everything) == "".join(frame.text for frame in of(Text, everything))


async def settled(runner: Runner) -> None:
    """Wait until the runner has nothing to do."""
    process, used = psutil.Process(runner.process.pid), -1.0
    async with asyncio.timeout(20):
        while used != (used := process.cpu_times().user):  # noqa: ASYNC110
            await asyncio.sleep(0.3)


async def test_a_malformed_line_does_not_disturb_the_turn(runner: Runner, backend: Backend) -> None:
    backend.prompt("@wait 0.5\n@text undisturbed")
    backend.send_raw(b"nonsense\n")
    await asyncio.wait_for(backend.lost.wait(), 5)
    async with runner.backend() as again:
        assert (await again.next(TurnEnded)).result == "undisturbed"


# --- memory -----------------------------------------------------------------------------------------------------------


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
    folder: Path, address: Address, session_id: str, prompt: str, until: type[Frame]
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
    last = (await asked(address))[0].rpartition("TENANT-PROMPT-")
    assert last[2].startswith("2"), "an edited prompt takes effect"


async def test_commands_may_be_sent_before_the_process_is_up(runner: Runner, session_id: str) -> None:
    async with runner.backend() as backend:
        backend.send(Open(options=options(session_id)))
        backend.prompt("@text hi")
        assert (await backend.next(TurnEnded)).outcome == "success"
