"""Statements without a WHERE, inside each scope and outside of all, on every table there is."""

import asyncio

import pytest
from sqlalchemy import ForeignKeyConstraint, text
from sqlalchemy.exc import IntegrityError

from app.database import Database, TenantId, open_database
from tests.databases import Cluster
from tests.tenancy.rows import METADATA, TABLES, TENANT_TABLES, WITHOUT_TENANCY, A, B, insertion, row
from tests.tenancy.scopes import REFUSED, attempt, outside

EVERY_TABLE = pytest.mark.parametrize("name", TABLES)
EVERY_TENANT_TABLE = pytest.mark.parametrize("name", TENANT_TABLES)
FOREIGN_KEYS = [
    pytest.param(name, key, id=str(key.name))
    for name, table in TENANT_TABLES.items()
    for key in table.foreign_key_constraints
    if key.referred_table.name in TENANT_TABLES
]

UPDATABLE = {"tenants", "conversations", "idempotency_keys", "messages", "runs", "session_entries"}
"""What a tenant's transaction may change; the event log and the ledger only grow."""


async def test_every_table_of_tenants_has_forced_row_level_security(cluster: Cluster, database_name: str) -> None:
    statement = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND {}"
    async with outside(cluster.owner_url(database_name)) as owner:
        tables = set((await owner.scalars(text(statement.format("true")))).all())
        forced = set((await owner.scalars(text(statement.format("relrowsecurity AND relforcerowsecurity")))).all())
    assert tables - forced == WITHOUT_TENANCY | {"alembic_version"}
    assert forced == set(TENANT_TABLES)


@EVERY_TENANT_TABLE
async def test_a_key_begins_with_the_tenant(name: str) -> None:
    assert next(iter(TENANT_TABLES[name].primary_key.columns)).name == "tenant_id"
    assert TENANT_TABLES[name].c.tenant_id.nullable is False


@pytest.mark.parametrize(("name", "key"), FOREIGN_KEYS)
async def test_a_foreign_key_carries_the_tenant(name: str, key: ForeignKeyConstraint) -> None:
    assert next(iter(key.columns)).name == "tenant_id"


@EVERY_TENANT_TABLE
async def test_a_tenant_reads_its_own_rows_only(filled: Database, name: str) -> None:
    assert await attempt(filled.tenant(A), f"SELECT tenant_id FROM {name}") == [A]
    assert await attempt(filled.tenant_read(B), f"SELECT tenant_id FROM {name}") == [B]
    assert await attempt(filled.tenant(A), f"SELECT count(*) FROM {name} WHERE tenant_id = '{B}'") == [0]


@EVERY_TENANT_TABLE
async def test_a_tenant_changes_its_own_rows_only(filled: Database, name: str) -> None:
    changed = await attempt(filled.tenant(A), f"UPDATE {name} SET tenant_id = tenant_id")
    assert changed == (1 if name in UPDATABLE else REFUSED)
    elsewhere = await attempt(filled.tenant(A), f"UPDATE {name} SET tenant_id = tenant_id WHERE tenant_id = '{B}'")
    assert elsewhere == (0 if name in UPDATABLE else REFUSED)


@EVERY_TENANT_TABLE
async def test_a_tenant_gives_no_row_away(filled: Database, name: str) -> None:
    assert await attempt(filled.tenant(A), f"UPDATE {name} SET tenant_id = '{B}'") == REFUSED


@EVERY_TENANT_TABLE
async def test_a_tenant_deletes_its_own_rows_only(filled: Database, name: str) -> None:
    deleted = await attempt(filled.tenant(A), f"DELETE FROM {name}")
    assert deleted == (1 if name in UPDATABLE - {"tenants"} else REFUSED)


@EVERY_TENANT_TABLE
async def test_a_tenant_locks_its_own_rows_only(filled: Database, name: str) -> None:
    locked = await attempt(filled.tenant(A), f"SELECT tenant_id FROM {name} FOR UPDATE")
    assert locked == ([A] if name in UPDATABLE else REFUSED)


@EVERY_TENANT_TABLE
async def test_a_tenant_adds_no_row_to_another(filled: Database, name: str) -> None:
    table = TENANT_TABLES[name]
    assert await attempt(filled.tenant(A), insertion(table, row(table, B))) == REFUSED
    assert await attempt(filled.tenant(A), insertion(table, row(table, B) | {"tenant_id": "nobody"})) == REFUSED


@pytest.mark.parametrize(("name", "key"), [param for param in FOREIGN_KEYS if len(param.values[1].columns) > 1])
async def test_a_row_cannot_hang_on_another_tenants(
    filled: Database, cluster: Cluster, database_name: str, name: str, key: ForeignKeyConstraint
) -> None:
    """Even for the superuser: the key itself says no."""
    parents = {column.name for column in key.columns} - {"tenant_id"}
    mixed = row(TENANT_TABLES[name], A) | {column: row(TENANT_TABLES[name], B)[column] for column in parents}
    async with outside(cluster.admin_url(database_name)) as superuser:
        await superuser.execute(text(f"DELETE FROM {name} WHERE tenant_id = '{A}'"))
        with pytest.raises(IntegrityError, match="foreign key"):
            await superuser.execute(insertion(TENANT_TABLES[name], mixed))


