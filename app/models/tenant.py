"""The tenants."""

from sqlalchemy import CheckConstraint, ForeignKey, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Created, Updated


class Tenant(Base):
    """A customer of the platform: the border that no row crosses."""

    __tablename__ = "tenants"
    __table_args__ = (CheckConstraint("status IN ('active', 'inactive')", name="status"),)

    tenant_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    system_prompt: Mapped[str | None]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("models.model_id"), index=True)
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
