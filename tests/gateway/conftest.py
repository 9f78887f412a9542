"""A sandbox's way to the stand-in: door, gate, ledger."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from app.config import ModelService, Settings
from app.database import Database, TenantId, UserId, new_id
from app.gateway.server import Gateway
from app.infrastructure.bedrock.client import open_bedrock
from app.infrastructure.gateway_sockets import NAME, listen
from app.models import Model, UsageLog
from app.services.model_gate import Binding, BoundRun, ModelGate, Origin
from standin import server
from tests.standin.client import MODEL, Client, messages_body

TENANT = TenantId("acme")
SECRET = "canary-secret-key"
TOKEN = "canary-session-token"
BODY = orjson.dumps(messages_body("@text hi"))
HAIKU = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
FIVE = ("input_tokens", "output_tokens", "cache_creation_5m", "cache_creation_1h", "cache_read")


@pytest.fixture
async def standin() -> AsyncIterator[server.Address]:
    async with server.running() as address:
        yield address


@pytest.fixture
async def service(standin: server.Address) -> AsyncIterator[Client]:
    """The stand-in itself: its counters, and the direct way."""
    async with aiohttp.ClientSession(standin.url) as session:
        yield Client(session)


@pytest.fixture
def settings(standin: server.Address) -> Settings:
    models = ModelService(
        aws_region="eu-west-1",
        aws_access_key_id=SecretStr("AKIDEXAMPLE"),
        aws_secret_access_key=SecretStr(SECRET),
        aws_session_token=SecretStr(TOKEN),
        bedrock_endpoint_url=standin.url,
        anthropic_sonnet_model=MODEL,
        anthropic_haiku_model=HAIKU,
        model_call_timeout=20.0,
    )
    return Settings(models=models)


@asynccontextmanager
async def gate_on(database: Any, settings: Settings) -> AsyncIterator[ModelGate]:
    async with open_bedrock(settings.models) as client:
        gate = ModelGate(database, settings, client)
        try:
            yield gate
        finally:
            await gate.close(grace=10.0)


@pytest.fixture
async def gate(database: Database, settings: Settings) -> AsyncIterator[ModelGate]:
    async with gate_on(database, settings) as opened:
        yield opened


def origin(**fields: Any) -> Origin:
    return Origin(TENANT, UserId("ann"), conversation_id=new_id(), session_id=new_id(), **fields)


@pytest.fixture
def binding() -> Binding:
    made = Binding(origin())
    made.run = BoundRun(new_id(), UserId("ben"), "sonnet")
    return made


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
async def door(gate: ModelGate, binding: Binding, folder: Path) -> AsyncIterator[Path]:
    """The socket of an open door."""
    opened = await Gateway(gate, listen).open(folder, binding, os.geteuid())
    yield folder / NAME
    await opened.close()


@asynccontextmanager
async def through(path: Path, connections: int = 100) -> AsyncIterator[Client]:
    connector = aiohttp.UnixConnector(str(path), limit=connections)
    async with aiohttp.ClientSession("http://gateway", connector=connector) as session:
        yield Client(session)


@pytest.fixture
async def sandbox(door: Path) -> AsyncIterator[Client]:
    """What the agent's client sees."""
    async with through(door) as client:
        yield client


def post(target: str, *headers: str, body: bytes = BODY, length: bool = True) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        *headers,
        *([f"Content-Length: {len(body)}"] if length else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def requests_seen(service: Client) -> list[dict[str, Any]]:
    return await service.control("requests")


async def raw(path: Path, request: bytes) -> bytes:
    """Send exactly these bytes and read the answer to the end of the connection."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def until(holds: Callable[[], Awaitable[object]], deadline: float = 10.0) -> None:
    """Ask again and again until it is so."""
    async with asyncio.timeout(deadline):
        held = await holds()
        while not held:
            await asyncio.sleep(0.01)
            held = await holds()


async def register(database: Database, model_id: str = "sonnet", bedrock_model_id: str = MODEL, **fields: Any) -> None:
    """A model whose five prices are 1, 2, 3, 4 and 5 millionths, unless told otherwise."""
    prices = ("input_token", "output_token", "cache_creation_5m", "cache_creation_1h", "cache_read")
    async with database.platform() as session:
        session.add(
            Model(
                **{
                    "model_id": model_id,
                    "display_name": model_id,
                    "bedrock_model_id": bedrock_model_id,
                    "context_window": 200_000,
                    "max_output_tokens": 8_000,
                }
                | {f"{name}_price": number / 1_000_000 for number, name in enumerate(prices, 1)}
                | fields
            )
        )


async def reprice(database: Database, model_id: str, **fields: Any) -> None:
    async with database.platform() as session:
        await session.execute(update(Model).where(Model.model_id == model_id).values(**fields))


async def rows(database: Database) -> list[UsageLog]:
    async with database.tenant_read(TENANT) as session:
        found = list(await session.scalars(select(UsageLog).order_by(UsageLog.usage_log_id)))
        session.expunge_all()
    return found


def five_of_row(row: UsageLog) -> tuple[int, ...]:
    return (
        row.input_tokens,
        row.output_tokens,
        row.cache_creation_5m_tokens,
        row.cache_creation_1h_tokens,
        row.cache_read_tokens,
    )


async def assert_ledger_equals_counters(database: Database, service: Client) -> None:
    """Each call of the service that used anything is one row of the same five counts, and no row is more."""
    counted = [tuple(call[name] for name in FIVE) for call in await service.calls()]
    recorded = [five_of_row(row) for row in await rows(database)]
    assert sorted(recorded) == sorted(counts for counts in counted if any(counts))
