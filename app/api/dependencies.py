"""What a route's signature can ask for: the runtime, the caller and a transaction in the right scope."""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Path, Request

from app.database import ReadSession, Session, TenantId
from app.services.callers import Caller
from app.services.runtime import Runtime


def _runtime(request: Request) -> Runtime:
    return cast("Runtime", request.app.state.runtime)


def _caller(request: Request) -> Caller:
    return cast("Caller", request.scope["state"]["caller"])


def _tenant_id(tenant_id: Annotated[str, Path()]) -> TenantId:
    return TenantId(tenant_id)


Running = Annotated[Runtime, Depends(_runtime)]
Admin = Annotated[Caller, Depends(_caller)]
TenantUser = Annotated[Caller, Depends(_caller)]
PathTenant = Annotated[TenantId, Depends(_tenant_id)]


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
