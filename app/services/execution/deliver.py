"""Puts the files of a message into its conversation's workspace, before the agent hears of them."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from app.infrastructure.beneath import put_file
from app.schemas.events import FileChanged
from app.services.execution.run_log import RunLog
from app.services.workspace.uploads import UploadedFile


async def deliver(files: Sequence[UploadedFile], workspace: Path, uid: int, run_log: RunLog) -> None:
    """Write and tell of one after the other. Raises OSError when one cannot be written; what went before it stays."""
    for file in files:
        await _in_thread(partial(put_file, workspace, file.path, file.content, uid))
        run_log.append([_told(file)], datetime.now(UTC))


async def _in_thread(work: Callable[[], None]) -> None:
    """Whoever is cancelled meanwhile waits for its end, because the thread goes on."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    finally:
        await asyncio.wait([working])


def _told(file: UploadedFile) -> FileChanged:
    return FileChanged(file_path=file.path, version=1, file_size=file.size, source="user_upload", is_presented=False)
