"""A client of the API that notes when each event arrived."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import aiohttp

from bench.processes import KEY

TENANT = "bench"
EXECUTOR = {"user_id": "bench", "name": "Bench", "email": "bench@example.com"}
MODELS = {
    "sonnet": "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "haiku": "global.anthropic.claude-haiku-4-5-20251001-v1:0",
}
TURN_SECONDS = 300.0
WARM_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as it came."""

    at: float
    """Milliseconds after the request was sent."""
    seq: int
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything that one message led to."""

    run_id: str
    events: tuple[Heard, ...]

    def first(self, kind: str) -> float:
        """When the first event of a kind came; raises `LookupError` when none did."""
        for event in self.events:
            if event.type == kind:
                return event.at
        raise LookupError(f"no {kind} among {[event.type for event in self.events]}: {self.events[-1].data}")

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with it, in words; empty when it went as it should."""
        numbered = [event for event in self.events if event.type != "ping"]
        checks = {
            "a hole in the numbers": [event.seq for event in numbered] != list(range(1, len(numbered) + 1)),
            "an error event": any(event.type == "error" for event in numbered),
            "a failed tool": any(event.data.get("is_error") for event in numbered if event.type == "tool_result"),
            "no good end": not numbered or numbered[-1].data.get("status") != "success",
        }
        return tuple(name for name, wrong in checks.items() if wrong)


class Client:
    """Speaks to one server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def prepare(self) -> None:
        """A tenant with its model."""
        for model_id, bedrock_model_id in MODELS.items():
            body = {"model_id": model_id, "display_name": model_id, "bedrock_model_id": bedrock_model_id}
            prices = {"input_token_price": "0.003", "output_token_price": "0.015"}
            await self._call("POST", "/api/models", body | prices)
        await self._call("POST", "/api/tenants", {"tenant_id": TENANT, "model_id": "sonnet"})

    async def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 -- whatever JSON says
        async with self._session.request(method, path, json=body) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json() if answer.content_type == "application/json" else await answer.text()

    async def create_conversation(self) -> str:
        created = await self._call("POST", f"/api/tenants/{TENANT}/conversations", {"user_id": "bench"})
        return str(created["conversation_id"])

    async def delete_conversation(self, conversation_id: str) -> None:
        await self._call("DELETE", f"/api/tenants/{TENANT}/conversations/{conversation_id}?force=true")

    async def warmed(self) -> None:
        """Wait until a sandbox waits for its first message."""
        await self._until(lambda sandboxes: sandboxes["warm_pool_size"] > 0)

    async def emptied(self) -> None:
        """Wait until no sandbox lives."""
        await self._until(lambda sandboxes: sandboxes["active"] == 0)

    async def _until(self, condition: Callable[[dict[str, int]], bool]) -> None:
        async with asyncio.timeout(WARM_SECONDS):
            while True:
                if condition((await self._call("GET", "/health"))["checks"]["container_system"]):
                    return
                await asyncio.sleep(0.02)

    async def turn(self, conversation_id: str, text: str) -> Turn:
        """Send a message and listen to the end. Nothing is looked into before all has arrived."""
        path = f"/api/tenants/{TENANT}/conversations/{conversation_id}/stream"
        begun = time.perf_counter()
        async with (
            asyncio.timeout(TURN_SECONDS),
            self._session.post(path, json={"user_input": text, "executor": EXECUTOR}) as answer,
        ):
            if answer.status != 200:
                raise RuntimeError(f"stream: {answer.status} {await answer.text()}")
            pieces = [((time.perf_counter() - begun) * 1000, piece) async for piece in answer.content.iter_any()]
            return Turn(answer.headers["X-Run-ID"], tuple(heard(pieces)))

    async def recorded(self, conversation_id: str, run_id: str) -> int:
        """How many events of a run are stored."""
        path = f"/api/tenants/{TENANT}/conversations/{conversation_id}/runs/{run_id}"
        return int((await self._call("GET", path))["last_event_id"])


def heard(pieces: list[tuple[float, bytes]]) -> Iterator[Heard]:
    """Events, each at the time of the piece that completed it."""
    ends = list(accumulate(len(piece) for _, piece in pieces))
    position, number = 0, 0
    for frame in b"".join(piece for _, piece in pieces).split(b"\n\n"):
        position += len(frame) + 2
        while number < len(ends) - 1 and ends[number] < position:
            number += 1
        fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if not line.startswith(":") and line)
        if "event" in fields:
            yield Heard(pieces[number][0], int(fields.get("id", 0)), fields["event"], json.loads(fields["data"]))


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """A client with a connection pool for the length of the block, its tenant prepared."""
    limits = aiohttp.ClientTimeout(total=None, sock_connect=10)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, headers={"X-API-Key": KEY}, timeout=limits, connector=connector) as session:
        made = Client(session)
        await made.prepare()
        yield made
