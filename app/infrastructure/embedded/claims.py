"""One program per data folder: a lock that stays held until the last server process in the folder is gone."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.infrastructure.embedded.errors import EmbeddedServiceError, FolderInUse

PATIENCE = 20.0
"""Seconds to wait for the servers of a killed program to end."""


@asynccontextmanager
async def claimed(folder: Path) -> AsyncIterator[int]:
    """Make the folder ours for the block; yields the lock's descriptor, which servers inherit.

    Raises FolderInUse if another program holds it.
    """
    descriptor = _open(folder)
    try:
        await _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise EmbeddedServiceError(f"{error.filename} belongs to another user; use another data folder") from error


async def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _try_lock(descriptor):
        holder = _holder(descriptor)
        if holder or time.monotonic() > deadline:
            raise FolderInUse(folder, holder)
        await asyncio.sleep(0.02)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int | None:
    """The program that took the lock, unless it is gone and only its servers linger."""
    written = os.pread(descriptor, 20, 0)
    return int(written) if written.isdigit() and _lives(int(written)) else None


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # empty for a zombie
    except OSError:
        return False
