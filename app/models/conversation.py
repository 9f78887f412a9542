"""The conversations."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, false, text, true
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Count, Created, Updated


class Conversation(Base):
    """One user's thread with an agent."""

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'archived')", name="status"),
        Index("ix_conversations_latest", "tenant_id", text("updated_at DESC"), text("conversation_id DESC")),
        Index("ix_conversations_user", "tenant_id", "user_id", text("updated_at DESC")),
    )

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.tenant_id"), primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID | None]
    """The agent's session; none before the first turn."""
    user_id: Mapped[str] = mapped_column(String(100))
    model_id: Mapped[str] = mapped_column(ForeignKey("models.model_id"), index=True)
    title: Mapped[str | None] = mapped_column(String(500))
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    workspace_enabled: Mapped[bool] = mapped_column(server_default=true())
    total_input_tokens: Mapped[Count]
    total_output_tokens: Mapped[Count]
    estimated_context_tokens: Mapped[Count]
    context_limit_reached: Mapped[bool] = mapped_column(server_default=false())
    fence: Mapped[Count]
    """Rises with every run and every takeover; whoever writes with a lower one is stale."""
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
