"""A served application with this package's routes on an empty database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import aiohttp
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.config import Server, Settings
from app.core.app_factory import create_app
from app.database import Database, TenantId
from app.services.runtime import Runtime
from tests.http import serving

KEY = "a-key-of-the-tests"


@dataclass
class Sandboxes:
    """Remembers what it was asked to do."""

    prewarmed: list[tuple[str, UUID]] = field(default_factory=list)
    discarded: list[tuple[str, UUID]] = field(default_factory=list)

    async def prewarm(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        self.prewarmed.append((tenant_id, conversation_id))

    async def discard(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        self.discarded.append((tenant_id, conversation_id))


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Any
    body: Any
    text: str

    @property
    def error(self) -> dict[str, Any]:
        return self.body["error"]

    def has(self, status: int, code: str) -> bool:
        assert (self.status, self.error["code"]) == (status, code), self.text
        return True


class Client:
    """Calls the API as one caller."""

    def __init__(self, session: aiohttp.ClientSession, **headers: str) -> None:
        self._session = session
        self._headers = {"X-API-Key": KEY} | headers

    def as_user(self, user_id: str) -> "Client":
        return Client(self._session, **{"X-User-ID": user_id})

    def with_headers(self, **headers: str) -> "Client":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(self._session, **(self._headers | named))

    async def call(self, method: str, path: str, **said: Any) -> Answer:
        said["headers"] = self._headers | said.get("headers", {})
        async with self._session.request(method, path, **said) as response:
            text = await response.text()
            body = await response.json() if text else None
            return Answer(response.status, response.headers, body, text)

    async def get(self, path: str, **params: Any) -> Answer:
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: Any = None, **said: Any) -> Answer:
        return await self.call("POST", path, json=body, **said)

    async def put(self, path: str, body: Any = None) -> Answer:
        return await self.call("PUT", path, json=body)

    async def patch(self, path: str, **params: Any) -> Answer:
        return await self.call("PATCH", path, params=params)

    async def delete(self, path: str, **params: Any) -> Answer:
        return await self.call("DELETE", path, params=params)


@pytest.fixture(scope="session")
def runtime() -> SimpleNamespace:
    settings = Settings(server=Server(timezone="Asia/Tokyo", api_keys=(SecretStr(KEY),)))
    return SimpleNamespace(settings=settings, database=None, sandboxes=None)


@pytest.fixture(scope="session")
def application(runtime: SimpleNamespace) -> FastAPI:
    return create_app(runtime.settings, runtime=cast("Runtime", runtime))


@pytest.fixture(scope="session")
async def _session(application: FastAPI) -> AsyncIterator[aiohttp.ClientSession]:
    limits = aiohttp.TCPConnector(limit=0)
    async with (
        serving(application, lifespan=False) as base_url,
        aiohttp.ClientSession(base_url, connector=limits, timeout=aiohttp.ClientTimeout(total=30)) as session,
    ):
        yield session


@pytest.fixture
def sandboxes() -> Sandboxes:
    return Sandboxes()


@pytest.fixture
def client(
    _session: aiohttp.ClientSession, runtime: SimpleNamespace, database: Database, sandboxes: Sandboxes
) -> Client:
    runtime.database, runtime.sandboxes = database, sandboxes
    return Client(_session)


Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def make_model(client: Client) -> Make:
    async def make(model_id: str = "sonnet", **fields: Any) -> dict[str, Any]:
        body = {"model_id": model_id, "display_name": model_id.title(), "bedrock_model_id": f"vendor.{model_id}"}
        made = await client.post("/api/models", body | fields)
        assert made.status == 201, made.text
        return made.body

    return make


@pytest.fixture
def make_tenant(client: Client, make_model: Make) -> Make:
    async def make(tenant_id: str = "acme", **fields: Any) -> dict[str, Any]:
        if (await client.get("/api/models/sonnet")).status == 404:
            await make_model()
        made = await client.post("/api/tenants", {"tenant_id": tenant_id, "model_id": "sonnet"} | fields)
        assert made.status == 201, made.text
        return made.body

    return make


@pytest.fixture
def make_conversation(client: Client, make_tenant: Make) -> Make:
    async def make(tenant_id: str = "acme", user_id: str = "ann", **fields: Any) -> dict[str, Any]:
        if (await client.get(f"/api/tenants/{tenant_id}")).status == 404:
            await make_tenant(tenant_id)
        made = await client.post(f"/api/tenants/{tenant_id}/conversations", {"user_id": user_id} | fields)
        assert made.status == 201, made.text
        return made.body

    return make
