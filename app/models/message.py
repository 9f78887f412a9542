"""The messages of conversations."""

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Created


class Message(Base):
    """What one side said."""

    __tablename__ = "messages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "conversation_id"],
            ["conversations.tenant_id", "conversations.conversation_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("tenant_id", "conversation_id", "message_seq"),
        CheckConstraint("message_type IN ('user', 'assistant', 'system')", name="type"),
    )

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID]
    run_id: Mapped[UUID | None]
    message_seq: Mapped[int]
    message_type: Mapped[str]
    message_subtype: Mapped[str | None]
    content: Mapped[dict[str, Any] | None]
    timestamp: Mapped[Created]
