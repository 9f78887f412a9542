"""The server of the demonstration, and the stand-in where it is needed, as child processes."""

import asyncio
import json
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp

from app.config import Server as ServerSettings
from app.config import Settings
from app.infrastructure.embedded.claims import claimed
from app.infrastructure.embedded.errors import EmbeddedServiceError
from demo.answers import Answers
from demo.errors import DemoFailed
from demo.programs import running

HOST = "127.0.0.1"
START_SECONDS = 120.0
"""The first start makes a database, which takes long on a busy machine."""
POLL_SECONDS = 0.05
STAND_IN = ("-m", "standin", "--ttft", "0.3", "--rate", "80")
STAND_IN_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is ready."""

    url: str
    api_key: str
    ready_after: float
    """Seconds from its start."""
    process: asyncio.subprocess.Process


def log_path(settings: Settings) -> Path:
    """Where the server's log lies."""
    return settings.server.data_dir.absolute() / "demo-server.log"


@asynccontextmanager
async def serving(settings: Settings, answers: Answers) -> AsyncIterator[Serving]:
    """The server, ready, for the length of the block."""
    await _check_folders(settings)
    path = log_path(settings)
    try:
        with path.open("wb") as log:
            async with _model_service(answers, log) as variables, _server(settings, variables, log) as server:
                yield server
    except DemoFailed as failure:
        failure.log = path
        raise


async def _check_folders(settings: Settings) -> None:
    """Say at once who uses the data folder; the server would say it too, but in its log."""
    folder = settings.server.data_dir.absolute()
    embedded = {"postgres": settings.database.database_url, "redis": settings.redis.redis_url}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (name for name, url in embedded.items() if url is None):
            async with claimed(folder / name):
                pass
    except (EmbeddedServiceError, OSError) as error:
        raise DemoFailed(f"The data folder cannot be used: {error}.") from error


@asynccontextmanager
async def _model_service(answers: Answers, log: BinaryIO) -> AsyncIterator[dict[str, str]]:
    """The variables that lead the server to the model service."""
    if not answers.from_stand_in:
        yield {"AWS_REGION": answers.region} if answers.region else {}
        return
    async with running((sys.executable, *STAND_IN), {}, log, STAND_IN_PATIENCE, listen=True) as process:
        yield {"BEDROCK_ENDPOINT_URL": await _announced(process)}


async def _announced(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        return str(json.loads(line)["url"])
    except (TimeoutError, ValueError) as error:
        raise DemoFailed("The stand-in did not start.") from error


@asynccontextmanager
async def _server(settings: Settings, variables: dict[str, str], log: BinaryIO) -> AsyncIterator[Serving]:
    begun = time.monotonic()
    port, api_key = _port(settings.server), secrets.token_urlsafe(24)
    variables |= {
        "APP_ENV": "development",
        "APP_HOST": HOST,
        "APP_PORT": str(port),
        "API_KEYS": api_key,
        "DATA_DIR": str(settings.server.data_dir.absolute()),
    }
    url = f"http://{HOST}:{port}"
    async with running((sys.executable, "-m", "app"), variables, log, settings.server.shutdown_timeout) as process:
        await _until_ready(url, process)
        yield Serving(url, api_key, time.monotonic() - begun, process)


def _port(settings: ServerSettings) -> int:
    """The one that was asked for; else the usual one, or any when that is taken."""
    if "app_port" in settings.model_fields_set and settings.app_port:
        if not _is_free(settings.app_port):
            raise DemoFailed(f"Port {settings.app_port} (APP_PORT) is taken.")
        return settings.app_port
    return settings.app_port if settings.app_port and _is_free(settings.app_port) else _any_port()


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((HOST, 0))
        port: int = candidate.getsockname()[1]
        return port


async def _until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while not await _is_ready(session, url):
            if process.returncode is not None:
                raise DemoFailed("The server did not start.")
            if time.monotonic() > deadline:
                raise DemoFailed(f"The server was not ready within {START_SECONDS:.0f} s.")
            await asyncio.sleep(POLL_SECONDS)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health/ready") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
