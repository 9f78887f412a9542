"""Runs as they travel."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field, SecretStr

from app.schemas.common import Amount, ChosenId, Input, Moment, Output, PageQuery, PlainJson, PlainText
from app.schemas.events import Usage

RunStatus = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "interrupted"]


class Executor(Input):
    """On whose behalf the agent works."""

    user_id: ChosenId
    name: PlainText = Field(max_length=200)
    email: PlainText = Field(max_length=320)
    employee_id: PlainText | None = Field(default=None, max_length=100)


class RunRequest(Input):
    """One user message and how to work on it."""

    user_input: PlainText = Field(min_length=1, max_length=1_000_000, description="What the user says.")
    executor: Executor
    tokens: dict[str, SecretStr] = Field(
        default_factory=dict, max_length=100, description="Secrets by name for this run's tool servers; never stored."
    )
    preferred_skills: tuple[PlainText, ...] = Field(default=(), max_length=100, strict=False)
    model_id: ChosenId | None = Field(default=None, description="An active model, for this run only.")
    max_turns: int | None = Field(default=None, ge=1, le=1000, description="Model turns at most.")
    max_budget_usd: float | None = Field(default=None, gt=0, le=1_000_000, strict=False, description="USD at most.")
    permission_mode: Literal["default", "acceptEdits", "plan", "bypassPermissions", "dontAsk"] | None = None
    output_format: PlainJson | None = Field(
        default=None, description='`{"type": "json_schema", "schema": {…}}` for a structured answer.'
    )
    effort: Literal["low", "medium", "high", "max"] | None = None


class FileMetadata(Input):
    """What a client says of one uploaded file."""

    filename: str = Field(description="The file's name, where `relative_path` is empty.")
    original_name: PlainText = Field(max_length=1024, description="What the user calls it.")
    relative_path: str = Field(description="Where it goes below `uploads/`.")
    original_relative_path: PlainText = Field(max_length=4096, description="Where the user has it.")
    content_type: PlainText | None = Field(default=None, max_length=255)
    size: int | None = Field(default=None, ge=0, description="Not relied on: the bytes that come are counted.")


class RunQuery(PageQuery):
    """Which runs."""

    limit: int = Field(default=50, ge=1, le=100, description="Runs at most.")


class Run(Output):
    """One user message and everything the agent does for it."""

    run_id: UUID
    conversation_id: UUID
    tenant_id: str
    user_id: str
    model_id: str
    status: RunStatus
    error_type: str | None
    message: str | None = Field(description="Why it failed, in a sentence.")
    usage: Usage
    cost_usd: Amount
    turn_count: int
    started_at: Moment | None
    finished_at: Moment | None
    last_event_id: int = Field(description="Number of the newest recorded event; 0 before the first.")
    versions: dict[str, Any]
    created_at: Moment


class RunPage(Output):
    """A page of runs, newest first, with the totals of that page's conversation."""

    items: list[Run]
    total: int
    limit: int
    offset: int


class RecordedEvent(Output):
    """One event as the log keeps it."""

    id: int
    event: str
    data: dict[str, Any]


class EventPage(Output):
    """A page of a run's events."""

    items: list[RecordedEvent]
    last_event_id: int
    """Where the next page begins: its `after`."""
    ended: bool
    """Whether the page ends with the run's last event."""
