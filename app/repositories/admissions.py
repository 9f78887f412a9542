"""The two statements with which a run begins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Select, exists, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from app.database import ReadSession, Session, TenantId
from app.errors import ConversationBusy
from app.models.conversation import Conversation
from app.models.model import Model
from app.models.run import LIVE, Run
from app.models.session_entry import SessionEntry
from app.models.tenant import Tenant

_BEGIN = text(
    """
    WITH conversation AS (
        UPDATE conversations
        SET fence = fence + 1, session_id = :session_id, updated_at = clock_timestamp()
        WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id
        RETURNING fence
    ), message AS (
        INSERT INTO messages (tenant_id, message_id, conversation_id, run_id, message_seq, message_type, content)
        SELECT :tenant_id, :message_id, :conversation_id, :run_id, coalesce(max(message_seq), 0) + 1, 'user',
               CAST(:content AS json)
        FROM messages WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id
    )
    INSERT INTO runs (tenant_id, run_id, conversation_id, user_id, model_id, owner, fence, lease_until, versions)
    SELECT :tenant_id, :run_id, :conversation_id, :user_id, :model_id, :owner, fence,
           clock_timestamp() + make_interval(secs => :lease_seconds), CAST(:versions AS json)
    FROM conversation
    RETURNING fence, created_at
    """
)


@dataclass(frozen=True, slots=True)
class Situation:
    """A conversation with what a run in it depends on."""

    conversation: Conversation
    tenant: Tenant
    own_model: Model
    asked_model: Model | None
    default_model: Model | None
    live_run: UUID | None
    has_transcript: bool


@dataclass(frozen=True, slots=True)
class Beginning:
    """The row of a run to begin."""

    run_id: UUID
    conversation_id: UUID
    message_id: UUID
    session_id: UUID
    user_id: str
    model_id: str
    owner: str
    lease_seconds: float
    content: dict[str, Any]
    versions: dict[str, Any]


class Admissions:
    """One tenant's beginnings of runs."""

    def __init__(self, session: ReadSession, tenant_id: TenantId) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _situation(
        self, conversation_id: UUID, asked_model: str | None
    ) -> Select[Conversation, Tenant, Model, Model, Model, UUID, bool]:
        own, asked, default = aliased(Model), aliased(Model), aliased(Model)
        live = select(Run.run_id).where(
            Run.tenant_id == self._tenant_id, Run.conversation_id == conversation_id, Run.status.in_(LIVE)
        )
        written = exists().where(
            SessionEntry.tenant_id == self._tenant_id, SessionEntry.conversation_id == conversation_id
        )
        return (
            select(Conversation, Tenant, own, asked, default, live.scalar_subquery(), written)
            .join(Tenant, Tenant.tenant_id == Conversation.tenant_id)
            .join(own, own.model_id == Conversation.model_id)
            .outerjoin(asked, asked.model_id == asked_model)
            .outerjoin(default, default.model_id == Tenant.model_id)
            .where(Conversation.tenant_id == self._tenant_id, Conversation.conversation_id == conversation_id)
        )

    async def find(self, conversation_id: UUID, asked_model: str | None = None) -> Situation | None:
        """How things stand, for a look ahead."""
        row = (await self._session.execute(self._situation(conversation_id, asked_model))).one_or_none()
        return Situation(*row) if row else None

    async def lock(self, conversation_id: UUID, asked_model: str | None) -> Situation | None:
        """As `find`; until the transaction ends nobody else begins a run in it."""
        locked = self._situation(conversation_id, asked_model).with_for_update(of=Conversation)
        row = (await self._session.execute(locked)).one_or_none()
        return Situation(*row) if row else None

    async def begin(self, session: Session, beginning: Beginning) -> tuple[int, datetime]:
        """Write the run and the user's message; the run's fence and time. Raises `ConversationBusy` without its id."""
        values = {
            "tenant_id": self._tenant_id,
            "run_id": beginning.run_id,
            "conversation_id": beginning.conversation_id,
            "message_id": beginning.message_id,
            "session_id": beginning.session_id,
            "user_id": beginning.user_id,
            "model_id": beginning.model_id,
            "owner": beginning.owner,
            "lease_seconds": beginning.lease_seconds,
            "content": orjson.dumps(beginning.content).decode(),
            "versions": orjson.dumps(beginning.versions).decode(),
        }
        try:
            row = (await session.execute(_BEGIN, values)).one()
        except IntegrityError as error:
            raise ConversationBusy from error
        return int(row.fence), row.created_at
