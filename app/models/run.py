"""The runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Cost, Count, Created

LIVE = ("queued", "running", "waiting")
ENDED = ("succeeded", "failed", "cancelled", "interrupted")

_live = "status IN ('queued', 'running', 'waiting')"


class Run(Base):
    """One user message and everything the agent does for it."""

    __tablename__ = "runs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "conversation_id"],
            ["conversations.tenant_id", "conversations.conversation_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(
            "status IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'interrupted')",
            name="status",
        ),
        Index("uq_runs_live", "tenant_id", "conversation_id", unique=True, postgresql_where=text(_live)),
        Index("ix_runs_latest", "tenant_id", "conversation_id", text("created_at DESC")),
        Index("ix_runs_lease", "lease_until", postgresql_where=text(_live)),
    )

    tenant_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID]
    user_id: Mapped[str] = mapped_column(String(100))
    model_id: Mapped[str] = mapped_column(String(100))
    """The model asked for or inherited, after a deprecated one was replaced."""
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    error_type: Mapped[str | None]
    message: Mapped[str | None]
    owner: Mapped[str]
    """The replica that works on it."""
    lease_until: Mapped[datetime]
    fence: Mapped[int] = mapped_column(BigInteger)
    cancel_requested_at: Mapped[datetime | None]
    input_tokens: Mapped[Count]
    output_tokens: Mapped[Count]
    cache_creation_5m_tokens: Mapped[Count]
    cache_creation_1h_tokens: Mapped[Count]
    cache_read_tokens: Mapped[Count]
    cost_usd: Mapped[Cost]
    turn_count: Mapped[Count]
    versions: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[Created]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
