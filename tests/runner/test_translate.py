"""From the SDK's messages to frames, on messages as the CLI sends them."""

from typing import Any

import pytest
from claude_agent_sdk._internal.message_parser import parse_message

from runner.protocol import (
    Compacted,
    Frame,
    Retrying,
    SessionInit,
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
)
from runner.translate import RESULT_BYTES, Turn, result_text, translate

RESULT: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "duration_ms": 12,
    "duration_api_ms": 10,
    "is_error": False,
    "num_turns": 1,
    "session_id": "s",
    "result": "done",
    "terminal_reason": "completed",
}
SYSTEM: dict[str, Any] = {"type": "system", "uuid": "u", "session_id": "s"}


@pytest.fixture
def turn() -> Turn:
    return Turn(uuid="prompt-1")


def read(turn: Turn, *raw: dict[str, Any]) -> list[Frame]:
    """The frames of messages as they come from the CLI."""
    return [draft(seq=1) for message in raw for draft in translate(parse_message(message), turn)]


def event(kind: str, parent: str | None = None, **fields: object) -> dict[str, Any]:
    inner = {"type": kind, **fields}
    return {"type": "stream_event", "uuid": "u", "session_id": "s", "event": inner, "parent_tool_use_id": parent}


def delta(kind: str, index: int = 0, parent: str | None = None, **fields: object) -> dict[str, Any]:
    return event("content_block_delta", parent, index=index, delta={"type": kind, **fields})


def assistant(*blocks: dict[str, Any], parent: str | None = None, **fields: object) -> dict[str, Any]:
    message = {"model": "m", "id": "msg_1", "content": list(blocks), "usage": {"input_tokens": 7, "output_tokens": 1}}
    return {"type": "assistant", "message": message, "parent_tool_use_id": parent, **fields}


def ended(frames: list[Frame]) -> TurnEnded:
    assert isinstance(frames[-1], TurnEnded)
    return frames[-1]


def test_text_and_thinking_come_as_they_are_written(turn: Turn) -> None:
    found = read(turn, delta("text_delta", text="He"), delta("thinking_delta", thinking="hm"), delta("signature_delta"))

    assert found == [TextDelta(seq=1, text="He"), ThinkingDelta(seq=1, text="hm")]


def test_pieces_of_a_tools_input_carry_its_id(turn: Turn) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
    found = read(
        turn,
        event("content_block_start", index=1, content_block=block),
        delta("input_json_delta", index=1, partial_json=""),
        delta("input_json_delta", index=1, partial_json='{"comm'),
    )

    assert found == [
        ToolPending(seq=1, tool_use_id="toolu_1", name="Bash"),
        ToolInputDelta(seq=1, tool_use_id="toolu_1", partial_json='{"comm'),
    ]


def test_block_indexes_of_different_speakers_do_not_mix(turn: Turn) -> None:
    def start(parent: str | None, tool: str) -> dict[str, Any]:
        return event(
            "content_block_start", parent, index=0, content_block={"type": "tool_use", "id": tool, "name": "n"}
        )

    read(turn, start(None, "main"), start("agent-1", "sub"))
    found = read(
        turn,
        delta("input_json_delta", partial_json="a"),
        delta("input_json_delta", parent="agent-1", partial_json="b"),
    )

    assert [frame.tool_use_id for frame in found if isinstance(frame, ToolInputDelta)] == ["main", "sub"]
    assert [frame.parent for frame in found if isinstance(frame, ToolInputDelta)] == [None, "agent-1"]


def test_a_tools_index_taken_over_by_text_has_no_id_any_more(turn: Turn) -> None:
    read(turn, event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "n"}))
    read(turn, event("content_block_start", index=0, content_block={"type": "text", "text": ""}))

    assert read(turn, delta("input_json_delta", partial_json="x")) == []


def test_whole_blocks_follow_in_their_order(turn: Turn) -> None:
    found = read(
        turn,
        assistant(
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Hello"},
            {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}},
            {"type": "a_block_of_tomorrow"},
            parent="agent-1",
        ),
    )

    assert found == [
        Thinking(seq=1, text="hm", parent="agent-1"),
        Text(seq=1, text="Hello", parent="agent-1"),
        ToolUse(seq=1, tool_use_id="t", name="Bash", input={"command": "ls"}, parent="agent-1"),
    ]


