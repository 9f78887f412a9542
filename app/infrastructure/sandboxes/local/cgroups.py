"""Memory, process and processor limits by control groups, in version 1 or 2, wherever one can be made."""

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.infrastructure.sandboxes.contract import Limits

PERIOD_US = 100_000
REMOVAL_PAUSES_S = (0.001, 0.002, 0.004, 0.008, *[0.02] * 250)
NAMES = ("memory", "pids", "cpu")

MEANING = {
    "memory": "memory: no writable cgroup, so a sandbox can use all the memory of the machine",
    "cpu": "cpu: no writable cgroup, so a sandbox can use every processor of the machine",
}
"""Said of a limit that is not held. Processes are counted by RLIMIT_NPROC as well, which needs no cgroup."""


@dataclass(frozen=True, slots=True)
class Controller:
    """A place where groups with one kind of limit can be made."""

    version: int
    parent: Path


def find_controllers(processes: Path = Path("/proc/self")) -> dict[str, Controller]:
    """The controllers this process can make groups in."""
    found = dict(find_first_version(processes))
    missing = [name for name in NAMES if name not in found]
    return found | dict(find_second_version(processes, missing))


def find_first_version(processes: Path) -> Iterator[tuple[str, Controller]]:
    own = own_paths(processes)
    for root, point, kind, options in mounts(processes):
        for name in NAMES if kind == "cgroup" else ():
            parent = own_folder(root, point, own.get(name, "/"))
            if name in options and os.access(parent, os.W_OK):
                yield name, Controller(1, parent)


def find_second_version(processes: Path, names: Sequence[str]) -> Iterator[tuple[str, Controller]]:
    own = own_paths(processes).get("", "/")
    for root, point, kind, _ in mounts(processes):
        parent = delegating_parent(own_folder(root, point, own), point, names) if kind == "cgroup2" else None
        for name in names if parent else ():
            if parent and delegates(parent, name):
                yield name, Controller(2, parent)


def delegating_parent(own: Path, top: Path, names: Sequence[str]) -> Path | None:
    """The nearest folder, from `own` up to `top`, below which groups with a controller can be made and joined."""
    candidates = (folder for folder in (own, *own.parents) if folder.is_relative_to(top) and takes_groups(folder))
    return next((folder for folder in candidates if any(delegates(folder, name) for name in names)), None)


def takes_groups(folder: Path) -> bool:
    """Version 2 allows no processes beside groups, but in the root, which alone has no type."""
    populated = bool(listed(folder / "cgroup.procs")) and (folder / "cgroup.type").exists()
    return not populated and all(os.access(place, os.W_OK) for place in (folder, folder / "cgroup.procs"))


def delegates(folder: Path, name: str) -> bool:
    """Whether groups in a folder have a controller, switching it on where that is possible."""
    switches = folder / "cgroup.subtree_control"
    if name in listed(folder / "cgroup.controllers") and name not in listed(switches):
        with suppress(OSError):
            write(switches, f"+{name}")
    return name in listed(switches)


def listed(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def own_paths(processes: Path) -> dict[str, str]:
    """This process's group by controller name; version 2 has the empty name."""
    lines = (line.split(":", 2) for line in (processes / "cgroup").read_text().splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def mounts(processes: Path) -> Iterator[tuple[str, Path, str, list[str]]]:
    """Root within the file system, mount point, type and options of every mount."""
    for line in (processes / "mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        fields, (kind, _, options) = mount.split(), source.split(" ", 2)
        yield fields[3], Path(fields[4]), kind, options.split(",")


def own_folder(root: str, point: Path, path: str) -> Path:
    """Where a group is seen; in a container the mount may begin at the group itself."""
    inside = Path(path).relative_to(root) if Path(path).is_relative_to(root) else Path()
    return point / inside if (point / inside).is_dir() else point


class Group:
    """The control groups of one sandbox."""

    def __init__(self, name: str, controllers: Mapping[str, Controller]) -> None:
        self._places = {kind: controller.parent / name for kind, controller in controllers.items()}
        self._versions = {kind: controller.version for kind, controller in controllers.items()}

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder of the group, made or not."""
        return tuple(dict.fromkeys(self._places.values()))

    def create(self, limits: Limits) -> tuple[str, ...]:
        """Make the folders and set the limits; returns what is not held, in plain words."""
        held = {kind for kind in self._places if self._limited(kind, limits)}
        return tuple(meaning for kind, meaning in MEANING.items() if kind not in held)

    def _limited(self, kind: str, limits: Limits) -> bool:
        folder = self._places[kind]
        try:
            folder.mkdir(exist_ok=True)
            SETTERS[self._versions[kind], kind](folder, limits)
        except OSError:
            return False
        return True

    def admit(self, pid: int) -> None:
        """Move a process; its children will be born here."""
        for folder in self.folders:
            if folder.is_dir():
                write(folder / "cgroup.procs", str(pid))

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process here for want of memory."""
        if "memory" not in self._places:
            return False
        name = "memory.oom_control" if self._versions["memory"] == 1 else "memory.events"
        file = self._places["memory"] / name
        words = (line.split() for line in file.read_text().splitlines()) if file.exists() else ()
        return any(word == "oom_kill" and count != "0" for word, count in words)


def limit_memory_v1(folder: Path, limits: Limits) -> None:
    write(folder / "memory.limit_in_bytes", str(limits.memory_bytes))
    swap = folder / "memory.memsw.limit_in_bytes"
    if swap.exists():
        write(swap, str(limits.memory_bytes))


def limit_memory_v2(folder: Path, limits: Limits) -> None:
    write(folder / "memory.max", str(limits.memory_bytes))
    swap = folder / "memory.swap.max"
    if swap.exists():
        write(swap, "0")


def limit_cpu_v1(folder: Path, limits: Limits) -> None:
    write(folder / "cpu.cfs_period_us", str(PERIOD_US))
    write(folder / "cpu.cfs_quota_us", str(int(limits.cpus * PERIOD_US)))


def limit_cpu_v2(folder: Path, limits: Limits) -> None:
    write(folder / "cpu.max", f"{int(limits.cpus * PERIOD_US)} {PERIOD_US}")


def limit_pids(folder: Path, limits: Limits) -> None:
    write(folder / "pids.max", str(limits.pids))


SETTERS: Mapping[tuple[int, str], Callable[[Path, Limits], None]] = {
    (1, "memory"): limit_memory_v1,
    (2, "memory"): limit_memory_v2,
    (1, "cpu"): limit_cpu_v1,
    (2, "cpu"): limit_cpu_v2,
    (1, "pids"): limit_pids,
    (2, "pids"): limit_pids,
}


def write(file: Path, text: str) -> None:
    """Write to a control file; unlike `Path.write_text` it never makes one."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


async def remove(folders: Sequence[Path]) -> None:
    """Remove groups, ending whatever is left in them."""
    for folder in folders:
        await remove_one(folder)


async def remove_one(folder: Path) -> None:
    """A group just left can be busy for a moment."""
    for pause in REMOVAL_PAUSES_S:
        if removed(folder):
            return
        await asyncio.sleep(pause)
    raise TimeoutError(f"The control group {folder} stays busy")


def removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        end_members(folder)
        return False
    return True


def end_members(folder: Path) -> None:
    for pid in listed(folder / "cgroup.procs"):
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
