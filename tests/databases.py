"""Fixtures: databases built by the migrations, once per test process, and empty for every test."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import URL, make_url

from app import models
from app.core.migrations import migrate
from app.database import Database, open_database
from app.infrastructure.embedded.postgres import PostgresAddress

APP_LOGIN = "backend_app"
TIMEOUT = 10.0

_EMPTY = ";".join(f"DELETE FROM {table.name}" for table in reversed(models.Tenant.metadata.sorted_tables))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server on which tests make databases."""

    address: PostgresAddress
    template: str
    """Migrated and empty."""

    def _url(self, login: str, name: str) -> str:
        return make_url(login).set(database=name).render_as_string(hide_password=False)

    def app_url(self, name: str) -> str:
        return self._url(self.address.app_url, name)

    def owner_url(self, name: str) -> str:
        return self._url(self.address.owner_url, name)

    def admin_url(self, name: str) -> str:
        return self._url(self.address.admin_url, name)

    async def run(self, statements: str, name: str = "postgres") -> None:
        """Execute as the superuser, whom no row-level security stops."""
        connection = await asyncpg.connect(plain_url(self.admin_url(name)))
        try:
            await connection.execute(statements)
        finally:
            await connection.close()


def plain_url(url: str) -> str:
    """The same URL for asyncpg itself."""
    parsed: URL = make_url(url)
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(scope="session")
async def cluster(postgres_server: PostgresAddress) -> Cluster:
    made = Cluster(postgres_server, template="template_of_tests")
    await made.run(f"CREATE DATABASE {made.template} OWNER backend_owner")
    await migrate(made.owner_url(made.template), APP_LOGIN)
    return made


async def _cloned(cluster: Cluster) -> str:
    name = f"test_{uuid4().hex}"
    await cluster.run(f"CREATE DATABASE {name} TEMPLATE {cluster.template} OWNER backend_owner")
    return name


@pytest.fixture(scope="session")
async def shared_database(cluster: Cluster) -> str:
    """The name of the database that tests take turns with."""
    return await _cloned(cluster)


@pytest.fixture
async def database_name(cluster: Cluster, shared_database: str) -> str:
    """The name of a migrated database with no rows; another test's connections to it are gone by now."""
    await cluster.run(_EMPTY, shared_database)
    return shared_database


@pytest.fixture
async def own_database_name(cluster: Cluster) -> AsyncIterator[str]:
    """As `database_name`, but of this test alone."""
    name = await _cloned(cluster)
    yield name
    await cluster.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
async def _shared(cluster: Cluster, shared_database: str) -> AsyncIterator[Database]:
    async with open_database(cluster.app_url(shared_database), pool_size=20, timeout=TIMEOUT) as opened:
        yield opened


@pytest.fixture
async def database(_shared: Database, database_name: str) -> Database:
    """The app's own view of an empty database."""
    return _shared
