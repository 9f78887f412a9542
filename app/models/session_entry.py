"""The agents' transcripts."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Created


class SessionEntry(Base):
    """One line of a transcript of the Agent SDK, opaque."""

    __tablename__ = "session_entries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "conversation_id"],
            ["conversations.tenant_id", "conversations.conversation_id"],
            ondelete="CASCADE",
        ),
        Index("ix_session_entries_key", "tenant_id", "conversation_id", "session_key", "position"),
        Index(
            "uq_session_entries_uuid",
            "tenant_id",
            "conversation_id",
            "session_key",
            "entry_uuid",
            unique=True,
            postgresql_where=text("entry_uuid IS NOT NULL"),
        ),
    )

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    conversation_id: Mapped[UUID]
    session_key: Mapped[str]
    """Project key, session id and subpath as one JSON array."""
    entry_uuid: Mapped[str | None]
    entry: Mapped[dict[str, Any]]
    created_at: Mapped[Created]
