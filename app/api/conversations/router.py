"""The routes of conversations and their messages."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from app.api.answers import REPLAYED, TOTAL, Created, Listed, errors
from app.api.bodies import JsonRoute
from app.api.dependencies import Force, PathConversation, PathTenant, Reading, Running, TenantUser, Writing
from app.models.conversation import Conversation
from app.models.message import Message
from app.schemas import conversations as schemas
from app.schemas import messages as message_schemas
from app.schemas.common import Page
from app.services import conversation_service, message_service

router = APIRouter(
    prefix="/api/tenants/{tenant_id}/conversations",
    tags=["conversations"],
    route_class=JsonRoute,
    responses=errors(401, 403, 404, 422),
)


@router.get("", response_model=schemas.ConversationPage)
async def list_conversations(
    tenant_id: PathTenant,
    query: Annotated[schemas.ConversationQuery, Query()],
    caller: TenantUser,
    runtime: Running,
    session: Reading,
) -> Page[Conversation]:
    """Latest `updated_at` first."""
    return await conversation_service.list_conversations(session, tenant_id, caller, query, runtime.settings.zone)


@router.post("", status_code=201, response_model=schemas.Conversation, responses=REPLAYED | errors(400))
async def create_conversation(
    tenant_id: PathTenant,
    body: schemas.ConversationCreate,
    caller: TenantUser,
    runtime: Running,
    session: Writing,
    created: Created,
) -> Response:
    """Its sandbox is made ready meanwhile. 400 without a usable model."""
    effect = partial(conversation_service.create, session, tenant_id, caller, body, runtime.sandboxes)
    return await created(schemas.Conversation, effect)


@router.get("/{conversation_id}", response_model=schemas.Conversation)
async def get_conversation(
    tenant_id: PathTenant, conversation_id: PathConversation, caller: TenantUser, session: Reading
) -> Conversation:
    """One conversation."""
    return await conversation_service.get(session, tenant_id, caller, conversation_id)


@router.put("/{conversation_id}", response_model=schemas.Conversation, responses=errors(400))
async def update_conversation(
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    body: schemas.ConversationUpdate,
    caller: TenantUser,
    session: Writing,
) -> Conversation:
    """Title and status."""
    return await conversation_service.update(session, tenant_id, caller, conversation_id, body)


@router.delete("/{conversation_id}", status_code=204, responses=errors(400, 409))
async def delete_conversation(
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    caller: TenantUser,
    runtime: Running,
    session: Writing,
    force: Force = False,
) -> None:
    """409 while a run is live: `error.run_id`; forced, it is ended. Usage stays for billing."""
    await conversation_service.delete(session, tenant_id, caller, conversation_id, runtime.sandboxes, force=force)


@router.post("/{conversation_id}/archive", response_model=schemas.Conversation, responses=errors(400))
async def archive_conversation(
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    caller: TenantUser,
    session: Writing,
    _body: Annotated[dict[str, Any] | None, Body(description="Empty, or an object that is ignored.")] = None,
) -> Conversation:
    """Takes no more runs; once more changes nothing."""
    return await conversation_service.archive(session, tenant_id, caller, conversation_id)


@router.get("/{conversation_id}/messages", response_model=list[message_schemas.Message], responses=TOTAL)
async def list_messages(
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    query: Annotated[message_schemas.MessageQuery, Query()],
    caller: TenantUser,
    session: Reading,
    listed: Listed,
) -> Sequence[Message]:
    """By `message_seq`."""
    return listed(await message_service.list_messages(session, tenant_id, caller, conversation_id, query))
