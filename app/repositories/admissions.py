"""The two statements with which a run begins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, bindparam, exists, select, text
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
    INSERT INTO runs (tenant_id, run_id, conversation_id, user_id, model_id, owner, fence, lease_until, versions,
                      status, started_at)
    SELECT :tenant_id, :run_id, :conversation_id, :user_id, :model_id, :owner, fence,
           clock_timestamp() + make_interval(secs => :lease_seconds), CAST(:versions AS json),
           CASE WHEN :at_once THEN 'running' ELSE 'queued' END, CASE WHEN :at_once THEN clock_timestamp() END
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
    at_once: bool
    """Whether its agent waits for it, so that it need not queue."""
    content: dict[str, Any]
    versions: dict[str, Any]


_own, _asked, _default = aliased(Model), aliased(Model), aliased(Model)
_tenant: BindParameter[str] = bindparam("tenant_id")
_conversation: BindParameter[UUID] = bindparam("conversation_id")
_model: BindParameter[str] = bindparam("model_id")

_LIVE_RUN = select(Run.run_id).where(
    Run.tenant_id == _tenant, Run.conversation_id == _conversation, Run.status.in_(LIVE)
)
_WRITTEN = exists().where(SessionEntry.tenant_id == _tenant, SessionEntry.conversation_id == _conversation)

_SITUATION = (
    select(Conversation, Tenant, _own, _asked, _default, _LIVE_RUN.scalar_subquery(), _WRITTEN)
    .join(Tenant, Tenant.tenant_id == Conversation.tenant_id)
    .join(_own, _own.model_id == Conversation.model_id)
    .outerjoin(_asked, _asked.model_id == _model)
    .outerjoin(_default, _default.model_id == Tenant.model_id)
    .where(Conversation.tenant_id == _tenant, Conversation.conversation_id == _conversation)
)
_LOCKED_SITUATION = _SITUATION.with_for_update(of=Conversation)


class Admissions:
    """One tenant's beginnings of runs."""

    def __init__(self, session: ReadSession, tenant_id: TenantId) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _values(self, conversation_id: UUID, asked_model: str | None) -> dict[str, Any]:
        return {"tenant_id": self._tenant_id, "conversation_id": conversation_id, "model_id": asked_model}

    async def find(self, conversation_id: UUID, asked_model: str | None = None) -> Situation | None:
        """How things stand, for a look ahead."""
        found = await self._session.execute(_SITUATION, self._values(conversation_id, asked_model))
        row = found.one_or_none()
        return Situation(*row) if row else None

    async def lock(self, conversation_id: UUID, asked_model: str | None) -> Situation | None:
        """As `find`; until the transaction ends nobody else begins a run in it."""
        found = await self._session.execute(_LOCKED_SITUATION, self._values(conversation_id, asked_model))
        row = found.one_or_none()
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
            "at_once": beginning.at_once,
            "content": orjson.dumps(beginning.content).decode(),
            "versions": orjson.dumps(beginning.versions).decode(),
        }
        try:
            row = (await session.execute(_BEGIN, values)).one()
        except IntegrityError as error:
            raise ConversationBusy from error
        return int(row.fence), row.created_at
