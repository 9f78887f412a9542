"""The embedded PostgreSQL is durable, private, and never in the way of its next start."""

import os
import signal
from pathlib import Path

import asyncpg
import psutil
import pytest

from app.infrastructure.embedded.errors import EmbeddedServiceError
from app.infrastructure.embedded.postgres import PostgresAddress, open_postgres
from tests.embedded.conftest import until, users_of, wait_until
from tests.embedded.holder import QUICK, count_starts, plain


@pytest.fixture(scope="module")
async def running_postgres(initialised: Path):
    async with open_postgres(initialised / "postgres") as address:
        yield address


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(plain(url))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def role(address: PostgresAddress, name: str) -> dict[str, bool]:
    connection = await asyncpg.connect(plain(address.admin_url))
    row = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", name)
    await connection.close()
    return {key: row[key] for key in ("rolsuper", "rolinherit", "rolcreaterole", "rolcreatedb", "rolbypassrls")}


async def test_a_first_start_makes_the_database_and_its_logins(empty: Path):
    async with open_postgres(empty) as address:
        who = "SELECT current_user || '@' || current_database()"
        assert await ask(address.owner_url, who) == "backend_owner@backend"
        assert await ask(address.app_url, who) == "backend_app@backend"
        assert await ask(address.admin_url, who) == "postgres@postgres"
        owner = await ask(address.admin_url, "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'backend'")
        assert owner == "backend_owner"


async def test_the_owner_may_make_roles_and_no_more(postgres_server: PostgresAddress):
    rights = await role(postgres_server, "backend_owner")
    assert [right for right, granted in rights.items() if granted] == ["rolinherit", "rolcreaterole"]


async def test_the_app_login_has_no_rights(postgres_server: PostgresAddress):
    assert not any((await role(postgres_server, "backend_app")).values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("listen_addresses", ""),
        ("max_connections", "100"),
    ],
)
async def test_the_server_is_set_up_for_keeps(running_postgres: PostgresAddress, name: str, value: str):
    assert await ask(running_postgres.app_url, f"SHOW {name}") == value


async def test_it_is_postgresql_18_with_time_ordered_ids(running_postgres: PostgresAddress):
    assert str(await ask(running_postgres.app_url, "SHOW server_version")).startswith("18.")
    assert await ask(running_postgres.app_url, "SELECT uuid_extract_version(uuidv7())") == 7


async def test_a_callers_settings_win(folder: Path):
    async with open_postgres(folder / "postgres", {"max_connections": "33"}) as address:
        assert await ask(address.app_url, "SHOW max_connections") == "33"


async def test_rows_survive_a_restart(folder: Path):
    for start in (1, 2):
        async with open_postgres(folder / "postgres", QUICK) as address:
            assert await count_starts(address.owner_url) == start


async def test_the_servers_processes_end_with_the_block_and_none_is_root(folder: Path):
    async with open_postgres(folder / "postgres", QUICK):
        servers = [psutil.Process(pid) for pid in users_of(folder / "postgres") - {os.getpid()}]
        assert len(servers) > 3
        assert not [server for server in servers if server.uids().effective == 0]
        assert not [server for server in servers if server.net_connections("inet")]
    assert not [server for server in servers if server.is_running()]


async def test_only_we_can_enter_the_sockets_folder(folder: Path):
    async with open_postgres(folder / "postgres", QUICK):
        assert (folder / "postgres" / "socket").stat().st_mode & 0o077 == 0


@pytest.mark.slow
async def test_a_path_longer_than_a_socket_address_is_no_hindrance(folder: Path):
    deep = folder / ("d" * 120)
    deep.mkdir()
    async with open_postgres((folder / "postgres").rename(deep / "postgres"), QUICK) as address:
        assert await ask(address.app_url, "SELECT 1") == 1


@pytest.mark.slow
async def test_a_process_id_left_behind_that_now_belongs_to_another_is_no_hindrance(folder: Path, other: Path):
    left = folder / "postgres" / "data" / "postmaster.pid"
    async with open_postgres(other / "postgres", QUICK):
        left.write_bytes((other / "postgres" / "data" / "postmaster.pid").read_bytes())
        async with open_postgres(folder / "postgres", QUICK) as address:
            assert await ask(address.app_url, "SELECT 1") == 1


@pytest.mark.slow
async def test_a_half_made_database_is_made_anew(empty: Path):
    (empty / "unfinished" / "base").mkdir(parents=True)
    async with open_postgres(empty, QUICK) as address:
        assert await ask(address.app_url, "SELECT 1") == 1
    assert not (empty / "unfinished").exists()


async def test_a_server_that_is_killed_comes_back_with_all_its_rows(folder: Path):
    pid_file = folder / "postgres" / "data" / "postmaster.pid"
    async with open_postgres(folder / "postgres", QUICK) as address:
        await count_starts(address.owner_url)
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        await until(lambda: _answers(address.owner_url))
        assert await count_starts(address.owner_url) == 2


async def _answers(url: str) -> bool:
    try:
        return await ask(url, "SELECT true") is True
    except (OSError, asyncpg.PostgresError):
        return False


async def test_a_server_that_cannot_start_says_why(folder: Path):
    with pytest.raises(EmbeddedServiceError, match="no_such_setting"):
        async with open_postgres(folder / "postgres", {"no_such_setting": "1"}):
            pass
    wait_until(lambda: not users_of(folder / "postgres"))
