"""The whole application around a runtime of stand-ins, with a few routes that go wrong on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiohttp
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, SecretStr, field_validator
from starlette.responses import StreamingResponse

from app.config import Runs, Server, Settings
from app.core.app_factory import create_app
from app.errors import ConversationBusy, ExternalServiceFailed, RateLimited, ServiceUnavailable
from app.services.health_service import HealthService, Probes
from tests.http import serving

KEY = "first-key-of-the-tests"
OTHER_KEY = "second-key-of-the-tests"
ORIGIN = "https://front.example"
INTERNALS = "postgresql://admin:hunter2@10.0.0.7/secret_table"


@dataclass
class Parts:
    """What the program stands on; a test says how it is."""

    faults: dict[str, Exception] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    draining: bool = False

    def probe(self, name: str) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            self.asked.append(name)
            if name in self.hanging:
                await asyncio.Event().wait()
            if name in self.faults:
                raise self.faults[name]

        return ask

    def service(self, environment: str = "development") -> HealthService:
        names = ("database", "redis", "s3", "containers")
        probes = Probes(*(self.probe(name) for name in names), container_counts=lambda: (2, 3))
        return HealthService(probes, version="1.2.3", environment=environment, draining=lambda: self.draining)


def edge_settings(
    *, keys: tuple[str, ...] = (KEY, OTHER_KEY), request_max_mebibytes: int = 1, **server: Any
) -> Settings:
    return Settings(
        server=Server(api_keys=tuple(map(SecretStr, keys)), **{"cors_origins": (ORIGIN,), **server}),
        runs=Runs(request_max_mebibytes=request_max_mebibytes, upload_max_mebibytes=2),
    )


def edge_app(settings: Settings, parts: Parts | None = None) -> FastAPI:
    database = SimpleNamespace(pool_states=lambda: {"in_use": 1, "idle": 4, "overflow": 0})
    health = (parts or Parts()).service(settings.server.app_env)
    app = create_app(settings, runtime=SimpleNamespace(settings=settings, database=database, health=health))
    app.include_router(trials, prefix="/api")
    app.router.routes.insert(0, app.router.routes.pop())  # one of them stands where a real route is
    return app


@asynccontextmanager
async def edge(app: FastAPI, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        serving(app, lifespan=False) as base_url,
        aiohttp.ClientSession(base_url, headers=headers, timeout=timeout) as client,
    ):
        yield client


async def raw_exchange(base_url: str, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send exactly these bytes and read the answer to the end of the connection."""
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines), body


class Item(BaseModel):
    name: str
    count: int
    tags: dict[str, int] = {}
    code: str = "ok"

    @field_validator("code")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "ok":
            raise ValueError("must be ok")
        return value


class Unprintable(Exception):
    """Its text must not get out."""


trials = APIRouter()


@trials.get("/trial/caller")
async def caller(request: Request) -> dict[str, Any]:
    found = request.state.caller
    return {"key": found.key_id, "user": found.user_id, "admin": found.admin_id, "id": request.state.request_id}


@trials.get("/trial/fault")
async def fault() -> None:
    raise Unprintable(INTERNALS)


@trials.get("/trial/errors/{name}")
async def error(name: str) -> None:
    raise {
        "busy": ConversationBusy(run_id="0190"),
        "limited": RateLimited(retry_after=7),
        "down": ServiceUnavailable(),
        "upstream": ExternalServiceFailed(),
    }[name]


@trials.get("/trial/half")
async def half() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise Unprintable(INTERNALS)

    return StreamingResponse(pieces())


@trials.get("/trial/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.sleep(0.15)
        yield b"data: 2\n\n"

    quiet = {"Cache-Control": "no-store, no-transform"}
    return StreamingResponse(pieces(), headers=quiet, media_type="text/event-stream")


@trials.post("/trial/items")
async def make(item: Item) -> Item:
    return item


@trials.put("/trial/items/{item_id}")
async def replace(item_id: UUID, limit: int = 1) -> dict[str, str]:
    return {"item_id": str(item_id)}


@trials.delete("/trial/items/{item_id}")
async def remove(item_id: UUID) -> dict[str, str]:
    return {"item_id": str(item_id)}


@trials.post("/trial/unread")
async def unread() -> dict[str, bool]:
    return {"read": False}


async def count(request: Request) -> dict[str, int]:
    total, largest = 0, 0
    async for piece in request.stream():
        total, largest = total + len(piece), max(largest, len(piece))
    return {"total": total, "largest": largest}


trials.post("/trial/count")(count)
trials.post("/tenants/acme/conversations/one/stream", name="count_stream")(count)
