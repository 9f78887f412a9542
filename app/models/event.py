"""The event log."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Created


class Event(Base):
    """One event of a run, exactly as clients receive it."""

    __tablename__ = "events"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "run_id"], ["runs.tenant_id", "runs.run_id"], ondelete="CASCADE"),
    )

    tenant_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3 … without a hole."""
    type: Mapped[str]
    data: Mapped[str]
    """The JSON text of the frame's `data` line, byte for byte."""
    source_seq: Mapped[int | None] = mapped_column(BigInteger)
    """The runner's number of the frame it came from: where a takeover reads on."""
    created_at: Mapped[Created]
