"""The models that tenants may use, with their prices."""

from sqlalchemy import CheckConstraint, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.models.columns import Created, Price, Updated


class Model(Base):
    """A model of the model service under a name of the platform's own; belongs to no tenant."""

    __tablename__ = "models"
    __table_args__ = (CheckConstraint("status IN ('active', 'deprecated')", name="status"),)

    model_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(200))
    bedrock_model_id: Mapped[str] = mapped_column(String(200), index=True)
    model_region: Mapped[str | None] = mapped_column(String(50))
    context_window: Mapped[int]
    max_output_tokens: Mapped[int]
    supports_extended_context: Mapped[bool] = mapped_column(server_default=false())
    extended_context_window: Mapped[int | None]
    input_token_price: Mapped[Price]
    output_token_price: Mapped[Price]
    cache_creation_5m_price: Mapped[Price]
    cache_creation_1h_price: Mapped[Price]
    cache_read_price: Mapped[Price]
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]