@EVERY_TENANT_TABLE
async def test_without_a_tenant_nothing_is_there(filled: Database, name: str) -> None:
    nobody = TenantId("")
    assert await attempt(filled.tenant(nobody), f"SELECT tenant_id FROM {name}") == []
    assert await attempt(filled.tenant(nobody), insertion(TENANT_TABLES[name], row(TENANT_TABLES[name], A))) == REFUSED
    if name in UPDATABLE - {"tenants"}:
        assert await attempt(filled.tenant(nobody), f"DELETE FROM {name}") == 0


async def test_a_tenant_reads_the_models_and_changes_none(filled: Database) -> None:
    assert await attempt(filled.tenant(A), "SELECT model_id FROM models") == ["x"]
    for statement in ("UPDATE models SET status = status", "DELETE FROM models", "SELECT 1 FROM models FOR UPDATE"):
        assert await attempt(filled.tenant(A), statement) == REFUSED
    assert await attempt(filled.tenant(A), insertion(TABLES["models"], row(TABLES["models"], A))) == REFUSED


@EVERY_TENANT_TABLE
async def test_the_platform_reads_all(filled: Database, name: str) -> None:
    assert sorted(await attempt(filled.platform_read(), f"SELECT tenant_id FROM {name}")) == [A, B]


@EVERY_TABLE
async def test_the_event_writer_reads_nothing_but_fences(filled: Database, name: str) -> None:
    assert await attempt(filled.events(), f"SELECT * FROM {name}") == REFUSED
    assert await attempt(filled.events(), f"DELETE FROM {name}") == REFUSED
    readable = await attempt(filled.events(), f"SELECT 1 FROM {name}")
    assert readable == ([1, 1] if name == "runs" else REFUSED)


@EVERY_TABLE
async def test_the_event_writer_adds_events_and_nothing_else(filled: Database, name: str) -> None:
    table = TABLES[name]
    values = row(table, A) | ({"seq": 2} if name == "events" else {})
    assert await attempt(filled.events(), insertion(table, values)) == (1 if name == "events" else REFUSED)


async def test_the_event_writer_locks_runs_and_changes_none(filled: Database) -> None:
    assert await attempt(filled.events(), "SELECT fence FROM runs FOR SHARE") == [1, 1]
    for column in ("fence", "status", "owner"):
        assert await attempt(filled.events(), f"UPDATE runs SET {column} = {column}") == REFUSED


@pytest.mark.parametrize("name", [*TABLES, "alembic_version"])
async def test_outside_a_scope_the_apps_login_can_do_nothing(cluster: Cluster, database_name: str, name: str) -> None:
    url = cluster.app_url(database_name)
    for statement in (f"SELECT 1 FROM {name}", f"DELETE FROM {name}", f"TRUNCATE {name}", f"LOCK TABLE {name}"):
        assert await attempt(outside(url), statement) == REFUSED
    for statement in (f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY", f"DROP TABLE {name}"):
        assert await attempt(outside(url), statement) == REFUSED


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE backend_owner",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER ROLE backend_app SUPERUSER",
        "ALTER ROLE backend_app BYPASSRLS",
        "GRANT backend_owner TO backend_app",
        "CREATE TABLE mine (x int)",
        "CREATE SCHEMA mine",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
    ],
)
async def test_the_apps_login_cannot_rise(cluster: Cluster, database_name: str, statement: str) -> None:
    assert await attempt(outside(cluster.app_url(database_name)), statement) == REFUSED


@pytest.mark.parametrize("role", ["tenant_scope", "platform_scope", "event_scope", "backend_app"])
async def test_no_scope_owns_or_passes_anything(cluster: Cluster, database_name: str, role: str) -> None:
    async with outside(cluster.owner_url(database_name)) as owner:
        flags = await owner.execute(
            text("SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = :role"),
            {"role": role},
        )
        owned = await owner.execute(
            text("SELECT count(*) FROM pg_class WHERE relowner = CAST(:role AS regrole)"), {"role": role}
        )
        assert (flags.scalar_one(), owned.scalar_one()) == (False, 0)


async def test_a_pooled_connection_forgets_its_tenant(filled: Database, cluster: Cluster, database_name: str) -> None:
    async with open_database(cluster.app_url(database_name), pool_size=1, timeout=5) as one:
        assert await attempt(one.tenant(A), "SELECT tenant_id FROM runs") == [A]
        assert await attempt(one.tenant(B), "SELECT tenant_id FROM runs") == [B]
        assert await attempt(one.platform_read(), "SELECT current_setting('app.tenant_id')") == [""]
        with pytest.raises(IntegrityError):
            async with one.tenant(A) as session:
                await session.execute(insertion(TABLES["runs"], row(TABLES["runs"], A)))
        assert await attempt(one.tenant(B), "SELECT tenant_id FROM runs") == [B]


async def test_a_cancelled_transaction_leaves_no_tenant_behind(
    filled: Database, cluster: Cluster, database_name: str
) -> None:
    async with open_database(cluster.app_url(database_name), pool_size=1, timeout=5) as one:
        inside = asyncio.Event()

        async def linger() -> None:
            async with one.tenant(A) as session:
                await session.execute(text("DELETE FROM runs"))
                inside.set()
                await session.execute(text("SELECT pg_sleep(60)"))

        task = asyncio.create_task(linger())
        await inside.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await attempt(one.tenant(B), "SELECT tenant_id FROM runs") == [B]
        assert await attempt(one.tenant(A), "SELECT tenant_id FROM runs") == [A]


async def test_the_list_of_tables_is_not_empty() -> None:
    assert len(METADATA.tables) >= 9
