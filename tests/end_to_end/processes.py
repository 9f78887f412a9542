"""The real programs as children of the tests: ready when they are handed out, ended by their own pid."""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.infrastructure.embedded.quarters import UNLESS_ORPHANED

ROOT = Path(__file__).parents[2]
MARK = "Vq8Zr3Kw"
"""Part of every secret, and of nothing else in the world."""
API_KEY = f"key-{MARK}-5f2d8c31ab"
SECRETS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{MARK}",
    "AWS_SECRET_ACCESS_KEY": f"secret-{MARK}-77c1f0e9b2",
    "AWS_SESSION_TOKEN": f"session-{MARK}-9a3e61d4c8",
    "API_KEYS": API_KEY,
}
"""What the server knows and nobody else may learn."""
START_SECONDS = 60.0
END_SECONDS = 40.0

_SERVING = re.compile(r"Uvicorn running on (http://[0-9.]+:[0-9]+)")


@dataclass
class Program:
    """A running program."""

    process: asyncio.subprocess.Process
    log: Path
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """Everything it started and what that started."""
        return psutil.Process(self.pid).children(recursive=True)

    def named(self, word: str) -> list[psutil.Process]:
        """Those of its family whose program has a word in its path."""
        return [one for one in self.family() if word in program_of(one)]

    def agent_of(self, conversation_id: str) -> psutil.Process:
        """The CLI that serves a conversation: its command line names the session."""
        return next(one for one in self.named("claude") if conversation_id in " ".join(one.cmdline()))

    def sandbox_of(self, conversation_id: str) -> list[psutil.Process]:
        """All processes of a conversation's sandbox, the outermost first."""
        chain = [
            one for one in self.agent_of(conversation_id).parents() if self.pid in {up.pid for up in one.parents()}
        ]
        return [chain[-1], *chain[-1].children(recursive=True)]

    async def ended(self, seconds: float = END_SECONDS) -> int:
        """Wait for its end; its exit code, or the negated signal number."""
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def kill(self) -> None:
        self.process.kill()
        await self.ended()

    async def end(self) -> int:
        """Have it end in good order."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            return await self.ended()
        except TimeoutError:
            await self.kill()
            raise

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def logged(self) -> list[dict[str, object]]:
        """What it logged, line by line."""
        return [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]


def program_of(process: psutil.Process) -> str:
    """The path of a process's program; empty when the process is gone."""
    try:
        return process.exe()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    return [one for one in processes if _lives(one)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until something holds that nobody signals."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of this machine's settings and credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    nowhere = {name: str(folder / "none") for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")}
    return kept | nowhere | {"PYTHONPATH": str(ROOT)} | dict(more)


def stop(process: psutil.Process) -> None:
    """End one process without asking it."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


async def all_gone(processes: Iterable[psutil.Process], seconds: float = 20.0) -> None:
    """Wait until none of them runs."""
    watched = list(processes)
    await until(lambda: not living(watched), "the end of these processes", seconds)


async def _started(folder: Path, name: str, arguments: tuple[str, ...], more: Mapping[str, str]) -> Program:
    """A program told to end when this one is killed, in an empty folder so that no `.env` is read."""
    empty, log = folder / "empty", folder / f"{name}.log"
    empty.mkdir(parents=True, exist_ok=True)
    tied = ("setpriv", "--pdeathsig", "TERM", "sh", "-c", UNLESS_ORPHANED, "sh", str(os.getpid()), sys.executable)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *tied,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=empty,
            env=_environment(folder, more),
            start_new_session=True,
        )
    return Program(process, log, "")


async def _announced(program: Program, expression: re.Pattern[str]) -> None:
    def said() -> bool:
        found = expression.search(program.log_text())
        program.url = found[1] if found else ""
        assert found or program.process.returncode is None, program.log_text()[-4000:]
        return found is not None

    try:
        await until(said, "a program that is ready", START_SECONDS)
    except BaseException:
        await program.kill()
        raise


@asynccontextmanager
async def standing_in(folder: Path, port: str = "0") -> AsyncIterator[Program]:
    """A stand-in for the model service."""
    program = await _started(folder, "standin", ("-m", "standin", "--require-signature", "--port", port), {})
    try:
        await _announced(program, re.compile(r'"url": ?"([^"]+)"'))
        yield program
    finally:
        await program.end()


@asynccontextmanager
async def serving(folder: Path, model_service: str, **settings: str) -> AsyncIterator[Program]:
    """A server on the data in a folder. One that the block ended already is left alone."""
    variables = {
        "APP_PORT": "0",
        "DATA_DIR": str(folder / "data"),
        "BEDROCK_ENDPOINT_URL": model_service,
        "RATE_LIMIT_ENABLED": "false",
        **SECRETS,
    }
    program = await _started(folder, "server", ("-m", "app"), variables | settings)
    try:
        await _announced(program, _SERVING)
        yield program
    finally:
        await program.end()
