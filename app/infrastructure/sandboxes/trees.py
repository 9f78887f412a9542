"""Giving away and removing folders whose contents an agent made: no link is followed, no depth is trusted."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from app.infrastructure.sandboxes.contract import SandboxUnavailable

MOST_ENTRIES = 1_000_000
MOST_LEVELS = 100

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def give_tree(folder: Path, uid: int) -> None:
    """Make a uid the owner of a folder and all below it."""
    for number, (descriptor, name) in enumerate(walk(folder)):
        if number == MOST_ENTRIES:
            raise SandboxUnavailable(f"The workspace has more than {MOST_ENTRIES} entries")
        if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid != uid:
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, uid, uid, follow_symlinks=False)


def walk(folder: Path) -> Iterator[tuple[int, str]]:
    """Every entry below a folder as its folder's descriptor and its name; one open folder per level."""
    with opened(str(folder)) as top:
        yield from walk_below(top, 0)


def walk_below(descriptor: int, level: int) -> Iterator[tuple[int, str]]:
    if level > MOST_LEVELS:
        raise SandboxUnavailable(f"The workspace has folders more than {MOST_LEVELS} levels deep")
    for name, is_folder in contents(descriptor):
        yield descriptor, name
        if is_folder:
            with opened(name, descriptor) as below:
                yield from walk_below(below, level + 1)


def contents(descriptor: int) -> list[tuple[str, bool]]:
    with os.scandir(descriptor) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


@contextmanager
def opened(name: str, within: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, OPEN_FOLDER, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it, in constant depth: folders found inside are first moved to the top."""
    if not folder.is_dir():
        return
    folder.chmod(stat.S_IRWXU)
    unguessable = secrets.token_hex(8)
    names = (f"{unguessable}-{number}" for number in count())
    with opened(str(folder)) as top:
        while folders := remove_files(top):
            for name in folders:
                flatten(top, name, names)
    folder.rmdir()


def remove_files(descriptor: int) -> list[str]:
    """Remove what is no folder; returns the folders."""
    found = contents(descriptor)
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=descriptor)
    return [name for name, is_folder in found if is_folder]


def flatten(top: int, name: str, names: Iterator[str]) -> None:
    """Empty one folder of the top, moving its own folders up beside it, and remove it."""
    os.chmod(name, stat.S_IRWXU, dir_fd=top)
    with opened(name, top) as below:
        for inner in remove_files(below):
            os.chmod(inner, stat.S_IRWXU, dir_fd=below)
            os.rename(inner, next(names), src_dir_fd=below, dst_dir_fd=top)
    os.rmdir(name, dir_fd=top)
