"""What travels over the control socket: one JSON object per line, UTF-8, LF.

The backend connects, the runner listens. The backend's first line is `Attach`; the runner answers `Hello` and then
every buffered frame after `Attach.after`, oldest first. Every other frame carries `seq` (1, 2, 3 … for the life of the
runner) and stays buffered until an `Ack` names it or a later one. One connection at a time: a newer one replaces the
older.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1
MAX_LINE = 16 * 1024 * 1024
"""Bytes of the longest line either side sends or accepts; a longer one ends the connection."""

CONTROL_SOCKET = "control.sock"
GATEWAY_SOCKET = "gateway.sock"


class Message(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SessionKey(Message):
    """Names one transcript of the SDK's SessionStore."""

    project_key: str
    session_id: str
    subpath: str | None = None


# --- backend → runner -------------------------------------------------------------------------------------------------


class AgentOptions(Message):
    """What is fixed when a Claude process starts. A change of any field needs a new `Open`."""

    session_id: str
    """UUID of the conversation's session."""
    resume: bool = False
    """True when the session store holds a transcript of this session."""
    system_prompt: str | None = None
    """The tenant's prompt, appended to Claude Code's own; none: Claude Code's own alone."""
    model: str
    """Bedrock model id of the main agent."""
    small_model: str
    """Bedrock model id for side calls and sub-agents that name no other."""
    tools: tuple[str, ...]
    permission_mode: Literal["default", "acceptEdits", "plan", "bypassPermissions", "dontAsk"] = "bypassPermissions"
    max_turns: int = Field(default=100, ge=1)
    effort: Literal["low", "medium", "high", "max"] | None = None
    output_format: dict[str, Any] | None = None


class Attach(Message):
    """First line of every connection."""

    type: Literal["attach"] = "attach"
    version: int = VERSION
    after: int = Field(default=0, ge=0)
    """The last seq the backend has recorded; frames up to it are dropped, later ones are sent again."""


class Open(Message):
    """Start the Claude process (ending a former one first). Answered by `Opened` or `Failed`."""

    type: Literal["open"] = "open"
    options: AgentOptions


class Prompt(Message):
    """Begin a turn. Answered by turn frames and, always last, `TurnEnded` or `Failed`.

    The text reaches the model as text: a slash at its beginning runs no command, `@path` pastes no file.
    """

    type: Literal["prompt"] = "prompt"
    text: str
    model: str | None = None
    """Bedrock model id for this and later turns, when it differs from the opened one."""


class Interrupt(Message):
    """Stop the turn under way; its `TurnEnded` follows. Nothing happens without a turn."""

    type: Literal["interrupt"] = "interrupt"


class Ack(Message):
    """Frames up to `seq` are recorded and may be forgotten."""

    type: Literal["ack"] = "ack"
    seq: int


class StoreReply(Message):
    """The answer to a `StoreLoad` or `StoreSubkeys` of the same `request`; to a `StoreAppend` only if it failed.

    An append needs no answer: its frame stays buffered until acknowledged, so acknowledge it once it is stored.
    One that cannot be stored is answered with `error`, which ends the Claude process with `Failed(kind="store")`.
    """

    type: Literal["store_reply"] = "store_reply"
    request: int
    entries: list[dict[str, Any]] | None = None
    """For a load: the transcript, or none when it was never written."""
    more: bool = False
    """True when further entries follow in another reply to this request, because a line has its limit."""
    subkeys: list[str] | None = None
    error: str | None = None


Command = Annotated[Attach | Open | Prompt | Interrupt | Ack | StoreReply, Field(discriminator="type")]


# --- runner → backend -------------------------------------------------------------------------------------------------


class Hello(Message):
    """First line of the runner on every connection; the only one without a `seq`."""

    type: Literal["hello"] = "hello"
    version: int = VERSION
    runner_version: str
    sdk_version: str
    pid: int
    """The runner's process id as seen inside the sandbox."""
    open: bool
    """Whether a Claude process is up."""
    turn: bool
    """Whether a turn is under way."""
    last_seq: int


Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Frame(Message):
    """A numbered line."""

    seq: int = Field(ge=1, le=2**53)


class Opened(Frame):
    """The Claude process is up and waits for a prompt."""

    type: Literal["opened"] = "opened"
    session_id: str
    elapsed_ms: Count


class SessionInit(Frame):
    """The CLI's own account of the session, at the begin of a turn."""

    type: Literal["init"] = "init"
    session_id: str
    model: str
    tools: tuple[str, ...]


