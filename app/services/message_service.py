"""What can be done with messages."""

from uuid import UUID

from app.database import ReadSession, TenantId
from app.models.message import Message
from app.repositories.messages import Messages
from app.schemas.common import Page
from app.schemas.messages import MessageQuery
from app.services import conversation_service
from app.services.callers import Caller


async def list_messages(
    session: ReadSession, tenant_id: TenantId, caller: Caller, conversation_id: UUID, query: MessageQuery
) -> Page[Message]:
    """A conversation's messages, oldest first."""
    await conversation_service.get(session, tenant_id, caller, conversation_id)
    return await Messages(session, tenant_id).list(conversation_id, query)
