"""The messages' statements."""

from uuid import UUID

from sqlalchemy import Select, select

from app.models.message import Message
from app.repositories.base import S_co, TenantRepository
from app.schemas.common import Page
from app.schemas.messages import MessageQuery


class Messages(TenantRepository[S_co]):
    """One tenant's messages."""

    def _listed(self, conversation_id: UUID, query: MessageQuery) -> Select[Message]:
        return (
            select(Message)
            .where(
                Message.tenant_id == self._tenant_id,
                Message.conversation_id == conversation_id,
                Message.message_seq > query.after_seq,
            )
            .order_by(Message.message_seq)
        )

    async def list(self, conversation_id: UUID, query: MessageQuery) -> Page[Message]:
        return await self._page(self._listed(conversation_id, query), query)