def test_a_tools_result_is_text_whatever_it_holds(turn: Turn) -> None:
    content = [{"type": "text", "text": "a"}, {"type": "image", "source": {}}, {"type": "text", "text": "b"}, {}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": True}
    found = read(turn, {"type": "user", "message": {"content": [result]}})

    assert found == [ToolResult(seq=1, tool_use_id="t", text="a\n[image]\nb\n[unknown]", is_error=True)]


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_a_long_result_is_cut_at_a_whole_character(character: str) -> None:
    cut = result_text("a" + character * RESULT_BYTES)

    assert RESULT_BYTES - 4 < len(cut.encode()) <= RESULT_BYTES
    assert set(cut[1:]) == {character}


def test_a_result_without_content_is_empty() -> None:
    assert result_text(None) == result_text([]) == ""


def test_what_the_user_said_gives_no_frame(turn: Turn) -> None:
    blocks = {"type": "user", "message": {"content": [{"type": "text", "text": "[Request interrupted by user]"}]}}

    assert read(turn, {"type": "user", "message": {"content": "hi"}}, blocks) == []


def test_the_clis_own_account_of_the_session_is_passed_on(turn: Turn) -> None:
    found = read(turn, SYSTEM | {"subtype": "init", "model": "m", "tools": ["Bash"], "cwd": "/w"})

    assert found == [SessionInit(seq=1, session_id="s", model="m", tools=("Bash",))]


def test_a_repeated_call_is_told(turn: Turn) -> None:
    retry = SYSTEM | {"subtype": "api_retry", "attempt": 2, "max_retries": 10, "retry_delay_ms": 595.6}
    found = read(turn, retry | {"error_status": 429, "error": "rate_limit"}, retry | {"error_status": 503}, retry)

    assert [frame.reason for frame in found if isinstance(frame, Retrying)] == ["rate_limit", "503", "unknown"]
    assert found[0] == Retrying(seq=1, reason="rate_limit", attempt=2, delay_ms=596)


def test_a_shortened_context_is_told(turn: Turn) -> None:
    boundary = SYSTEM | {"subtype": "compact_boundary", "compact_metadata": {"trigger": "auto", "pre_tokens": 900}}

    assert read(turn, boundary, SYSTEM | {"subtype": "compact_boundary"}) == [
        Compacted(seq=1, tokens_before=900),
        Compacted(seq=1),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        SYSTEM | {"subtype": "status", "status": "requesting"},
        SYSTEM | {"subtype": "a_word_of_tomorrow", "anything": [1]},
        SYSTEM | {"subtype": "background_tasks_changed", "tasks": []},
        SYSTEM | {"subtype": "hook_started", "hook_name": "x"},
        {"type": "a_kind_of_tomorrow"},
        {"type": "rate_limit_event", "uuid": "u", "session_id": "s", "rate_limit_info": {"status": "allowed"}},
        event("ping"),
        event("an_event_of_tomorrow"),
        event("content_block_delta"),
        event("content_block_start"),
        event("message_start"),
        delta("citations_delta", citation={}),
    ],
)
def test_what_says_nothing_or_is_unknown_gives_no_frame(turn: Turn, raw: dict[str, Any]) -> None:
    assert read(turn, raw) == []


# --- sub-agents -------------------------------------------------------------------------------------------------------

STARTED = SYSTEM | {
    "subtype": "task_started",
    "task_id": "a1",
    "tool_use_id": "t",
    "description": "look",
    "subagent_type": "Explore",
    "task_type": "local_agent",
}
NOTIFIED = SYSTEM | {
    "subtype": "task_notification",
    "task_id": "a1",
    "tool_use_id": "t",
    "status": "completed",
    "output_file": "/tmp/x",
    "summary": "found it " * 100,
}


def test_a_sub_agent_starts_and_ends_once(turn: Turn) -> None:
    call = {"type": "tool_use", "id": "t", "name": "Agent", "input": {"model": "haiku", "prompt": "p"}}
    updated = SYSTEM | {"subtype": "task_updated", "task_id": "a1", "patch": {"status": "completed"}}
    found = read(turn, assistant(call), STARTED, updated, NOTIFIED, NOTIFIED)[1:]

    assert found[0] == SubagentStarted(seq=1, tool_use_id="t", agent_type="Explore", description="look", model="haiku")
    assert [type(frame) for frame in found] == [SubagentStarted, SubagentEnded]
    assert isinstance(found[1], SubagentEnded)
    assert (found[1].status, found[1].result_preview) == ("completed", ("found it " * 100)[:500])


@pytest.mark.parametrize(("status", "told"), [("failed", "failed"), ("stopped", "stopped"), ("odd", "failed")])
def test_how_a_sub_agent_ended_is_told(turn: Turn, status: str, told: str) -> None:
    found = read(turn, STARTED, NOTIFIED | {"status": status, "summary": ""})

    assert found[1] == SubagentEnded(seq=1, tool_use_id="t", agent_type="Explore", status=told)  # type: ignore[arg-type]


def test_a_sub_agent_nobody_heard_of_again_is_stopped_before_the_turns_end(turn: Turn) -> None:
    found = read(turn, STARTED, RESULT)

    assert [type(frame) for frame in found] == [SubagentStarted, SubagentEnded, TurnEnded]
    assert isinstance(found[1], SubagentEnded)
    assert found[1].status == "stopped"


