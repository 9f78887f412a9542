"""Answers kept for repeated requests."""

from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Created


class IdempotencyKey(Base):
    """What a POST with an `Idempotency-Key` was answered."""

    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    """`*` for requests of the platform."""
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str]
    """SHA-256 of method, path and body."""
    status: Mapped[int | None]
    answer: Mapped[str | None]
    run_id: Mapped[UUID | None]
    """The run it began; its event log is the answer."""
    created_at: Mapped[Created]
