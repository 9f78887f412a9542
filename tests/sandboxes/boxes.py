"""A sandbox with the probe inside, as the tests hold it."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.infrastructure.sandboxes.contract import Sandbox
from app.infrastructure.sandboxes.local import LocalConfig
from app.infrastructure.unix_sockets import reachable

ROOT = Path(__file__).parent.parent.parent
PROBE = Path(__file__).parent / "probe"
SITE_PACKAGES = Path(pytest.__file__).parent.parent
PATIENCE_S = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def local_config(state: Path, owner: str = "tests", **changes: Any) -> LocalConfig:
    """The local provider with the probe in the runner's place."""
    places = {
        "state": state,
        "owner": owner,
        "runner": PROBE,
        "site_packages": SITE_PACKAGES,
        "python": Path(sys.executable),
        "seccomp_profile": ROOT / "deployment" / "seccomp" / "sandbox.json",
    }
    return LocalConfig(**places | changes)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition of the machine, which nobody announces."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Done:
    """How a command inside ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Box:
    """A sandbox and its workspace."""

    sandbox: Sandbox
    workspace: Path | None

    async def python(self, text: str) -> Any:
        """Run text in the probe; what it names `result` comes back."""
        return await self._ask({"python": text})

    async def refused(self, statement: str) -> int:
        """The errno with which a statement fails in the probe; 0 when it does not."""
        return await self.python(
            f"import os, socket, stat\ntry:\n    {statement}; result = 0\n"
            "except OSError as error:\n    result = error.errno"
        )

    async def command(self, *words: str) -> Done:
        """Run a program in `/workspace`."""
        return Done(**await self._ask({"command": words}))

    async def script(self, text: str) -> Done:
        """Run text in an interpreter of the agent's own."""
        return await self.command("python3", "-c", text)

    async def start(self, text: str) -> None:
        """Run text in the probe without waiting for its end."""
        async with self._connected() as (_, writer):
            writer.write(json.dumps({"python": text}).encode() + b"\n")
            await writer.drain()

    async def _ask(self, request: dict[str, Any]) -> Any:
        async with self._connected() as (reader, writer):
            writer.write(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(30):
                answer = json.loads(await reader.readline() or '{"error": "the connection ended"}')
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Streams]:
        with reachable(self.sandbox.control_folder) as folder:
            reader, writer = await patiently(
                lambda: asyncio.open_unix_connection(f"{folder}/control.sock", limit=2**24)
            )
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def patiently(attempt: Callable[[], Awaitable[Streams]]) -> Streams:
    """Try again while the probe does not listen yet."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await attempt()
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < deadline, "the probe does not listen"
        await asyncio.sleep(0.002)
