"""The real runner and the real CLI in a sandbox of the local provider, the stand-in behind the gateway's socket."""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from app.infrastructure.sandboxes.contract import Sandbox, SandboxId, SandboxSpec
from app.infrastructure.sandboxes.local import open_local
from app.infrastructure.unix_sockets import reachable
from runner.protocol import CONTROL_SOCKET, GATEWAY_SOCKET, AgentOptions, Opened, ToolResult
from standin import server as standin
from tests.runner.client import Backend, connected, of, outcome, said
from tests.sandboxes.boxes import ROOT, local_config, until
from tests.sandboxes.conftest import CANARY

pytestmark = [pytest.mark.needs_bubblewrap, pytest.mark.needs_cli]


@dataclass(frozen=True)
class Agent:
    """A sandboxed agent, opened, and how long it took from the beginning, in seconds."""

    backend: Backend
    sandbox: Sandbox
    times: dict[str, float]


@asynccontextmanager
async def listening_gateway(folder: Path) -> AsyncIterator[None]:
    with reachable(folder) as short:
        async with standin.running(uds=Path(short, GATEWAY_SOCKET)):
            Path(short, GATEWAY_SOCKET).chmod(0o666)
            yield


def accepts(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(address) == 0


@asynccontextmanager
async def attached(folder: Path) -> AsyncIterator[Backend]:
    with reachable(folder) as short:
        await until(lambda: accepts(f"{short}/{CONTROL_SOCKET}"))
        async with connected(Path(short)) as backend:
            await backend.attach()
            yield backend


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    options = AgentOptions(
        session_id=str(uuid4()), model="main.v1:0", small_model="small.v1:0", tools=("Bash", "Write")
    )
    workspace = tmp_path_factory.mktemp("workspace")
    times, began = {}, time.monotonic()
    async with open_local(local_config(tmp_path_factory.mktemp("state"), runner=ROOT / "runner")) as provider:
        sandbox = await provider.create(SandboxSpec(SandboxId("real"), workspace))
        times["create"] = time.monotonic() - began
        async with listening_gateway(sandbox.gateway_folder), attached(sandbox.control_folder) as backend:
            times["hello"] = time.monotonic() - began
            backend.open(options)
            await backend.next(Opened)
            times["opened"] = time.monotonic() - began
            yield Agent(backend, sandbox, times)


async def tool(agent: Agent, name: str, **words: str) -> ToolResult:
    """What a tool call of the agent came to."""
    frames = await agent.backend.turn(f"@tool {name} {json.dumps(words)}\n@text done")
    assert outcome(frames).outcome == "success"
    return of(ToolResult, frames)[0]


async def test_the_agent_starts_in_reasonable_time(agent: Agent):
    assert agent.times["opened"] < 15, agent.times


async def test_the_agent_writes_a_program_and_runs_it(agent: Agent):
    program = "import sys, sqlite3\nprint('from', sys.argv[0], 6 * 7)\n"
    assert not (await tool(agent, "Write", file_path="/workspace/answer.py", content=program)).is_error
    result = await tool(agent, "Bash", command="python3 answer.py && git --version")
    assert result.text.startswith("from answer.py 42\ngit version")


async def test_a_second_turn_remembers_the_first(agent: Agent):
    await agent.backend.turn("the code is tulip\n@text noted")
    assert "tulip" in said(await agent.backend.turn("@recall code is (\\w+)"))


async def test_the_agents_tools_see_neither_the_backend_nor_its_host(agent: Agent):
    result = await tool(agent, "Bash", command="env; cat /proc/[0-9]*/environ; ls -a / /home /run")
    assert os.environ["SANDBOX_TEST_SECRET"] == CANARY
    for hidden in (CANARY, str(Path.home()), str(ROOT)):
        assert hidden not in result.text


async def test_the_agents_tools_are_under_the_filter_and_without_capabilities(agent: Agent):
    status = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status"
    result = await tool(agent, "Bash", command=f"{status}; unshare -U true || true")
    words = result.text.split()
    assert words[:8] == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert "Operation not permitted" in result.text


@pytest.mark.slow
async def test_an_endless_tool_ends_with_the_sandbox(tmp_path: Path):
    options = AgentOptions(session_id=str(uuid4()), model="main.v1:0", small_model="small.v1:0", tools=("Bash",))
    async with open_local(local_config(tmp_path, runner=ROOT / "runner")) as provider:
        sandbox = await provider.create(SandboxSpec(SandboxId("endless"), None))
        async with listening_gateway(sandbox.gateway_folder), attached(sandbox.control_folder) as backend:
            backend.open(options)
            await backend.next(Opened)
            backend.prompt('@tool Bash {"command": "trap true TERM; while true; do sleep 1; done"}')
            await backend.wait(lambda: any(frame.type == "tool_use" for frame in backend.frames))
            async with asyncio.timeout(5):
                await provider.destroy(SandboxId("endless"))
                await backend.lost.wait()
        assert (await sandbox.ended()).reason == "destroyed"
