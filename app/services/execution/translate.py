"""What the runner says, in our events: a table of small pure functions over one turn's state."""

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from app.schemas import events
from app.schemas.events import AnyEvent
from app.services.execution.summaries import SHORTENED, shortened, summary
from runner import protocol

PREVIEW = 4000
"""Characters of a tool's result that clients see."""


@dataclass(slots=True)
class TurnState:
    """What a translation has to remember within one run."""

    conversation_id: str
    run_id: str
    model_id: str
    bedrock_model_id: str
    replaced_model_id: str | None
    tool_names: dict[str, str] = field(default_factory=dict)
    open_tools: dict[str, str | None] = field(default_factory=dict)
    """Tool calls without a result, with the sub-agent that made them."""
    speaking: set[tuple[str, str | None]] = field(default_factory=set)
    """Kinds of delta under way, by speaker: their progress line is sent."""
    initialised: bool = False


@singledispatch
def translate(frame: object, state: TurnState) -> tuple[AnyEvent, ...]:
    """The events of a frame, in order; none for frames that clients need not see."""
    del frame, state
    return ()


@translate.register
def _(frame: protocol.SessionInit, state: TurnState) -> tuple[AnyEvent, ...]:
    if state.initialised:
        return ()
    state.initialised = True
    return (
        events.Init(
            session_id=frame.session_id,
            tools=frame.tools,
            model=state.model_id,
            conversation_id=state.conversation_id,
            run_id=state.run_id,
            bedrock_model_id=state.bedrock_model_id,
            replaced_model_id=state.replaced_model_id,
        ),
    )


def _announced(kind: str, parent: str | None, state: TurnState) -> tuple[AnyEvent, ...]:
    if (kind, parent) in state.speaking:
        return ()
    state.speaking.add((kind, parent))
    if kind == "thinking":
        return (events.Progress(type="thinking", message="Thinking", parent_agent_id=parent),)
    return (events.Progress(type="generating", message="Writing", parent_agent_id=parent),)


@translate.register
def _(frame: protocol.TextDelta, state: TurnState) -> tuple[AnyEvent, ...]:
    delta = events.TextDelta(content=frame.text, parent_agent_id=frame.parent)
    return (*_announced("text", frame.parent, state), delta)


@translate.register
def _(frame: protocol.ThinkingDelta, state: TurnState) -> tuple[AnyEvent, ...]:
    delta = events.ThinkingDelta(content=frame.text, parent_agent_id=frame.parent)
    return (*_announced("thinking", frame.parent, state), delta)


@translate.register
def _(frame: protocol.Text, state: TurnState) -> tuple[AnyEvent, ...]:
    announced = _announced("text", frame.parent, state)
    state.speaking.discard(("text", frame.parent))
    block = events.TextBlock(type="text", text=frame.text)
    return (*announced, events.Assistant(content_blocks=(block,), parent_agent_id=frame.parent))


@translate.register
def _(frame: protocol.Thinking, state: TurnState) -> tuple[AnyEvent, ...]:
    announced = _announced("thinking", frame.parent, state)
    state.speaking.discard(("thinking", frame.parent))
    return (*announced, events.Thinking(content=frame.text, parent_agent_id=frame.parent))


@translate.register
def _(frame: protocol.ToolPending, state: TurnState) -> tuple[AnyEvent, ...]:
    state.tool_names[frame.tool_use_id] = frame.name
    return (_tool_progress(frame.tool_use_id, "pending", frame.parent, state),)


@translate.register
def _(frame: protocol.ToolInputDelta, state: TurnState) -> tuple[AnyEvent, ...]:
    del state
    delta = events.ToolInputDelta(
        tool_use_id=frame.tool_use_id, content=frame.partial_json, parent_agent_id=frame.parent
    )
    return (delta,)


@translate.register
def _(frame: protocol.ToolUse, state: TurnState) -> tuple[AnyEvent, ...]:
    state.tool_names[frame.tool_use_id] = frame.name
    state.open_tools[frame.tool_use_id] = frame.parent
    call = events.ToolCall(
        tool_use_id=frame.tool_use_id,
        tool_name=frame.name,
        input=shortened(frame.input),
        summary=summary(frame.name, frame.input),
        parent_agent_id=frame.parent,
    )
    return (_tool_progress(frame.tool_use_id, "running", frame.parent, state), call)


@translate.register
def _(frame: protocol.ToolResult, state: TurnState) -> tuple[AnyEvent, ...]:
    state.open_tools.pop(frame.tool_use_id, None)
    status = "error" if frame.is_error else "completed"
    text = frame.text if len(frame.text) <= PREVIEW else frame.text[:PREVIEW] + SHORTENED
    return (
        _tool_progress(frame.tool_use_id, status, frame.parent, state),
        _tool_result(frame.tool_use_id, text, frame.is_error, frame.parent, state),
    )


def _tool_progress(tool_use_id: str, status: Any, parent: str | None, state: TurnState) -> events.Progress:  # noqa: ANN401 -- a Literal that pydantic checks
    name = state.tool_names.get(tool_use_id, "")
    return events.Progress(
        type="tool",
        message=f"{name}: {status}",
        tool_use_id=tool_use_id,
        tool_name=name,
        tool_status=status,
        parent_agent_id=parent,
    )


def _tool_result(
    tool_use_id: str, text: str, is_error: bool, parent: str | None, state: TurnState
) -> events.ToolResult:
    return events.ToolResult(
        tool_use_id=tool_use_id,
        tool_name=state.tool_names.get(tool_use_id, ""),
        status="error" if is_error else "completed",
        content=text,
        is_error=is_error,
        parent_agent_id=parent,
    )


@translate.register
def _(frame: protocol.SubagentStarted, state: TurnState) -> tuple[AnyEvent, ...]:
    del state
    return (
        events.SubagentStart(
            agent_id=frame.tool_use_id,
            agent_type=frame.agent_type,
            description=frame.description,
            model=frame.model,
        ),
    )


@translate.register
def _(frame: protocol.SubagentEnded, state: TurnState) -> tuple[AnyEvent, ...]:
    del state
    return (
        events.SubagentEnd(
            agent_id=frame.tool_use_id,
            agent_type=frame.agent_type,
            status=frame.status,
            result_preview=frame.result_preview,
        ),
    )


@translate.register
def _(frame: protocol.Retrying, state: TurnState) -> tuple[AnyEvent, ...]:
    del state
    return (events.Retrying(reason=frame.reason, attempt=frame.attempt, delay_ms=frame.delay_ms),)


def unanswered(state: TurnState) -> tuple[AnyEvent, ...]:
    """Results for the tools that were running when the agent was lost: what they did is unknown, and said to be."""
    words = "The agent was lost while this tool ran; whether it took effect is unknown."
    return tuple(
        event
        for tool_use_id, parent in state.open_tools.items()
        for event in (
            _tool_progress(tool_use_id, "error", parent, state),
            _tool_result(tool_use_id, words, True, parent, state),
        )
    )
