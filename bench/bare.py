"""A sandbox of the same kind as every agent's, with the bare SDK in it."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from app.config import ROOT, Sandboxes
from app.infrastructure.sandboxes.contract import Sandbox, SandboxId, SandboxSpec
from app.infrastructure.sandboxes.local import LocalConfig, open_local
from app.infrastructure.unix_sockets import reachable
from app.services.agent_plan import TOOLS
from bench.client import MODELS
from runner.protocol import CONTROL_SOCKET

START_SECONDS = 60.0
TURN_SECONDS = 300.0
OPTIONS = {"session_id": "", "model": MODELS["sonnet"], "small_model": MODELS["haiku"], "tools": TOOLS}
"""As the backend would choose them; each agent gets a session of its own."""

Times = dict[str, float]


class BareSdk:
    """The backend's end of `bench.inside`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.gateway_folder = sandbox.gateway_folder
        self._control_folder = sandbox.control_folder
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Start an agent to talk with."""
        await self._ask(do="open", options=OPTIONS)

    async def turn(self, text: str) -> Times:
        """Milliseconds to the first text and to the end of one turn of the open agent."""
        times: Times = await self._ask(do="turn", text=text)
        return times

    async def query(self, text: str) -> Times:
        """As `turn`, for an agent that is started for it."""
        times: Times = await self._ask(do="query", options=OPTIONS, text=text)
        return times

    async def _ask(self, **request: object) -> Any:  # noqa: ANN401 -- whatever the other end says
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await self._connected()
        self._writer.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(TURN_SECONDS):
            line = await self._reader.readline()
        if not line:
            raise RuntimeError("the bare SDK's process ended")
        return json.loads(line)

    async def close(self) -> None:
        """Hang up."""
        if self._writer:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(START_SECONDS):
            while True:
                with suppress(FileNotFoundError, ConnectionRefusedError), reachable(self._control_folder) as folder:
                    return await asyncio.open_unix_connection(f"{folder}/{CONTROL_SOCKET}")
                await asyncio.sleep(0.01)


@asynccontextmanager
async def bare_sdk(folder: Path) -> AsyncIterator[BareSdk]:
    """The sandbox, for the length of the block; the model service has to listen in its gateway folder."""
    runner = folder / "runner"
    shutil.copytree(ROOT / "runner", runner)
    shutil.copy(ROOT / "bench" / "inside.py", runner / "__main__.py")
    config = LocalConfig(
        state=folder / "bare",
        owner="bench",
        runner=runner,
        site_packages=Sandboxes().sandbox_site_packages,
        python=Path(sys.executable),
        seccomp_profile=ROOT / "deployment" / "seccomp" / "sandbox.json",
    )
    workspace = folder / "workspace"
    workspace.mkdir()
    async with open_local(config) as provider:
        sandbox = await provider.create(SandboxSpec(sandbox_id=SandboxId("bare"), workspace=workspace))
        bare = BareSdk(sandbox)
        try:
            yield bare
        finally:
            await bare.close()
            await provider.destroy(sandbox.sandbox_id)
