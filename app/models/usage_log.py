"""The ledger of model calls."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Cost, Count


class UsageLog(Base):
    """One model call as it is billed; outlives everything it points to."""

    __tablename__ = "usage_logs"
    __table_args__ = (
        Index("ix_usage_logs_latest", "tenant_id", text("executed_at DESC"), text("usage_log_id DESC")),
        Index("ix_usage_logs_run", "tenant_id", "run_id"),
        Index("ix_usage_logs_model", "model_id"),
    )

    tenant_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    usage_log_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(String(100))
    model_id: Mapped[str] = mapped_column(String(200))
    """Our model id, or the model service's own for a configured model that nobody registered."""
    bedrock_model_id: Mapped[str] = mapped_column(String(200))
    operation: Mapped[str]
    status: Mapped[str]
    """`completed`, `failed` (the service said so) or `broken` (its answer did not end)."""
    session_id: Mapped[UUID | None]
    conversation_id: Mapped[UUID | None]
    run_id: Mapped[UUID | None]
    simple_chat_id: Mapped[UUID | None]
    input_tokens: Mapped[Count]
    output_tokens: Mapped[Count]
    cache_creation_5m_tokens: Mapped[Count]
    cache_creation_1h_tokens: Mapped[Count]
    cache_read_tokens: Mapped[Count]
    cost_usd: Mapped[Cost]
    executed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
