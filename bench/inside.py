"""The bare SDK: takes the runner's place in a sandbox and times turns where they happen, with nothing around them."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from uuid import uuid4

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, Message, ResultMessage, StreamEvent, query

from runner.config import Config, clear_own
from runner.options import sdk_options
from runner.outbox import Outbox
from runner.protocol import AgentOptions
from runner.relay import Relay
from runner.store import RelayedStore

Times = dict[str, float]


class Bare:
    """Obeys one line of JSON with another."""

    def __init__(self, config: Config, relay_port: int) -> None:
        self._config = config
        self._relay_port = relay_port
        self._client: ClaudeSDKClient | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection's requests, one after the other."""
        while line := await reader.readline():
            request = json.loads(line)
            answer = await getattr(self, f"_{request.pop('do')}")(**request)
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def _open(self, options: dict[str, Any]) -> None:
        self._client = ClaudeSDKClient(self._options(options))
        await self._client.connect()

    async def _turn(self, text: str) -> Times:
        """A message to the living agent, from the call to the result."""
        assert self._client
        begun = time.perf_counter()
        await self._client.query(text)
        return await _timed(self._client.receive_response(), begun)

    async def _query(self, options: dict[str, Any], text: str) -> Times:
        """A message to an agent that is not started yet."""
        chosen = self._options(options)
        begun = time.perf_counter()
        async with aclosing(query(prompt=text, options=chosen)) as messages:  # type: ignore[type-var]
            return await _timed(messages, begun)

    def _options(self, options: dict[str, Any]) -> ClaudeAgentOptions:
        """The runner's own, in a session that nobody but the CLI keeps."""
        wanted = AgentOptions.model_validate({**options, "session_id": str(uuid4())})
        chosen = sdk_options(wanted, self._config, self._relay_port, RelayedStore(Outbox()))
        return replace(chosen, session_store=None)


async def _timed(messages: AsyncIterator[Message], begun: float) -> Times:
    times: Times = {}
    async for message in messages:
        if isinstance(message, StreamEvent) and message.event.get("delta", {}).get("type") == "text_delta":
            times.setdefault("first_text", (time.perf_counter() - begun) * 1000)
        elif isinstance(message, ResultMessage):
            assert not message.is_error, message.result
            times["end"] = (time.perf_counter() - begun) * 1000
    return times


async def main() -> None:
    """Serve until killed."""
    config = Config.read(os.environ)
    clear_own(os.environ)
    relay = Relay(config.gateway_socket)
    await relay.start()
    server = await asyncio.start_unix_server(Bare(config, relay.port).serve, str(config.control_socket))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
