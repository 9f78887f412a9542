"""Folders with a database already initialised, and programs that hold services open."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from app.infrastructure.embedded.postgres import open_postgres
from tests.embedded.holder import QUICK

CHECKOUT = Path(__file__).parents[2]
ORDINARY_UID = 12345
PATIENCE = 20.0

OPEN_HOMES = """
mount -n -t tmpfs tests /mnt; mkdir /mnt/0 /mnt/1
mount -n --bind "$1" /mnt/0; mount -n --bind "$2" /mnt/1
for home in $3; do mount -n -t tmpfs -o mode=0755 tests "$home"; done
mkdir -p "$1" "$2"; mount -n --bind /mnt/0 "$1"; mount -n --bind /mnt/1 "$2"
shift 3; exec "$@"
"""
"""Lets an ordinary user reach the interpreter ($1) and the checkout ($2) under closed homes ($3), changing none."""


@pytest.fixture(scope="session")
async def initialised(service_folder: Path) -> Path:
    folder = service_folder / "initialised"
    async with open_postgres(folder / "postgres", QUICK):
        pass
    return folder


@pytest.fixture(scope="session")
def folder_names() -> Iterator[int]:
    return count()


@pytest.fixture
def empty(service_folder: Path, folder_names: Iterator[int]) -> Iterator[Path]:
    """A data folder as a first start finds it."""
    with _new_folder(service_folder, folder_names) as folder:
        yield folder


@pytest.fixture
def folder(empty: Path, initialised: Path) -> Path:
    """A data folder after a first start."""
    return _fill(empty, initialised)


@pytest.fixture
def other(service_folder: Path, folder_names: Iterator[int], initialised: Path) -> Iterator[Path]:
    """The data folder of another checkout."""
    with _new_folder(service_folder, folder_names) as folder:
        yield _fill(folder, initialised)


@contextmanager
def _new_folder(parent: Path, names: Iterator[int]) -> Iterator[Path]:
    folder = parent / f"embedded-{next(names)}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def _fill(folder: Path, initialised: Path) -> Path:
    subprocess.run(["cp", "-a", "--", str(initialised / "postgres"), str(folder)], check=True)
    return folder


@dataclass
class Holder:
    """The program of holder.py."""

    process: subprocess.Popen[str]

    def line(self) -> str:
        """What it says when both services are up: how often they were, and whether Redis answers."""
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        with self.process:
            self.process.kill()

    def leave(self) -> int:
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


StartHolder = Callable[..., Holder]


@pytest.fixture
def hold() -> Iterator[StartHolder]:
    """Starts holders; those still there at the end of the test are killed, and must leave nothing either."""
    held: list[tuple[Holder, Path]] = []

    def start(folder: Path, entrance: tuple[str, ...] = ()) -> Holder:
        command = [*entrance, sys.executable, "-m", "tests.embedded.holder", str(folder)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=CHECKOUT, env=environment, text=True)
        held.append((Holder(process), folder))
        return held[-1][0]

    yield start
    for holder, _ in held:
        holder.kill()
    wait_until(lambda: not any(users_of(folder) for _, folder in held))


@pytest.fixture
def ordinary() -> tuple[str, ...]:
    """The start of a command that runs as a user without rights, name or home."""
    if os.geteuid() != 0:
        pytest.skip("every other test runs as an ordinary user already")
    interpreter = Path(sys.base_prefix)
    closed = {_closed_above(interpreter), _closed_above(CHECKOUT)} - {None}
    if closed & {interpreter, CHECKOUT}:
        pytest.skip("the checkout or the interpreter is itself closed to others")
    uid = str(ORDINARY_UID)
    return (
        *("unshare", "--mount", "--propagation", "private", "sh", "-euc", OPEN_HOMES, "sh"),
        *(str(interpreter), str(CHECKOUT), " ".join(map(str, closed))),
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
    )


def _closed_above(path: Path) -> Path | None:
    """The outermost folder on the way to the path that others may not enter."""
    for folder in [*reversed(path.parents), path]:
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def users_of(folder: Path) -> set[int]:
    """Processes with a file below the folder open."""
    return {int(pid.name) for pid in Path("/proc").iterdir() if pid.name.isdigit() and _uses(pid, folder)}


def _uses(process: Path, folder: Path) -> bool:
    try:
        return any(entry.readlink().is_relative_to(folder) for entry in (process / "fd").iterdir())
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)
