"""The tenants' routes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.answers import REPLAYED, TOTAL, Listed, PlatformCreated, errors
from app.api.bodies import JsonRoute
from app.api.dependencies import AdminTenant, Force, PlatformReading, PlatformWriting, Running
from app.models.tenant import Tenant
from app.schemas import tenants as schemas
from app.services import tenant_service

router = APIRouter(prefix="/api/tenants", tags=["tenants"], route_class=JsonRoute, responses=errors(401, 422))


@router.get("", response_model=list[schemas.Tenant], responses=TOTAL)
async def list_tenants(
    query: Annotated[schemas.TenantQuery, Query()], session: PlatformReading, listed: Listed
) -> Sequence[Tenant]:
    """Newest first."""
    return listed(await tenant_service.list_tenants(session, query))


@router.post("", status_code=201, response_model=schemas.Tenant, responses=REPLAYED | errors(400, 409))
async def create_tenant(body: schemas.TenantCreate, session: PlatformWriting, created: PlatformCreated) -> Response:
    """400 for an unknown or deprecated model, 409 for a taken id."""
    return await created(schemas.Tenant, partial(tenant_service.create, session, body))


@router.get("/{tenant_id}", response_model=schemas.Tenant, responses=errors(404))
async def get_tenant(tenant_id: AdminTenant, session: PlatformReading) -> Tenant:
    """One tenant."""
    return await tenant_service.get(session, tenant_id)


@router.put("/{tenant_id}", response_model=schemas.Tenant, responses=errors(400, 404))
async def update_tenant(tenant_id: AdminTenant, body: schemas.TenantUpdate, session: PlatformWriting) -> Tenant:
    """400 for an unknown or deprecated model."""
    return await tenant_service.update(session, tenant_id, body)


@router.delete("/{tenant_id}", status_code=204, responses=errors(404, 409))
async def delete_tenant(
    tenant_id: AdminTenant, runtime: Running, session: PlatformWriting, force: Force = False
) -> None:
    """409 while it has conversations; forced, they go with it. Usage stays for billing."""
    await tenant_service.delete(session, tenant_id, runtime.sandboxes, force=force)
