"""Runs the migrations on the connection or the URL it is handed."""

from typing import Any

from alembic import context
from sqlalchemy import Connection

import app.models  # noqa: F401 -- registers the tables
from app.database import Base


def run(connection: Connection) -> None:
    """Bring the schema to the asked-for revision in one transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


attributes: dict[str, Any] = context.config.attributes
run(attributes["connection"])
