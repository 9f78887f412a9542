"""A small client of the stand-in that decodes with botocore, as real clients do."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from botocore.eventstream import EventStreamBuffer

MODEL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"


@dataclass
class Streamed:
    """A streamed answer, as far as it could be read."""

    status: int
    events: list[dict[str, Any]] = field(default_factory=list)
    exception: str | None = None
    broken: str | None = None
    error_type: str | None = None

    @property
    def text(self) -> str:
        return "".join(event["delta"].get("text", "") for event in self.events if event.get("delta"))

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """Tool calls of a Messages stream."""
        names: dict[int, str] = {}
        inputs: dict[int, str] = {}
        for event in self.events:
            if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
                names[event["index"]] = event["content_block"]["name"]
            if event["type"] == "content_block_delta" and "partial_json" in event["delta"]:
                index = event["index"]
                inputs[index] = inputs.get(index, "") + event["delta"]["partial_json"]
        return [(name, json.loads(inputs[index])) for index, name in names.items()]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


@dataclass
class Client:
    """Speaks to one stand-in."""

    session: aiohttp.ClientSession

    async def stream(self, *messages: Any, tools: tuple[str, ...] = (), **more: Any) -> Streamed:
        return await self.post_stream("invoke-with-response-stream", messages_body(*messages, tools=tools, **more))

    async def post_stream(self, operation: str, body: dict[str, Any]) -> Streamed:
        async with self.session.post(path(operation), json=body) as answer:
            streamed = Streamed(answer.status, error_type=answer.headers.get("x-amzn-ErrorType"))
            if answer.status == 200:
                await _read(answer, streamed)
            return streamed

    async def post(self, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        async with self.session.post(path(operation), json=body) as answer:
            return answer.status, await answer.json()

    async def control(self, name: str, body: dict[str, Any] | None = None) -> Any:
        method = "GET" if body is None else "POST"
        async with self.session.request(method, f"/_standin/{name}", json=body) as answer:
            return await answer.json()

    async def until(self, holds: Callable[[dict[str, Any]], Any]) -> None:
        """Ask for the counters until they are as wanted; the caller sets the deadline."""
        counters = await self.control("counters")
        while not holds(counters):
            await asyncio.sleep(0.01)
            counters = await self.control("counters")

    async def calls(self) -> list[dict[str, Any]]:
        return (await self.control("counters"))["calls"]


async def _read(answer: aiohttp.ClientResponse, streamed: Streamed) -> None:
    buffer = EventStreamBuffer()
    try:
        async for data in answer.content.iter_any():
            buffer.add_data(data)
            for message in buffer:
                _add(streamed, message)
    except Exception as error:  # noqa: BLE001 - the test looks at whatever broke
        streamed.broken = type(error).__name__


def _add(streamed: Streamed, message: Any) -> None:
    if message.headers[":message-type"] == "exception":
        streamed.exception = message.headers[":exception-type"]
        return
    payload = json.loads(message.payload)
    if message.headers[":event-type"] == "chunk":
        streamed.events.append(json.loads(base64.b64decode(payload["bytes"])))
    else:
        streamed.events.append({"type": message.headers[":event-type"], **payload})


def path(operation: str) -> str:
    return f"/model/{MODEL}/{operation}"


def user(*blocks: Any) -> dict[str, Any]:
    texts = ({"type": "text", "text": block} if isinstance(block, str) else block for block in blocks)
    return {"role": "user", "content": list(texts)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return user(*blocks) | {"role": "assistant"}


def tool_use(identifier: str, name: str = "Bash", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": name, "input": given}


def tool_result(identifier: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identifier, "content": text}


def messages_body(*messages: Any, tools: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    turns = [user(message) if isinstance(message, str) else message for message in messages]
    offered = [{"name": name, "input_schema": {"type": "object"}} for name in tools]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1000, "messages": turns}
    return body | ({"tools": offered} if tools else {}) | more
