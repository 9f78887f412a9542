"""The state folder: who owns which sandboxes' folders, and sweeping up after owners that died."""

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.infrastructure.sandboxes.contract import SandboxId, SandboxUnavailable
from app.infrastructure.sandboxes.local import cgroups
from app.infrastructure.sandboxes.trees import remove_tree

OWNER_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
GENERATED_ETC = {
    "passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\n"
    "agent:x:1000:1000:agent:/home/agent:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
}


@dataclass(frozen=True, slots=True)
class SandboxFolder:
    """One sandbox's folder in its owner's."""

    path: Path

    @property
    def control(self) -> Path:
        return self.path / "control"

    @property
    def gateway(self) -> Path:
        return self.path / "gateway"

    @property
    def cgroups(self) -> Path:
        """A file with the sandbox's control groups, one a line: what a later process must remove."""
        return self.path / "cgroups"

    def create(self, uid: int | None, groups: tuple[Path, ...]) -> None:
        """Make it: control for the sandbox to write, gateway for it to look into."""
        self.path.mkdir(mode=0o700)
        self.cgroups.write_text("".join(f"{group}\n" for group in groups))
        self.control.mkdir(mode=0o700)
        self.gateway.mkdir(mode=0o700)
        if uid is not None:
            os.chown(self.control, uid, uid)
            os.chown(self.gateway, -1, uid)
            self.gateway.chmod(0o750)

    def recorded_groups(self) -> tuple[Path, ...]:
        lines = self.cgroups.read_text().splitlines() if self.cgroups.exists() else []
        return tuple(map(Path, lines))

    async def remove(self) -> None:
        """Remove the control groups, then the folder that remembers them."""
        await cgroups.remove(self.recorded_groups())
        await asyncio.to_thread(remove_tree, self.path)


@dataclass(frozen=True, slots=True)
class OwnerFolder:
    """One owner's folder; the lock file beside it is locked for as long as the owner lives."""

    path: Path

    @property
    def etc(self) -> Path:
        return self.path / "etc"

    @property
    def sandboxes(self) -> Path:
        return self.path / "boxes"

    def sandbox(self, sandbox_id: SandboxId) -> SandboxFolder:
        return SandboxFolder(self.sandboxes / sandbox_id)

    def prepare(self, etc: tuple[str, ...]) -> None:
        """Make the parts; the sandboxes' common /etc gets an empty place for each of the system's entries."""
        self.sandboxes.mkdir(mode=0o700)
        self.etc.mkdir(mode=0o755)
        for name, text in GENERATED_ETC.items():
            (self.etc / name).write_text(text)
        for entry in etc:
            mount_point(Path(entry), self.etc / Path(entry).relative_to("/etc"))
        for path in (self.etc, *self.etc.rglob("*")):
            path.chmod(0o755)

    async def remove(self) -> None:
        """Remove every sandbox's control groups and folder, then the rest."""
        for folder in self.sandboxes.iterdir() if self.sandboxes.is_dir() else ():
            await SandboxFolder(folder).remove()
        await asyncio.to_thread(remove_tree, self.path)


def mount_point(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()


@asynccontextmanager
async def owned(state: Path, owner: str) -> AsyncIterator[OwnerFolder]:
    """Own a folder for as long as the block lasts, or this process; what dead owners left is removed first."""
    if not OWNER_NAME.fullmatch(owner):
        raise ValueError("An owner's name is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(lock_file(state, owner)) as free:
        if not free:
            raise SandboxUnavailable(f"Another living process owns the sandboxes of {owner!r} in {state}")
        await sweep_dead_owners(state)
        folder = OwnerFolder(state / owner)
        await folder.remove()
        folder.path.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            await folder.remove()
            lock_file(state, owner).unlink()


async def sweep_dead_owners(state: Path) -> None:
    """Remove all that is left of owners whose lock nobody holds."""
    for file in state.glob("*.lock"):
        with locked(file) as dead:
            if dead:
                await OwnerFolder(file.with_suffix("")).remove()
                file.unlink()


def lock_file(state: Path, owner: str) -> Path:
    return state / f"{owner}.lock"


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Whether the lock could be had; if so it is held for as long as the block lasts, or this process."""
    descriptor = open_locked(file)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def open_locked(file: Path) -> int | None:
    """A descriptor that holds the lock; none if another holds it. A file removed meanwhile is made anew."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
            return descriptor
        os.close(descriptor)
