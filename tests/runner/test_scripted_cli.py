"""A CLI of tomorrow, or a sick one: a script in its place says what the real one does not."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.protocol import Failed, Opened, Text, TurnEnded
from tests.runner.client import Backend, of
from tests.runner.conftest import Runner, options, running, short_folder

SCRIPT = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "control_request":
        answer = {"subtype": "success", "request_id": message["request_id"], "response": {}}
        print(json.dumps({"type": "control_response", "response": answer}), flush=True)
    elif message["type"] == "user":
        lines = json.loads(message["message"]["content"])
        print("\\n".join(lines).replace("{prompt}", message["uuid"]), flush=True)
"""
DEAF = "import time\nwhile True: time.sleep(60)\n"
IMPATIENT = (
    "from runner.lean import leave_out_mcp; leave_out_mcp(); from runner import session; session.START_SECONDS = 0.5; "
    "from runner.__main__ import main; main()"
)
TEXT = {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "hi"}]}}
RESULT: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "duration_ms": 1,
    "duration_api_ms": 1,
    "is_error": False,
    "num_turns": 1,
    "session_id": "s",
    "result": "done",
}


def program(folder: Path, source: str) -> str:
    path = folder / "cli"
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
async def runner() -> AsyncIterator[Runner]:
    with short_folder() as folder:
        async with running(folder, folder, RUNNER_CLI_PATH=program(folder, SCRIPT)) as runner:
            yield runner


@pytest.fixture
async def scripted(runner: Runner) -> AsyncIterator[Backend]:
    async with runner.backend() as backend:
        backend.open(options())
        await backend.next(Opened)
        yield backend


def script(*messages: dict[str, Any] | str) -> str:
    return json.dumps([each if isinstance(each, str) else json.dumps(each) for each in messages])


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "a_kind_of_tomorrow", "anything": 1},
        {"type": "system", "subtype": "a_word_of_tomorrow"},
        {"type": "system"},
        {"no": "type"},
        {"type": "assistant"},
        {"type": "assistant", "message": {"model": "m", "content": "text"}},
        {"type": "assistant", "message": {"model": "m", "content": [{"type": "thinking", "thinking": "unsigned"}]}},
        {"type": "user", "message": {}},
        {"type": "stream_event"},
        {"type": "system", "subtype": "task_progress"},
        {"type": "result"},
        {"type": "control_request", "request_id": "r", "request": {"subtype": "a_wish_of_tomorrow"}},
        "not json at all",
        "",
    ],
    ids=str,
)
async def test_a_message_nobody_understands_is_passed_over(scripted: Backend, odd: dict[str, Any] | str) -> None:
    found = await scripted.turn(script(odd, TEXT, odd, RESULT))

    assert [frame.text for frame in of(Text, found)] == ["hi"]
    assert isinstance(found[-1], TurnEnded)
    assert found[-1].outcome == "success"


async def test_a_result_of_another_turn_does_not_end_this_one(scripted: Backend) -> None:
    own_uuid = json.dumps(RESULT | {"user_message_uuids": ["{prompt}"]})
    injected = RESULT | {"result": "not this", "origin": {"kind": "task-notification"}}
    found = await scripted.turn(script(injected, TEXT, own_uuid))

    assert [frame.result for frame in of(TurnEnded, found)] == ["done"]
    assert len(of(Text, found)) == 1


async def test_a_result_between_turns_ends_neither(scripted: Backend) -> None:
    await scripted.turn(script(RESULT, RESULT | {"origin": {"kind": "task-notification"}}))
    found = await scripted.turn(script(TEXT, RESULT))

    assert [frame.type for frame in found] == ["text", "turn_ended"]


@pytest.mark.slow
async def test_a_cli_that_never_answers_fails_to_start(folder: Path) -> None:
    cli = program(folder, DEAF)
    started = running(folder, folder, ("-c", IMPATIENT), RUNNER_CLI_PATH=cli)
    async with started as runner, runner.backend() as backend:
        backend.open(options())
        failed = await backend.next(Failed, seconds=10)

        assert failed.kind == "start"
        assert runner.below() == []


async def test_a_cli_that_says_why_it_ends_is_quoted(folder: Path) -> None:
    cli = program(folder, "import sys; sys.exit('this option is unknown')")
    async with running(folder, folder, RUNNER_CLI_PATH=cli) as runner, runner.backend() as backend:
        backend.open(options())
        failed = await backend.next(Failed)

    assert failed.kind == "options"
    assert "this option is unknown" in failed.message
