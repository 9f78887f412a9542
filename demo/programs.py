"""The programs that the demonstration starts: each is ended by its own pid, and none outlives it."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import BinaryIO

from app.infrastructure.embedded.quarters import UNLESS_ORPHANED


@asynccontextmanager
async def running(
    command: tuple[str, ...], environment: Mapping[str, str], log: BinaryIO, patience: float, *, listen: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program for the length of the block; what it writes goes to the log, or its output to us if we listen.

    It is told to end, and killed when it takes longer than `patience` seconds.
    """
    process = await asyncio.create_subprocess_exec(
        *_tied(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if listen else log,
        stderr=log,
        env={**os.environ, **environment},
        start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on, in the right order
    )
    try:
        yield process
    finally:
        await _end(process, patience)


def _tied(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, told to end by the system when this process is killed."""
    orphaned = ("setpriv", "--pdeathsig", "TERM", "sh", "-c", UNLESS_ORPHANED, "sh", str(os.getpid()))
    return (*orphaned, *command)


async def _end(process: asyncio.subprocess.Process, patience: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        process.kill()
        await process.wait()
