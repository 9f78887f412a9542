"""Messages as they travel."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.schemas.common import GREATEST_INTEGER, Moment, Output, PageQuery


class Message(Output):
    """What one side said."""

    message_id: UUID
    conversation_id: UUID
    message_seq: int = Field(description="1, 2, 3 … within the conversation.")
    message_type: Literal["user", "assistant", "system"]
    message_subtype: str | None
    content: dict[str, Any] | None = Field(
        description="`{type, text, files?}` of a user, `{type, text, events: [{event, data}]}` of an assistant."
    )
    timestamp: Moment
    run_id: UUID | None


class MessageQuery(PageQuery):
    """Which messages, oldest first."""

    limit: int = Field(default=1000, ge=1, le=1000, description="Items at most.")
    after_seq: int = Field(default=0, ge=0, le=GREATEST_INTEGER, description="Only messages behind this number.")
