"""The lines of the control protocol."""

import pytest
from pydantic import ValidationError

from runner.protocol import (
    Ack,
    Attach,
    Compacted,
    Failed,
    Hello,
    Interrupt,
    Message,
    Open,
    Opened,
    Prompt,
    Retrying,
    SessionInit,
    SessionKey,
    StoreAppend,
    StoreLoad,
    StoreReply,
    StoreSubkeys,
    SubagentEnded,
    SubagentStarted,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolInputDelta,
    ToolPending,
    ToolResult,
    ToolUse,
    TurnEnded,
    commands,
    frames,
)
from tests.runner.conftest import options

KEY = SessionKey(project_key="-workspace", session_id="s", subpath="subagents/agent-1")
COMMANDS = [
    Attach(after=7),
    Open(options=options(system_prompt="Be\u2028brief", output_format={"type": "json_schema", "schema": {}})),
    Prompt(text="line\none", model="m"),
    Interrupt(),
    Ack(seq=3),
    StoreReply(request=1, entries=[{"type": "user", "n": 1.5}], more=True),
    StoreReply(request=1, subkeys=["a"], error="no"),
]
FRAMES = [
    Hello(runner_version="1", sdk_version="2", pid=3, open=True, turn=False, last_seq=9),
    Opened(seq=1, session_id="s", elapsed_ms=400),
    SessionInit(seq=2, session_id="s", model="m", tools=("Bash",)),
    TextDelta(seq=3, text="\u2028 \x00 é 😀"),
    ThinkingDelta(seq=4, text="hm", parent="t"),
    ToolInputDelta(seq=5, tool_use_id="t", partial_json='{"a'),
    ToolPending(seq=6, tool_use_id="t", name="Bash"),
    Text(seq=7, text="whole"),
    Thinking(seq=8, text="whole"),
    ToolUse(seq=9, tool_use_id="t", name="Bash", input={"command": "ls", "deep": [{"a": None}]}),
    ToolResult(seq=10, tool_use_id="t", text="out", is_error=False),
    SubagentStarted(seq=11, tool_use_id="t", agent_type="Explore", description="d", model="m"),
    SubagentEnded(seq=12, tool_use_id="t", agent_type="Explore", status="completed", result_preview="r"),
    Retrying(seq=13, reason="rate_limit", attempt=1, delay_ms=500),
    Compacted(seq=14, tokens_before=100),
    StoreAppend(seq=15, request=1, key=KEY, entries=[{"type": "user"}]),
    StoreLoad(seq=16, request=2, key=KEY),
    StoreSubkeys(seq=17, request=3, key=KEY),
    TurnEnded(seq=18, outcome="success", turns=1, duration_ms=5, structured_output={"a": [1]}),
    Failed(seq=19, kind="died", message="gone"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.type)
def test_a_command_survives_its_line(command: Message) -> None:
    assert commands.validate_json(command.model_dump_json()) == command


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.type)
def test_a_frame_survives_its_line(frame: Message) -> None:
    line = frame.model_dump_json()

    assert frames.validate_json(line) == frame
    assert "\n" not in line


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"null", b'{"type":"nonsense"}', b'{"type":"prompt"}', b'{"type":"interrupt","extra":1}', b"\xff"],
)
def test_a_malformed_command_is_refused(line: bytes) -> None:
    with pytest.raises(ValidationError):
        commands.validate_json(line)
