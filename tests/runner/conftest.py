"""Runners as processes of their own, and a stand-in behind their gateway socket."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp
import psutil
import pytest

from runner.protocol import CONTROL_SOCKET, GATEWAY_SOCKET, AgentOptions, Opened
from standin import server as standin
from tests.runner.client import TOOLS, Backend, Transcripts, connected

ROOT = Path(__file__).parents[2]
EVERYTHING = 2**53
"""More than any runner has sent: what is left of earlier tests is forgotten."""
MODEL, SMALL_MODEL = "main.test-model-v1:0", "small.test-model-v1:0"


@dataclass
class Runner:
    """A running runner and its folders."""

    folder: Path
    process: asyncio.subprocess.Process
    transcripts: Transcripts = field(default_factory=Transcripts)

    @property
    def control(self) -> Path:
        return self.folder / "control"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def claude(self) -> psutil.Process:
        """The CLI's process."""
        return next(child for child in self.below() if child.ppid() == self.process.pid)

    @asynccontextmanager
    async def backend(self, after: int = EVERYTHING) -> AsyncIterator[Backend]:
        async with connected(self.control, self.transcripts) as backend:
            await backend.attach(after)
            yield backend


def options(session_id: str | None = None, **changes: object) -> AgentOptions:
    fields = {
        "session_id": session_id or str(uuid4()),
        "model": MODEL,
        "small_model": SMALL_MODEL,
        "tools": TOOLS,
    }
    return AgentOptions.model_validate(fields | changes)


@asynccontextmanager
async def running(
    folder: Path, gateway: Path, program: Sequence[str] = ("-m", "runner"), **variables: str
) -> AsyncIterator[Runner]:
    """A runner as its sandbox starts it; `gateway` is the folder with the gateway's socket."""
    for name in ("control", "workspace", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "PYTHONPATH": str(ROOT),
        "RUNNER_CONTROL_DIR": str(folder / "control"),
        "RUNNER_GATEWAY_DIR": str(gateway),
        "RUNNER_WORKSPACE": str(folder / "workspace"),
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, env=environment, cwd=folder, start_new_session=True
    )
    try:
        await listening(folder / "control" / CONTROL_SOCKET, process)
        yield Runner(folder, process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)


async def listening(socket: Path, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(20):
        while not socket.exists():
            assert process.returncode is None, "the runner ended at once"
            await asyncio.sleep(0.005)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A short path: a unix socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="runner-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[standin.Address]:
    """The stand-in, listening where a runner expects the gateway."""
    (folder / "gateway").mkdir()
    async with standin.running(uds=folder / "gateway" / GATEWAY_SOCKET) as address:
        yield address


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
async def own_address(folder: Path) -> AsyncIterator[standin.Address]:
    """A stand-in for this test alone, in `folder`."""
    async with gateway(folder) as address:
        yield address


@pytest.fixture
async def own_runner(folder: Path, own_address: standin.Address) -> AsyncIterator[Runner]:
    """A runner for this test alone, in `folder`."""
    async with running(folder, folder / "gateway") as runner:
        yield runner


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[tuple[Runner, standin.Address]]:
    """A runner for all tests of a module: what they leave behind, the next one's `Open` ends."""
    with short_folder() as folder:
        async with gateway(folder) as address, running(folder, folder / "gateway") as runner:
            yield runner, address


@pytest.fixture
def runner(shared: tuple[Runner, standin.Address]) -> Runner:
    return shared[0]


@pytest.fixture
async def address(shared: tuple[Runner, standin.Address]) -> standin.Address:
    """The stand-in behind `runner`, its counters at nought."""
    async with aiohttp.ClientSession(shared[1].url) as session, session.post("/_standin/reset"):
        return shared[1]


@pytest.fixture
def python() -> str:
    return sys.executable


@pytest.fixture
def session_id() -> str:
    return str(uuid4())


@pytest.fixture
async def backend(runner: Runner, address: standin.Address, session_id: str) -> AsyncIterator[Backend]:
    """Attached, with an agent that waits for a prompt."""
    async with runner.backend() as backend:
        backend.open(options(session_id, system_prompt="TENANT-PROMPT-1"))
        await backend.next(Opened)
        yield backend
