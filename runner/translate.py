"""From the SDK's messages to frames: pure functions of a message and what is known of its turn."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial, singledispatch
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ResultMessage,
    ServerToolResultBlock,
    ServerToolUseBlock,
    StreamEvent,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    TaskUpdatedMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from runner.outbox import Draft
from runner.protocol import (
    Compacted,
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

RESULT_BYTES = 64 * 1024
PREVIEW_CHARACTERS = 500
_INTERRUPTED = frozenset({"aborted_streaming", "aborted_tools"})
_TASK_ENDS = {"completed": "completed", "failed": "failed", "stopped": "stopped", "killed": "stopped"}
_USAGE = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@dataclass(slots=True)
class Turn:
    """What has to be remembered of a turn to read its next message."""

    uuid: str = ""
    """Names the turn's prompt, so that its result is told from one the CLI began by itself."""
    interrupted: bool = False
    ended: bool = False
    api_error: str | None = None
    message_id: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    """Tokens of the main agent's latest model call."""
    open_tools: dict[tuple[str | None, int], str] = field(default_factory=dict)
    """Tool call being written, by speaker and block index."""
    models: dict[str, str] = field(default_factory=dict)
    """Model asked for, by the sub-agent's tool call."""
    agents: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Running sub-agents: tool call and type, by task."""

    @property
    def context_tokens(self) -> int | None:
        return sum(self.usage.values()) if self.usage else None

    def count(self, usage: dict[str, Any]) -> None:
        self.usage.update({name: usage[name] for name in _USAGE if isinstance(usage.get(name), int)})


def clean(text: str) -> str:
    """The text with half surrogate pairs replaced, which JSON may hold and UTF-8 may not."""
    return text if text.isascii() else text.encode(errors="replace").decode()


@singledispatch
def translate(message: object, turn: Turn) -> Iterable[Draft]:  # noqa: ARG001
    """The frames a message gives rise to; none for kinds that say nothing to a backend, unknown ones included."""
    return ()


@translate.register
def _assistant(message: AssistantMessage, turn: Turn) -> Iterator[Draft]:
    if message.error is not None:  # the CLI's own words about a failed call; the result repeats them
        turn.api_error = message.error
        return
    if message.parent_tool_use_id is None and message.message_id != turn.message_id:
        turn.message_id = message.message_id
        turn.usage.clear()
        turn.count(message.usage or {})
    for block in message.content:
        yield from _block(block, message.parent_tool_use_id, turn)


@translate.register
def _user(message: UserMessage, turn: Turn) -> Iterator[Draft]:
    for block in message.content:
        if isinstance(block, ToolResultBlock):
            yield from _block(block, message.parent_tool_use_id, turn)


@singledispatch
def _block(block: object, parent: str | None, turn: Turn) -> Iterable[Draft]:  # noqa: ARG001
    return ()


@_block.register
def _text(block: TextBlock, parent: str | None, turn: Turn) -> Iterator[Draft]:  # noqa: ARG001
    yield partial(Text, text=clean(block.text), parent=parent)


@_block.register
def _thinking(block: ThinkingBlock, parent: str | None, turn: Turn) -> Iterator[Draft]:  # noqa: ARG001
    yield partial(Thinking, text=clean(block.thinking), parent=parent)


@_block.register(ToolUseBlock)
@_block.register(ServerToolUseBlock)
def _tool_use(block: ToolUseBlock | ServerToolUseBlock, parent: str | None, turn: Turn) -> Iterator[Draft]:
    if isinstance(block.input.get("model"), str):
        turn.models[block.id] = clean(block.input["model"])
    yield partial(ToolUse, tool_use_id=block.id, name=clean(block.name), input=block.input, parent=parent)


@_block.register
def _tool_result(block: ToolResultBlock, parent: str | None, turn: Turn) -> Iterator[Draft]:  # noqa: ARG001
    yield partial(
        ToolResult,
        tool_use_id=block.tool_use_id,
        text=result_text(block.content),
        is_error=bool(block.is_error),
        parent=parent,
    )


@_block.register
def _server_tool_result(block: ServerToolResultBlock, parent: str | None, turn: Turn) -> Iterator[Draft]:  # noqa: ARG001
    failed = str(block.content.get("type", "")).endswith("_error")
    text = result_text([block.content])
    yield partial(ToolResult, tool_use_id=block.tool_use_id, text=text, is_error=failed, parent=parent)


def result_text(content: str | list[dict[str, Any]] | None) -> str:
    """A tool's result as text, cut after `RESULT_BYTES`."""
    text = content if isinstance(content, str) else "\n".join(map(_piece, content or ()))
    coded = text.encode(errors="replace")
    return coded[:RESULT_BYTES].decode(errors="ignore")


def _piece(block: dict[str, Any]) -> str:
    return str(block.get("text", "")) if block.get("type") == "text" else f"[{block.get('type', 'unknown')}]"


# --- as the model writes ----------------------------------------------------------------------------------------------


@translate.register
def _stream(message: StreamEvent, turn: Turn) -> Iterable[Draft]:
    read = _STREAM.get(message.event.get("type", ""))
    return read(message.event, message.parent_tool_use_id, turn) if read else ()


def _message_start(event: dict[str, Any], parent: str | None, turn: Turn) -> Iterable[Draft]:
    if parent is None:
        begun = event.get("message") or {}
        turn.message_id = begun.get("id")
        turn.usage.clear()
        turn.count(begun.get("usage") or {})
    return ()


def _message_delta(event: dict[str, Any], parent: str | None, turn: Turn) -> Iterable[Draft]:
    if parent is None:
        turn.count(event.get("usage") or {})
    return ()


