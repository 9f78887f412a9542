"""Conversations as they travel."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.schemas.common import ABSENT, ChosenId, Input, Moment, Output, PageQuery, PeriodQuery, PlainText

ConversationStatus = Literal["active", "archived"]


class ConversationCreate(Input):
    """A new conversation."""

    user_id: ChosenId = Field(description="Whose it is; a user-scoped caller can only name itself.")
    model_id: ChosenId | None = Field(default=None, description="An active model; else the tenant's.")
    workspace_enabled: bool = Field(default=True, description="Whether files are kept between turns.")


class ConversationUpdate(Input):
    """What to change: an absent field stays, null clears a nullable one."""

    title: PlainText | None = Field(default=None, max_length=500)
    status: ConversationStatus = ABSENT


class Conversation(Output):
    """One user's thread with an agent."""

    conversation_id: UUID
    session_id: UUID | None = Field(description="The agent's session; null before the first turn.")
    tenant_id: str
    user_id: str
    model_id: str
    title: str | None
    status: ConversationStatus = Field(description="An archived conversation takes no runs.")
    workspace_enabled: bool
    total_input_tokens: int
    total_output_tokens: int
    estimated_context_tokens: int = Field(description="Size of the present context.")
    context_limit_reached: bool
    created_at: Moment
    updated_at: Moment


class ConversationPage(Output):
    """A part of the list."""

    items: list[Conversation]
    total: int
    limit: int
    offset: int


class ConversationQuery(PageQuery, PeriodQuery):
    """Which conversations, latest `updated_at` first; the period is that of `created_at`."""

    user_id: ChosenId | None = None
    status: ConversationStatus | None = None
    q: PlainText | None = Field(default=None, max_length=500, description="Text in the title, whatever its case.")
    limit: int = Field(default=50, ge=1, le=100, description="Items at most.")
