"""The tenants' statements."""

from typing import Any

from sqlalchemy import Delete, Select, Update, delete, insert, select, update

from app.database import Session, TenantId
from app.errors import Conflict, RuleBroken
from app.models.tenant import Tenant
from app.repositories.base import Repository, S_co, refusals
from app.schemas.common import Page
from app.schemas.tenants import TenantQuery

REFUSALS = {
    "pk_tenants": lambda: Conflict("There is a tenant with this id."),
    "fk_tenants_models": lambda: RuleBroken("There is no such model."),
    "fk_conversations_tenants": lambda: Conflict("The tenant has conversations."),
}


class Tenants(Repository[S_co]):
    """All tenants, or inside a tenant's scope that one."""

    def _listed(self, query: TenantQuery) -> Select[Tenant]:
        newest_first = select(Tenant).order_by(Tenant.created_at.desc(), Tenant.tenant_id)
        return newest_first.where(Tenant.status == query.status) if query.status else newest_first

    def _one(self, tenant_id: TenantId) -> Select[Tenant]:
        return select(Tenant).where(Tenant.tenant_id == tenant_id)

    def _change(self, tenant_id: TenantId, changes: dict[str, Any]) -> Update:
        return update(Tenant).where(Tenant.tenant_id == tenant_id).values(changes)

    def _removal(self, tenant_id: TenantId) -> Delete:
        return delete(Tenant).where(Tenant.tenant_id == tenant_id)

    async def list(self, query: TenantQuery) -> Page[Tenant]:
        return await self._page(self._listed(query), query)

    async def find(self, tenant_id: TenantId) -> Tenant | None:
        return await self._first(self._one(tenant_id))

    async def lock(self: "Tenants[Session]", tenant_id: TenantId) -> Tenant | None:
        """As `find`, and until the commit nobody can begin anything for it."""
        return await self._first(self._one(tenant_id).with_for_update())

    async def add(self: "Tenants[Session]", values: dict[str, Any]) -> Tenant:
        """Raises Conflict if the id is taken."""
        with refusals(REFUSALS):
            return (await self._session.scalars(insert(Tenant).values(values).returning(Tenant))).one()

    async def update(self: "Tenants[Session]", tenant_id: TenantId, changes: dict[str, Any]) -> Tenant | None:
        with refusals(REFUSALS):
            return await self._first(self._change(tenant_id, changes).returning(Tenant))

    async def delete(self: "Tenants[Session]", tenant_id: TenantId) -> None:
        """Raises Conflict while it has conversations."""
        with refusals(REFUSALS):
            await self._session.execute(self._removal(tenant_id))
