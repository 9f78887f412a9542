"""Writing a file into a folder that a sandbox writes to as well: no link in it is ever followed.

Every folder of the path is opened from its parent's descriptor, and only if it is a folder itself. So whatever is
moved, replaced or linked meanwhile, what is written stays beneath the folder at the top.
"""

import os
import secrets
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from app.infrastructure.sandboxes.trees import opened

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PIECE = 1024 * 1024


def put_file(top: Path, path: str, content: BinaryIO, uid: int) -> None:
    """Write a file whole or not at all, with the folders of its path; whatever is no folder is replaced.

    All that is made belongs to the uid when root makes it. Raises OSError, also where a link or a file is in the place
    of a folder, or a folder in the file's.
    """
    *folders, name = _parts(path)
    with ExitStack() as held:
        within = held.enter_context(opened(str(top)))
        for folder in folders:
            _make(folder, within, uid)
            within = held.enter_context(opened(folder, within))
        _replace(name, within, content, uid)


def _parts(path: str) -> list[str]:
    parts = os.fsdecode(path.encode()).split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("A path beneath a folder has names only")
    return parts


def _make(name: str, within: int, uid: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=within)
    except FileExistsError:
        return
    with opened(name, within) as made:
        _hand_over(made, 0o755, uid)


def _replace(name: str, within: int, content: BinaryIO, uid: int) -> None:
    """Written under a name of its own first, so that nobody reads half a file."""
    unfinished = f".upload-{secrets.token_hex(8)}"
    descriptor = os.open(unfinished, NEW_FILE, 0o600, dir_fd=within)
    try:
        with open(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, PIECE)
            _hand_over(descriptor, 0o644, uid)
        os.rename(unfinished, name, src_dir_fd=within, dst_dir_fd=within)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished, dir_fd=within)
        raise


def _hand_over(descriptor: int, mode: int, uid: int) -> None:
    os.fchmod(descriptor, mode)
    if os.geteuid() == 0:
        os.fchown(descriptor, uid, uid)
