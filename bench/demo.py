"""How long `./dev demo --once` takes on a prepared checkout."""

import asyncio
import os
import signal
import time
from contextlib import suppress

from app.config import ROOT
from bench import processes
from bench.figures import Figure

SECONDS = 20.0
GIVE_UP_SECONDS = 180.0
NAME = "./dev demo --once"
PREPARED = {
    "requirements/app.txt": ".venv/locked-app.txt",
    "requirements/dev.txt": ".venv/locked-dev.txt",
    "requirements/runner.txt": ".runner/locked.txt",
}
"""Each lock, and its copy that `./dev` leaves beside the packages installed from it."""


async def measure(rounds: int) -> list[Figure]:
    """One figure: the longest of the rounds, each with a new database."""
    if not _is_prepared():
        return [Figure(NAME, "skipped: it would install packages first; begin with ./dev bench")]
    seconds = [await _once() for _ in range(rounds)]
    failed = None in seconds
    longest = max((each for each in seconds if each is not None), default=0.0)
    words = "failed" if failed else f"{longest:.1f} s"
    return [Figure(NAME, words, target=f"<= {SECONDS:g} s", met=not failed and longest <= SECONDS)]


def _is_prepared() -> bool:
    """Whether `./dev` would leave the packages alone: a bench must not change what it runs on."""
    pairs = [(ROOT / lock, ROOT / copy) for lock, copy in PREPARED.items()]
    return all(copy.is_file() and copy.read_bytes() == lock.read_bytes() for lock, copy in pairs)


async def _once() -> float | None:
    with processes.scratch() as folder:
        settings = {"DATA_DIR": str(folder / "data"), "APP_PORT": str(processes.free_port())}
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            str(ROOT / "dev"),
            "demo",
            "--once",
            env={**os.environ, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                code = await process.wait()
        except TimeoutError:
            code = None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                await process.wait()
        return time.monotonic() - begun if code == 0 else None
