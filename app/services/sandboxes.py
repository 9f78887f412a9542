"""What conversations need of the sandboxes."""

from typing import Protocol
from uuid import UUID

from app.database import TenantId


class Sandboxes(Protocol):
    """Works in the background: both return at once and never raise."""

    async def prewarm(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        """Have a sandbox ready when the first message comes."""

    async def discard(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        """The conversation is gone: end its live run, remove its sandbox and its workspace."""