def test_other_tasks_are_no_sub_agents(turn: Turn) -> None:
    assert read(turn, STARTED | {"task_type": "local_bash"}, NOTIFIED) == []


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_success_is_one_only_without_any_error(turn: Turn) -> None:
    end = ended(read(turn, RESULT | {"structured_output": {"a": 1}}))

    assert (end.outcome, end.reason, end.result, end.errors) == ("success", None, "done", ())
    assert (end.turns, end.duration_ms, end.structured_output) == (1, 12, {"a": 1})
    assert turn.ended


@pytest.mark.parametrize(
    ("changes", "reason", "errors"),
    [
        ({"is_error": True, "api_error_status": 429, "result": "API Error: 429"}, "api_error_429", ("API Error: 429",)),
        ({"is_error": True, "result": None}, "api_error_unknown", ()),
        ({"subtype": "error_max_turns", "is_error": True, "errors": ["too many"]}, "error_max_turns", ("too many",)),
        ({"subtype": "error_max_turns", "is_error": False, "result": None}, "error_max_turns", ()),
        ({"subtype": "error_during_execution", "is_error": True, "errors": ["x", "y"]}, None, ("x", "y")),
    ],
)
def test_an_error_of_any_kind_is_no_success(
    turn: Turn, changes: dict[str, Any], reason: str | None, errors: tuple[str, ...]
) -> None:
    end = ended(read(turn, RESULT | changes))

    assert end.outcome == "error"
    assert end.reason == (reason or changes["subtype"])
    assert end.errors == errors
    assert end.result is None


def test_the_clis_words_about_a_failed_call_are_not_the_models(turn: Turn) -> None:
    found = read(
        turn,
        assistant({"type": "text", "text": "API Error: lost"}, error="server_error"),
        RESULT | {"is_error": True, "result": "API Error: lost"},
    )

    assert [type(frame) for frame in found] == [TurnEnded]
    assert (ended(found).reason, ended(found).errors) == ("api_error_server_error", ("API Error: lost",))


@pytest.mark.parametrize("told", ["aborted_streaming", "aborted_tools", None])
def test_an_interrupted_turn_is_neither_success_nor_error(turn: Turn, told: str | None) -> None:
    turn.interrupted = told is None
    end = ended(read(turn, RESULT | {"subtype": "error_during_execution", "is_error": True, "terminal_reason": told}))

    assert (end.outcome, end.reason, end.errors) == ("interrupted", None, ())


def test_an_interrupt_that_came_too_late_leaves_the_success(turn: Turn) -> None:
    turn.interrupted = True

    assert ended(read(turn, RESULT)).outcome == "success"


def test_the_result_of_a_turn_that_the_cli_began_by_itself_ends_nothing(turn: Turn) -> None:
    foreign = RESULT | {"origin": {"kind": "task-notification"}}

    assert read(turn, foreign, RESULT | {"user_message_uuids": ["another"]}) == []
    assert not turn.ended
    assert ended(read(turn, foreign | {"user_message_uuids": ["prompt-1"]})).outcome == "success"


def test_the_context_is_what_the_main_agents_last_call_took_in_and_gave(turn: Turn) -> None:
    def start(parent: str | None, **usage: int) -> dict[str, Any]:
        return event("message_start", parent, message={"id": "msg", "usage": usage})

    read(
        turn,
        start(None, input_tokens=1000, output_tokens=1),
        start(None, input_tokens=10, cache_read_input_tokens=200, cache_creation_input_tokens=30, output_tokens=1),
        start("agent-1", input_tokens=9999),
        event("message_delta", "agent-1", usage={"output_tokens": 999}),
        event("message_delta", usage={"output_tokens": 4, "input_tokens": None}),
    )

    assert ended(read(turn, RESULT)).context_tokens == 244


def test_the_context_of_an_answer_that_was_not_streamed_is_read_from_the_answer(turn: Turn) -> None:
    read(turn, assistant({"type": "text", "text": "x"}))

    assert ended(read(turn, RESULT)).context_tokens == 8


def test_without_a_model_call_the_context_is_unknown(turn: Turn) -> None:
    assert ended(read(turn, RESULT)).context_tokens is None


def test_half_a_surrogate_pair_is_replaced_in_every_text(turn: Turn) -> None:
    half = "a\ud83db"
    found = read(
        turn,
        delta("text_delta", text=half),
        assistant({"type": "text", "text": half}),
        {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "content": half}]}},
        STARTED | {"description": half},
        RESULT | {"result": half},
    )

    assert [getattr(frame, "text", "a?b") for frame in found] == ["a?b"] * len(found)
    assert ended(found).result == "a?b"
