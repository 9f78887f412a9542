"""A server, its stand-in and a client that most tests share, and what a test needs to have servers of its own."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app.infrastructure.unix_sockets import reachable
from tests.end_to_end.client import Api, Json, Talk, connected
from tests.end_to_end.processes import Program, serving, standing_in
from tests.services import CACHE

MODEL_IDS = {
    "sonnet": "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "haiku": "global.anthropic.claude-haiku-4-5-20251001-v1:0",
}
PRICES = {
    "input_token_price": "0.003",
    "output_token_price": "0.015",
    "cache_creation_5m_price": "0.00375",
    "cache_creation_1h_price": "0.006",
    "cache_read_price": "0.0003",
}
PING_SECONDS = 2


@dataclass
class House:
    """A running server with all that stands behind it."""

    folder: Path
    server: Program
    model_service: Program
    api: Api

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def workspace(self, talk: Talk) -> Path:
        """A conversation's files, as the server keeps them."""
        return self.data / "workspaces" / talk.tenant.encode().hex() / talk.id.replace("-", "")

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """Its database, as the superuser whom no row-level security stops."""
        with reachable(self.data / "postgres" / "socket") as host:
            connection = await asyncpg.connect(f"postgresql://postgres@/backend?host={host}", timeout=10)
            try:
                yield connection
            finally:
                await connection.close()

    async def rows(self, statement: str, *values: object) -> list[asyncpg.Record]:
        async with self.database() as connection:
            return list(await connection.fetch(statement, *values))

    async def register_models(self) -> None:
        for name, bedrock_model_id in MODEL_IDS.items():
            model = {"model_id": name, "display_name": name, "bedrock_model_id": bedrock_model_id, **PRICES}
            assert (await self.api.call("POST", "/api/models", model)).status in {201, 409}

    async def tenant(self, **fields: object) -> str:
        tenant_id = f"tenant-{uuid4().hex[:12]}"
        await self.api.ask("POST", "/api/tenants", {"tenant_id": tenant_id, "model_id": "sonnet", **fields})
        return tenant_id

    async def talk(self, tenant_id: str | None = None, **fields: object) -> Talk:
        """A new conversation."""
        tenant_id = tenant_id or await self.tenant()
        path = f"/api/tenants/{tenant_id}/conversations"
        made = await self.api.ask("POST", path, {"user_id": "ann", **fields})
        return Talk(self.api, tenant_id, made["conversation_id"])

    async def asked_of_model(self) -> list[Json]:
        """The newest requests that reached the model service."""
        async with connected(self.model_service.url) as api:
            requests: list[Json] = await api.ask("GET", "/_standin/requests")
            return requests

    async def counters(self) -> Json:
        """What the model service counted."""
        async with connected(self.model_service.url) as api:
            counters: Json = await api.ask("GET", "/_standin/counters")
            return counters


@asynccontextmanager
async def housed(folder: Path, model_service: Program, **settings: str) -> AsyncIterator[House]:
    """A server on a folder's data, with the models registered."""
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(serving(folder, model_service.url, **settings))
        api = await opened.enter_async_context(connected(server.url))
        house = House(folder, server, model_service, api)
        await house.register_models()
        yield house


@pytest.fixture(scope="session")
def cache_folder() -> Iterator[Path]:
    """Below the checkout; what killed tests left is removed first."""
    for left in CACHE.glob("e2e-*"):
        if not Path(f"/proc/{left.name.removeprefix('e2e-')}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = CACHE / f"e2e-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def model_service(cache_folder: Path) -> AsyncIterator[Program]:
    async with standing_in(cache_folder / "model") as program:
        yield program


@pytest.fixture(scope="session")
async def house(cache_folder: Path, model_service: Program) -> AsyncIterator[House]:
    """The server that most tests share."""
    async with housed(cache_folder / "shared", model_service, PING_SECONDS=str(PING_SECONDS)) as house:
        yield house


OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture(scope="module")
async def open_house(cache_folder: Path) -> AsyncIterator[OpenHouse]:
    """Starts servers for tests that break them: one at a time, all on the same data, with a stand-in of their own."""
    folder = cache_folder / "own"
    async with standing_in(folder) as program:
        yield partial(housed, folder, program)


@pytest.fixture
async def talk(house: House) -> Talk:
    """A new conversation of a new tenant."""
    return await house.talk()
