"""What a route's signature can ask for: the runtime, the caller and a transaction in the right scope."""

from collections.abc import AsyncIterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request
from structlog.contextvars import bind_contextvars

from app.database import ReadSession, Session, TenantId
from app.errors import Forbidden, NotFound
from app.services.callers import Caller
from app.services.runtime import Runtime
from app.utils.ids import is_chosen_id, parse_uuid


def _runtime(request: Request) -> Runtime:
    return cast("Runtime", request.app.state.runtime)


def _caller(request: Request) -> Caller:
    return cast("Caller", request.scope["state"]["caller"])


def known_uuid(text: str) -> UUID:
    """A path id; what is no UUID names nothing. Raises NotFound."""
    found = parse_uuid(text)
    if found is None:
        raise NotFound
    return found


def _chosen_id(text: str) -> str:
    if not is_chosen_id(text):
        raise NotFound
    return text


def _admin_tenant(tenant_id: Annotated[str, Path()]) -> TenantId:
    return TenantId(_chosen_id(tenant_id))


def _tenant_id(
    request: Request,
    tenant_id: Annotated[str, Path()],
    x_tenant_id: Annotated[str | None, Header(description="If given, the tenant of the path.")] = None,
) -> TenantId:
    del x_tenant_id
    if set(request.headers.getlist("X-Tenant-ID")) - {tenant_id}:
        raise Forbidden("X-Tenant-ID names another tenant than the path.")
    bind_contextvars(tenant_id=tenant_id[:100])
    return TenantId(_chosen_id(tenant_id))


def _model_id(model_id: Annotated[str, Path()]) -> str:
    return _chosen_id(model_id)


def _conversation_id(conversation_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})]) -> UUID:
    return known_uuid(conversation_id)


Running = Annotated[Runtime, Depends(_runtime)]
Admin = Annotated[Caller, Depends(_caller)]
TenantUser = Annotated[Caller, Depends(_caller)]
PathTenant = Annotated[TenantId, Depends(_tenant_id)]
AdminTenant = Annotated[TenantId, Depends(_admin_tenant)]
PathModel = Annotated[str, Depends(_model_id)]
PathConversation = Annotated[UUID, Depends(_conversation_id)]
Force = Annotated[bool, Query(description="Whether to go on although it is in use.")]


async def _writing(runtime: Running, tenant_id: PathTenant) -> AsyncIterator[Session]:
    async with runtime.database.tenant(tenant_id) as session:
        yield session


async def _reading(runtime: Running, tenant_id: PathTenant) -> AsyncIterator[ReadSession]:
    async with runtime.database.tenant_read(tenant_id) as session:
        yield session


async def _platform_writing(runtime: Running) -> AsyncIterator[Session]:
    async with runtime.database.platform() as session:
        yield session


async def _platform_reading(runtime: Running) -> AsyncIterator[ReadSession]:
    async with runtime.database.platform_read() as session:
        yield session


Writing = Annotated[Session, Depends(_writing, scope="function")]
Reading = Annotated[ReadSession, Depends(_reading, scope="function")]
PlatformWriting = Annotated[Session, Depends(_platform_writing, scope="function")]
PlatformReading = Annotated[ReadSession, Depends(_platform_reading, scope="function")]
