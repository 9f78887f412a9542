"""Every process below the runner: found, ended and reaped, however it detached itself from its parent."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PASSES = 100


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ended, so that none gets out of sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def close_memory() -> None:
    """Keep the agent, which runs under the same uid, from reading and writing this process's memory."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def children() -> set[int]:
    """The runner's direct children, adopted ones and zombies included."""
    own = os.getpid()
    return {pid for pid, (parent, _) in _table().items() if parent == own}


def descends_from_here(pid: int) -> bool:
    """Whether a process is the runner or below it. One that is gone counts as such: nobody can vouch for it."""
    table = _table()
    if pid not in table:
        return True
    while pid in table:
        if pid == os.getpid():
            return True
        pid = table[pid][0]
    return False


def kill_descendants() -> None:
    """End everything below the runner; repeated, because what is being ended may still be starting others."""
    for _ in range(_PASSES):
        alive = _descendants()
        if not alive:
            return
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def reap_orphans(own: set[int]) -> None:
    """Collect adopted children that ended; those in `own` are waited for by whoever started them."""
    for pid in children() - own:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _descendants() -> list[int]:
    table = _table()
    found, parents = list[int](), {os.getpid()}
    while parents:
        below = {pid for pid, (parent, _) in table.items() if parent in parents}
        found.extend(pid for pid in below if table[pid][1] not in "ZX")
        parents = below
    return found


def _table() -> dict[int, tuple[int, str]]:
    """Parent and state of every process."""
    table = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            state, parent = (folder / "stat").read_bytes().rpartition(b") ")[2].split()[:2]
            table[int(folder.name)] = (int(parent), state.decode())
    return table
