"""Rows for tests, written the shortest way."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.database import Session, TenantId, new_id
from app.models import Message, Run, UsageLog


async def add_run(session: Session, tenant_id: TenantId, conversation_id: UUID, **fields: Any) -> UUID:
    """A run that is running unless told otherwise."""
    run = Run(
        **{
            "tenant_id": tenant_id,
            "run_id": new_id(),
            "conversation_id": conversation_id,
            "user_id": "ann",
            "model_id": "sonnet",
            "status": "running",
            "owner": "replica",
            "lease_until": datetime.now(UTC) + timedelta(seconds=10),
            "fence": 1,
        }
        | fields
    )
    session.add(run)
    await session.flush()
    return run.run_id


async def add_message(session: Session, tenant_id: TenantId, conversation_id: UUID, seq: int, **fields: Any) -> UUID:
    """A user's message."""
    message = Message(
        **{
            "tenant_id": tenant_id,
            "message_id": new_id(),
            "conversation_id": conversation_id,
            "message_seq": seq,
            "message_type": "user",
            "content": {"type": "user", "text": f"message {seq}"},
        }
        | fields
    )
    session.add(message)
    await session.flush()
    return message.message_id


async def add_usage(session: Session, tenant_id: TenantId, **fields: Any) -> UUID:
    """A model call of no tokens."""
    usage = UsageLog(
        **{
            "tenant_id": tenant_id,
            "usage_log_id": new_id(),
            "user_id": "ann",
            "model_id": "sonnet",
            "bedrock_model_id": "vendor.sonnet",
            "operation": "invoke",
            "status": "completed",
        }
        | fields
    )
    session.add(usage)
    await session.flush()
    return usage.usage_log_id
