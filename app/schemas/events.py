"""The vocabulary of runs: one class per event, one union, one encoding.

A field with a default (always none) is left out of the wire when it has none; a field without one is always there.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from app.utils.times import stamp


class Event(BaseModel):
    """What every event shares; `seq` and `timestamp` are added when it is recorded."""

    model_config = ConfigDict(frozen=True)


class Progress(Event):
    """What the agent is about to do, for a line of status."""

    event: Literal["progress"] = "progress"
    type: Literal["setup", "thinking", "generating", "tool"]
    message: str
    tool_use_id: str | None = None
    tool_name: str | None = None
    tool_status: Literal["pending", "running", "completed", "error"] | None = None
    parent_agent_id: str | None = None


class Init(Event):
    """The agent is there: its session, model and tools."""

    event: Literal["init"] = "init"
    session_id: str
    tools: tuple[str, ...]
    model: str
    conversation_id: str
    run_id: str
    bedrock_model_id: str
    replaced_model_id: str | None = None


class TextDelta(Event):
    """A piece of text, as the model writes it."""

    event: Literal["text_delta"] = "text_delta"
    content: str
    parent_agent_id: str | None = None


class ThinkingDelta(Event):
    """A piece of thinking, as the model writes it."""

    event: Literal["thinking_delta"] = "thinking_delta"
    content: str
    parent_agent_id: str | None = None


class ToolInputDelta(Event):
    """A piece of the JSON text of a tool's input, as the model writes it."""

    event: Literal["tool_input_delta"] = "tool_input_delta"
    tool_use_id: str
    content: str
    parent_agent_id: str | None = None


class Thinking(Event):
    """A whole thinking block."""

    event: Literal["thinking"] = "thinking"
    content: str
    parent_agent_id: str | None = None


class TextBlock(BaseModel):
    """Text the agent said."""

    type: Literal["text"]
    text: str


class Assistant(Event):
    """A whole text block."""

    event: Literal["assistant"] = "assistant"
    content_blocks: tuple[TextBlock, ...]
    parent_agent_id: str | None = None


class ToolCall(Event):
    """A tool is called; long strings of its input are shortened."""

    event: Literal["tool_call"] = "tool_call"
    tool_use_id: str
    tool_name: str
    input: dict[str, Any]
    summary: str
    parent_agent_id: str | None = None


class ToolResult(Event):
    """A tool came back; its content is a preview."""

    event: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    tool_name: str
    status: Literal["completed", "error"]
    content: str
    is_error: bool
    parent_agent_id: str | None = None


class SubagentStart(Event):
    """A sub-agent begins."""

    event: Literal["subagent_start"] = "subagent_start"
    agent_id: str
    agent_type: str
    description: str
    model: str | None = None


class SubagentEnd(Event):
    """A sub-agent is done."""

    event: Literal["subagent_end"] = "subagent_end"
    agent_id: str
    agent_type: str
    status: str
    result_preview: str | None = None


class FileChanged(Event):
    """A file of the workspace has a new version."""

    event: Literal["file_changed"] = "file_changed"
    file_path: str
    """Relative to the workspace."""
    version: int
    file_size: int
    source: Literal["user_upload", "ai_created", "ai_modified"]
    is_presented: bool


class Retrying(Event):
    """A model call failed and is tried again."""

    event: Literal["retrying"] = "retrying"
    reason: str
    attempt: int
    delay_ms: int


class Title(Event):
    """The conversation has a title now."""

    event: Literal["title"] = "title"
    title: str


class ContextStatus(Event):
    """How full the model's context is."""

    event: Literal["context_status"] = "context_status"
    current_context_tokens: int
    max_context_tokens: int
    usage_percent: float
    warning_level: Literal["normal", "warning", "critical", "blocked"]
    can_continue: bool
    message: str | None = None
    recommended_action: Literal["new_chat"] | None = None


ErrorType = Literal[
    "conversation_locked",
    "context_limit_exceeded",
    "model_validation_error",
    "options_error",
    "execution_error",
    "timeout_error",
    "budget_exceeded",
    "model_unavailable",
    "sandbox_crashed",
    "sandbox_oom",
    "interrupted",
]


class Error(Event):
    """The run failed; `done` follows."""

    event: Literal["error"] = "error"
    error_type: ErrorType
    message: str
    recoverable: bool


class Usage(BaseModel):
    """Tokens by kind."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int
    output_tokens: int
    cache_creation_5m_tokens: int
    cache_creation_1h_tokens: int
    cache_read_tokens: int
    total_tokens: int
    """Sum of the five."""


class ModelUsage(Usage):
    """One model's share of a run."""

    cost_usd: str


class Done(Event):
    """The last event of every run; everything of it is stored."""

    event: Literal["done"] = "done"
    status: Literal["success", "error", "cancelled"]
    result: str | None = Field(...)
    is_error: bool
    errors: tuple[str, ...] | None = Field(...)
    usage: Usage
    cost_usd: str
    turn_count: int
    duration_ms: int
    session_id: str | None = Field(...)
    run_id: str
    model_usage: dict[str, ModelUsage]


AnyEvent = Annotated[
    Progress
    | Init
    | TextDelta
    | ThinkingDelta
    | ToolInputDelta
    | Thinking
    | Assistant
    | ToolCall
    | ToolResult
    | SubagentStart
    | SubagentEnd
    | FileChanged
    | Retrying
    | Title
    | ContextStatus
    | Error
    | Done,
    Field(discriminator="event"),
]

TERMINAL = "done"

_UNICODE_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class Recorded(NamedTuple):
    """An event as the log keeps it and clients receive it."""

    seq: int
    type: str
    data: str
    """The JSON text of the frame's `data` line."""


def encode(event: AnyEvent, seq: int, at: datetime) -> str:
    """The JSON text of a frame's `data` line: one line even to readers that break at Unicode's own line ends."""
    body = event.model_dump_json(exclude_defaults=True).translate(_UNICODE_LINE_ENDS)
    return f'{{"seq":{seq},"timestamp":"{stamp(at)}",{body[1:]}'


def six_digits(amount: Decimal) -> str:
    """Money as the wire shows it."""
    return f"{amount:.6f}"
