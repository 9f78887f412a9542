"""Tables, one per file; importing this package registers them all."""

from app.models.conversation import Conversation
from app.models.event import Event
from app.models.idempotency_key import IdempotencyKey
from app.models.message import Message
from app.models.model import Model
from app.models.run import Run
from app.models.session_entry import SessionEntry
from app.models.tenant import Tenant
from app.models.usage_log import UsageLog

__all__ = [
    "Conversation",
    "Event",
    "IdempotencyKey",
    "Message",
    "Model",
    "Run",
    "SessionEntry",
    "Tenant",
    "UsageLog",
]
