"""What can be done with tenants."""

from functools import partial

from app.database import ReadSession, Session, TenantId, after_commit
from app.errors import Conflict, Detail, NotFound, ResourceInactive
from app.models.tenant import Tenant
from app.repositories.conversations import Conversations
from app.repositories.idempotency_keys import IdempotencyKeys
from app.repositories.tenants import Tenants
from app.schemas.common import Page
from app.schemas.tenants import TenantCreate, TenantQuery, TenantUpdate
from app.services import model_service
from app.services.sandboxes import Sandboxes


async def list_tenants(session: ReadSession, query: TenantQuery) -> Page[Tenant]:
    return await Tenants(session).list(query)


async def get(session: ReadSession, tenant_id: TenantId) -> Tenant:
    tenant = await Tenants(session).find(tenant_id)
    if tenant is None:
        raise NotFound
    return tenant


async def get_active(session: ReadSession, tenant_id: TenantId) -> Tenant:
    """The tenant, for whatever writes or runs. Raises NotFound, and ResourceInactive."""
    tenant = await get(session, tenant_id)
    if tenant.status != "active":
        raise ResourceInactive("The tenant is inactive.")
    return tenant


async def create(session: Session, body: TenantCreate) -> Tenant:
    if body.model_id is not None:
        await model_service.check_usable(session, body.model_id)
    return await Tenants(session).add(body.model_dump())


async def update(session: Session, tenant_id: TenantId, body: TenantUpdate) -> Tenant:
    """Works on an inactive tenant too, so that it can be made active again."""
    tenant, changes = await get(session, tenant_id), body.changes()
    if body.model_id is not None and body.model_id != tenant.model_id:
        await model_service.check_usable(session, body.model_id)
    updated = await Tenants(session).update(tenant_id, changes) if changes else tenant
    if updated is None:
        raise NotFound
    return updated


async def _check_empty(session: Session, tenant_id: TenantId) -> None:
    count = await Conversations(session, tenant_id).count()
    if count:
        detail = Detail("conversations", f"{count} belong to it", "in_use")
        raise Conflict("The tenant is in use.", details=(detail,), usage={"conversations": count})


async def delete(session: Session, tenant_id: TenantId, sandboxes: Sandboxes, *, force: bool) -> None:
    """Remove the tenant, forced with everything of it but the ledger. Raises Conflict while it has conversations."""
    if await Tenants(session).lock(tenant_id) is None:
        raise NotFound
    if not force:
        await _check_empty(session, tenant_id)
    conversations = Conversations(session, tenant_id)
    await conversations.hold_runs()
    for conversation_id in await conversations.delete_all():
        after_commit(session, partial(sandboxes.discard, tenant_id, conversation_id))
    await IdempotencyKeys(session, tenant_id).delete_all()
    await Tenants(session).delete(tenant_id)
