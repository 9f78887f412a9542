"""The migrations and the tables they make."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.migrations import differences, head, migrate
from app.database import driver_url
from tests.databases import APP_LOGIN, Cluster


async def test_migrations_make_exactly_the_tables_of_the_models(cluster: Cluster, own_database_name: str) -> None:
    assert await differences(cluster.owner_url(own_database_name)) is None


async def test_migrating_again_changes_nothing(cluster: Cluster, own_database_name: str) -> None:
    await migrate(cluster.owner_url(own_database_name), APP_LOGIN)
    engine = create_async_engine(driver_url(cluster.owner_url(own_database_name)))
    async with engine.connect() as connection:
        assert (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all() == [head()]
    await engine.dispose()
