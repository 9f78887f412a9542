"""The programs under measurement, each a process of its own, started for a block and ended by its pid."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from app.config import ROOT

KEY = "bench-key-0123456789"
START_SECONDS = 60.0
END_SECONDS = 45.0


class NotStarted(Exception):
    """A program under measurement did not come up."""


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the block."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=cache))
    folder.chmod(0o711)  # the embedded database may run under another uid
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def child(
    words: Sequence[str],
    folder: Path,
    name: str,
    environment: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> AsyncIterator[Process]:
    """`python WORDS` with nothing of this process's settings; what it says goes into `folder/name.log`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class StandIn:
    """A running stand-in for the model service."""

    url: str

    async def set(self, **settings: float) -> None:
        """Change what it does from now on."""
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.post("/_standin/settings", json=settings) as said,
        ):
            said.raise_for_status()


@asynccontextmanager
async def standin(folder: Path, socket_folder: Path | None = None) -> AsyncIterator[StandIn]:
    """The stand-in on loopback, and on `gateway.sock` in a sandbox's folder, for anybody who reaches that."""
    words = ["-m", "standin", "--port-file", str(folder / "standin.port")]
    if socket_folder:
        (folder / "door").symlink_to(socket_folder)  # a unix socket's path is short
        words += ["--uds", "door/gateway.sock"]
    async with child(words, folder, "standin") as process:
        await _until((folder / "standin.port").exists, process, folder / "standin.log")
        if socket_folder:
            (socket_folder / "gateway.sock").chmod(0o666)
        yield StandIn(f"http://127.0.0.1:{(folder / 'standin.port').read_text().strip()}")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of ours."""

    url: str
    pid: int


@asynccontextmanager
async def server(folder: Path, model_service: str, **settings: str) -> AsyncIterator[Server]:
    """`python -m app` with everything embedded."""
    port = free_port()
    environment = {
        "DATA_DIR": str(folder / "data"),
        "APP_PORT": str(port),
        "API_KEYS": KEY,
        "BEDROCK_ENDPOINT_URL": model_service,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        **settings,
    }
    async with child(["-m", "app"], folder, "server", environment) as process:
        url = f"http://127.0.0.1:{port}"
        await _answering(f"{url}/health/ready", process, folder / "server.log")
        yield Server(url, process.pid)


async def _answering(url: str, process: Process, log: Path) -> None:
    async with aiohttp.ClientSession() as session, _patience(log):
        while True:
            _check(process, log)
            with suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _until(condition: Callable[[], bool], process: Process, log: Path) -> None:
    async with _patience(log):
        while not condition():
            _check(process, log)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _patience(log: Path) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(START_SECONDS):
            yield
    except TimeoutError as error:
        raise NotStarted(_tail(log)) from error


def _check(process: Process, log: Path) -> None:
    if process.returncode is not None:
        raise NotStarted(_tail(log))


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def peak_memory(pid: int) -> float:
    """MiB of memory a process held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kibibytes) / 1024


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