class TextDelta(Frame):
    type: Literal["text_delta"] = "text_delta"
    text: str
    parent: str | None = None
    """The `tool_use_id` of the sub-agent's call when a sub-agent speaks, as in every frame below."""


class ThinkingDelta(Frame):
    type: Literal["thinking_delta"] = "thinking_delta"
    text: str
    parent: str | None = None


class ToolInputDelta(Frame):
    """A piece of the JSON text of a tool's input, as the model writes it."""

    type: Literal["tool_input_delta"] = "tool_input_delta"
    tool_use_id: str
    partial_json: str
    parent: str | None = None


class ToolPending(Frame):
    """The model began to write a tool call."""

    type: Literal["tool_pending"] = "tool_pending"
    tool_use_id: str
    name: str
    parent: str | None = None


class Text(Frame):
    """A whole text block."""

    type: Literal["text"] = "text"
    text: str
    parent: str | None = None


class Thinking(Frame):
    """A whole thinking block."""

    type: Literal["thinking"] = "thinking"
    text: str
    parent: str | None = None


class ToolUse(Frame):
    """A whole tool call, about to run."""

    type: Literal["tool_use"] = "tool_use"
    tool_use_id: str
    name: str
    input: dict[str, Any]
    parent: str | None = None


class ToolResult(Frame):
    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    text: str
    """The result as text, cut after 64 KiB; other kinds of content appear as `[image]` and the like."""
    is_error: bool
    parent: str | None = None


class SubagentStarted(Frame):
    type: Literal["subagent_started"] = "subagent_started"
    tool_use_id: str
    agent_type: str
    description: str
    model: str | None = None


class SubagentEnded(Frame):
    type: Literal["subagent_ended"] = "subagent_ended"
    tool_use_id: str
    agent_type: str
    status: Literal["completed", "failed", "stopped"]
    result_preview: str | None = None


class Retrying(Frame):
    """The CLI tries a model call again."""

    type: Literal["retrying"] = "retrying"
    reason: str
    attempt: Count
    delay_ms: Count


class Compacted(Frame):
    """The CLI shortened the conversation's context."""

    type: Literal["compacted"] = "compacted"
    tokens_before: Count | None = None


class StoreAppend(Frame):
    """Transcript entries to keep. They are on the wire before the `TurnEnded` of their turn."""

    type: Literal["store_append"] = "store_append"
    request: int
    key: SessionKey
    entries: list[dict[str, Any]]


class StoreLoad(Frame):
    type: Literal["store_load"] = "store_load"
    request: int
    key: SessionKey


class StoreSubkeys(Frame):
    """Asks for the subpaths of a session (sub-agents' transcripts)."""

    type: Literal["store_subkeys"] = "store_subkeys"
    request: int
    key: SessionKey


class TurnEnded(Frame):
    """The last frame of a turn that the CLI itself ended."""

    type: Literal["turn_ended"] = "turn_ended"
    outcome: Literal["success", "error", "interrupted"]
    """`success` only if the CLI reports no error of any kind."""
    reason: str | None = None
    """With an error: the CLI's subtype or API status, e.g. `error_max_turns`, `api_error_429`."""
    result: str | None = None
    errors: tuple[str, ...] = ()
    turns: Count
    duration_ms: Count
    context_tokens: Count | None = None
    """Size of the main agent's context after its last model call: input, cache reads, cache writes and output."""
    structured_output: Any = None


class Failed(Frame):
    """The Claude process could not start, or ended. No process is up afterwards; `Open` starts a new one.

    Kind `protocol` alone changes nothing: it refuses a `Prompt` that came without a process, or during a turn.
    """

    type: Literal["failed"] = "failed"
    kind: Literal["options", "start", "died", "protocol", "store"]
    message: str


AnyFrame = Annotated[
    Opened
    | SessionInit
    | TextDelta
    | ThinkingDelta
    | ToolInputDelta
    | ToolPending
    | Text
    | Thinking
    | ToolUse
    | ToolResult
    | SubagentStarted
    | SubagentEnded
    | Retrying
    | Compacted
    | StoreAppend
    | StoreLoad
    | StoreSubkeys
    | TurnEnded
    | Failed,
    Field(discriminator="type"),
]

commands: TypeAdapter[Command] = TypeAdapter(Command)
frames: TypeAdapter[Hello | AnyFrame] = TypeAdapter(Annotated[Hello | AnyFrame, Field(discriminator="type")])
