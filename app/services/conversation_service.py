"""What can be done with conversations."""

from datetime import tzinfo
from functools import partial
from uuid import UUID

from app.database import ReadSession, Session, TenantId, UserId, after_commit, new_id
from app.errors import ConversationBusy, Detail, Forbidden, NotFound, RuleBroken
from app.models.conversation import Conversation
from app.models.tenant import Tenant
from app.repositories.conversations import Conversations
from app.schemas.common import Page
from app.schemas.conversations import ConversationCreate, ConversationQuery, ConversationUpdate
from app.services import model_service, tenant_service
from app.services.callers import Caller
from app.services.sandboxes import Sandboxes


def check_owner(caller: Caller, conversation: Conversation | None) -> Conversation:
    """The conversation, if it is there and the caller may know of it. Raises NotFound."""
    if conversation is None or caller.user_id not in {None, conversation.user_id}:
        raise NotFound
    return conversation


async def list_conversations(
    session: ReadSession, tenant_id: TenantId, caller: Caller, query: ConversationQuery, zone: tzinfo
) -> Page[Conversation]:
    """Those that the caller may know of; dates without a zone are read in the given one."""
    await tenant_service.get(session, tenant_id)
    owner = UserId(caller.user_id) if caller.user_id else None
    return await Conversations(session, tenant_id).list(query, query.period(zone), owner)


async def get(session: ReadSession, tenant_id: TenantId, caller: Caller, conversation_id: UUID) -> Conversation:
    return check_owner(caller, await Conversations(session, tenant_id).find(conversation_id))


def _chosen_model(tenant: Tenant, body: ConversationCreate) -> str:
    model_id = body.model_id or tenant.model_id
    if model_id is None:
        message = "The tenant has no model of its own: name one."
        raise RuleBroken(message, details=(Detail("body.model_id", message, "missing"),))
    return model_id


async def create(
    session: Session, tenant_id: TenantId, caller: Caller, body: ConversationCreate, sandboxes: Sandboxes
) -> Conversation:
    """Raises Forbidden for another user's, RuleBroken and ResourceInactive for a model that cannot be used."""
    tenant = await tenant_service.get_active(session, tenant_id)
    if caller.user_id not in {None, body.user_id}:
        raise Forbidden("A conversation can be opened for oneself only.")
    model_id = _chosen_model(tenant, body)
    await model_service.check_usable(session, model_id)
    values = {**body.model_dump(), "conversation_id": new_id(), "model_id": model_id}
    conversation = await Conversations(session, tenant_id).add(values)
    after_commit(session, partial(sandboxes.prewarm, tenant_id, conversation.conversation_id))
    return conversation


async def update(
    session: Session, tenant_id: TenantId, caller: Caller, conversation_id: UUID, body: ConversationUpdate
) -> Conversation:
    await tenant_service.get_active(session, tenant_id)
    conversation, changes = await get(session, tenant_id, caller, conversation_id), body.changes()
    if not changes:
        return conversation
    return check_owner(caller, await Conversations(session, tenant_id).update(conversation_id, changes))


async def archive(session: Session, tenant_id: TenantId, caller: Caller, conversation_id: UUID) -> Conversation:
    """Once more changes nothing."""
    await tenant_service.get_active(session, tenant_id)
    conversation = await get(session, tenant_id, caller, conversation_id)
    if conversation.status == "archived":
        return conversation
    archived = await Conversations(session, tenant_id).update(conversation_id, {"status": "archived"})
    return check_owner(caller, archived)


async def _check_idle(session: Session, tenant_id: TenantId, conversation_id: UUID) -> None:
    run_id = await Conversations(session, tenant_id).find_live_run(conversation_id)
    if run_id is not None:
        raise ConversationBusy(run_id=str(run_id))


async def delete(
    session: Session, tenant_id: TenantId, caller: Caller, conversation_id: UUID, sandboxes: Sandboxes, *, force: bool
) -> None:
    """Remove it with all of it but the ledger. Raises ConversationBusy while a run is live, unless forced."""
    await tenant_service.get_active(session, tenant_id)
    conversations = Conversations(session, tenant_id)
    if force:
        await conversations.hold_runs(conversation_id)
    check_owner(caller, await conversations.lock(conversation_id))
    if not force:
        await _check_idle(session, tenant_id, conversation_id)
    await conversations.delete(conversation_id)
    after_commit(session, partial(sandboxes.discard, tenant_id, conversation_id))