def _block_start(event: dict[str, Any], parent: str | None, turn: Turn) -> Iterable[Draft]:
    block = event.get("content_block") or {}
    if block.get("type") not in {"tool_use", "server_tool_use"}:
        turn.open_tools.pop((parent, event.get("index", 0)), None)
        return ()
    turn.open_tools[parent, event.get("index", 0)] = block["id"]
    return (partial(ToolPending, tool_use_id=block["id"], name=clean(block.get("name", "")), parent=parent),)


def _block_delta(event: dict[str, Any], parent: str | None, turn: Turn) -> Iterable[Draft]:
    delta = event.get("delta") or {}
    match delta.get("type"):
        case "text_delta":
            return (partial(TextDelta, text=clean(delta["text"]), parent=parent),)
        case "thinking_delta":
            return (partial(ThinkingDelta, text=clean(delta["thinking"]), parent=parent),)
        case "input_json_delta":
            return _input_delta(delta["partial_json"], turn.open_tools.get((parent, event.get("index", 0))), parent)
    return ()


def _input_delta(piece: str, tool_use_id: str | None, parent: str | None) -> Iterable[Draft]:
    if not piece or tool_use_id is None:
        return ()
    return (partial(ToolInputDelta, tool_use_id=tool_use_id, partial_json=clean(piece), parent=parent),)


_STREAM: dict[str, Callable[[dict[str, Any], str | None, Turn], Iterable[Draft]]] = {
    "message_start": _message_start,
    "message_delta": _message_delta,
    "content_block_start": _block_start,
    "content_block_delta": _block_delta,
}


# --- what the CLI says of itself --------------------------------------------------------------------------------------


@translate.register
def _system(message: SystemMessage, turn: Turn) -> Iterable[Draft]:  # noqa: ARG001
    read = _SYSTEM.get(message.subtype)
    return (read(message.data),) if read else ()


def _init(data: dict[str, Any]) -> Draft:
    return partial(SessionInit, session_id=data["session_id"], model=data["model"], tools=tuple(data["tools"]))


def _api_retry(data: dict[str, Any]) -> Draft:
    reason = str(data.get("error") or data.get("error_status") or "unknown")
    delay = round(data.get("retry_delay_ms") or 0)
    return partial(Retrying, reason=reason, attempt=int(data.get("attempt") or 1), delay_ms=delay)


def _compact_boundary(data: dict[str, Any]) -> Draft:
    return partial(Compacted, tokens_before=(data.get("compact_metadata") or {}).get("pre_tokens"))


_SYSTEM: dict[str, Callable[[dict[str, Any]], Draft]] = {
    "init": _init,
    "api_retry": _api_retry,
    "compact_boundary": _compact_boundary,
}


@translate.register
def _task_started(message: TaskStartedMessage, turn: Turn) -> Iterable[Draft]:
    if message.task_type != "local_agent" or message.tool_use_id is None:
        return ()
    agent_type = clean(str(message.data.get("subagent_type") or "general-purpose"))
    turn.agents[message.task_id] = message.tool_use_id, agent_type
    return (
        partial(
            SubagentStarted,
            tool_use_id=message.tool_use_id,
            agent_type=agent_type,
            description=clean(message.description),
            model=turn.models.get(message.tool_use_id),
        ),
    )


@translate.register
def _task_notified(message: TaskNotificationMessage, turn: Turn) -> Iterable[Draft]:
    return _task_ended(message.task_id, message.status, message.summary, turn)


@translate.register
def _task_updated(message: TaskUpdatedMessage, turn: Turn) -> Iterable[Draft]:  # noqa: ARG001
    return ()  # the notification that follows has the report; one that never comes is made up for at the turn's end


def _task_ended(task: str, status: str, report: str | None, turn: Turn) -> Iterable[Draft]:
    if task not in turn.agents:
        return ()
    tool_use_id, agent_type = turn.agents.pop(task)
    preview = clean(report[:PREVIEW_CHARACTERS]) if report else None
    ended = _TASK_ENDS.get(status, "failed")
    return (
        partial(SubagentEnded, tool_use_id=tool_use_id, agent_type=agent_type, status=ended, result_preview=preview),
    )


# --- the end ----------------------------------------------------------------------------------------------------------


@translate.register
def _result(message: ResultMessage, turn: Turn) -> Iterator[Draft]:
    if not _answers(message, turn):
        return
    for task in tuple(turn.agents):
        yield from _task_ended(task, "stopped", None, turn)
    turn.ended = True
    yield _turn_ended(message, turn)


def _answers(message: ResultMessage, turn: Turn) -> bool:
    """Whether a result belongs to the turn's prompt; the CLI may also begin turns by itself."""
    if message.user_message_uuids:
        return turn.uuid in message.user_message_uuids
    return message.origin is None or message.origin["kind"] == "human"


def _turn_ended(message: ResultMessage, turn: Turn) -> Draft:
    failed = message.is_error or message.subtype != "success"
    interrupted = failed and (turn.interrupted or message.terminal_reason in _INTERRUPTED)
    errored = failed and not interrupted
    return partial(
        TurnEnded,
        outcome="interrupted" if interrupted else "error" if failed else "success",
        reason=_reason(message, turn) if errored else None,
        result=None if failed or message.result is None else clean(message.result),
        errors=_errors(message) if errored else (),
        turns=message.num_turns,
        duration_ms=message.duration_ms,
        context_tokens=turn.context_tokens,
        structured_output=message.structured_output,
    )


def _reason(message: ResultMessage, turn: Turn) -> str:
    if message.subtype != "success":
        return message.subtype
    return f"api_error_{message.api_error_status or turn.api_error or 'unknown'}"


def _errors(message: ResultMessage) -> tuple[str, ...]:
    found = message.errors or ([message.result] if message.result else [])
    return tuple(clean(str(error)) for error in found)
