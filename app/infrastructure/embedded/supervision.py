"""Runs one server for the length of a block: ready before it, restarted within it, ended after it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.infrastructure.embedded.errors import EmbeddedServiceError
from app.infrastructure.embedded.quarters import ENVIRONMENT

LOG_BYTES = 1024 * 1024
"""A server's log is turned over at this size; one older file is kept."""

START_SECONDS = 60.0
STOP_SECONDS = 15.0
RESTART_PAUSE = 0.5
POLL_SECONDS = 0.005

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """All that is particular about a server."""

    name: str
    command: tuple[str, ...]
    folder: Path
    """Where it starts and where its log lies."""
    lock: int
    prepare: Callable[[], None]
    """Clears what a former start left; called before every start."""
    ready: Callable[[int], bool]
    """Whether the server with this process id takes connections."""
    stop_signal: signal.Signals


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """The service, up before the block begins. A server that ends by itself is started again."""
    supervisor = _Supervisor(service)
    await supervisor.start()
    keeping = asyncio.create_task(supervisor.keep(), name=f"embedded-{service.name}")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await supervisor.stop()


async def run_to_end(command: tuple[str, ...], folder: Path, lock: int, text: str = "") -> None:
    """Run a program that ends by itself, with the text as its input; raises with its last words if it fails."""
    process = await _spawn(command, folder, lock)
    output, _ = await process.communicate(text.encode())
    if process.returncode:
        words = output[-1000:].decode(errors="replace")
        raise EmbeddedServiceError(f"{folder} could not be prepared (exit code {process.returncode}): {words}")


async def _spawn(command: tuple[str, ...], folder: Path, lock: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env=ENVIRONMENT,
        pass_fds=(lock,),
        start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on, when the last client is done
    )


class _Supervisor:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._journal = Journal(service.folder / "server.log")
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        service = self._service
        service.prepare()
        self._process = await _spawn(service.command, service.folder, service.lock)
        self._listening = asyncio.create_task(self._listen(self._process), name=f"embedded-{service.name}-log")
        try:
            await self._until_ready(self._process)
        except BaseException:
            await self.stop()
            raise

    async def keep(self) -> None:
        while True:
            code = await self._ended()
            log.warning("embedded.ended", service=self._service.name, code=code)
            await asyncio.sleep(RESTART_PAUSE)
            try:
                await self.start()
            except EmbeddedServiceError as error:
                log.warning("embedded.restart_failed", service=self._service.name, reason=str(error))

    async def stop(self) -> None:
        for number in (self._service.stop_signal, signal.SIGQUIT, signal.SIGKILL):
            self._signal(number)
            if await self._gone_within(STOP_SECONDS):
                return
            log.warning("embedded.slow_end", service=self._service.name, signal=number.name)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)

    async def _gone_within(self, seconds: float) -> bool:
        """Whether the server and everything that holds its output have ended."""
        if not self._listening:
            return True
        await asyncio.wait({self._listening}, timeout=seconds)
        return self._listening.done()

    async def _ended(self) -> int | None:
        return await self._process.wait() if self._process else None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout and (words := await process.stdout.read(65536)):
            self._journal.append(words)
        await process.wait()

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._service.ready(process.pid):
            if process.returncode is not None or time.monotonic() > deadline:
                raise EmbeddedServiceError(f"{self._service.name} did not start: {self._journal.tail()}")
            await asyncio.sleep(POLL_SECONDS)


class Journal:
    """A file of a server's words that never grows beyond its bound."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, words: bytes) -> None:
        with suppress(OSError):  # a full disk must not stop the reading, or the server would wait for it
            self._append(words)

    def _append(self, words: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(words) > LOG_BYTES:
            self._path.replace(self._path.with_suffix(".1"))
        with self._path.open("ab") as file:
            file.write(words)

    def tail(self) -> str:
        return self._path.read_text(errors="replace")[-1000:] if self._path.exists() else "it said nothing"
