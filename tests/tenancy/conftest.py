"""Two tenants, each with a row in every table."""

import pytest

from app.database import Database
from tests.databases import Cluster
from tests.tenancy.rows import TENANTS, filling
from tests.tenancy.scopes import outside


@pytest.fixture
async def filled(cluster: Cluster, database: Database, database_name: str) -> Database:
    async with outside(cluster.admin_url(database_name)) as superuser:
        for tenant in TENANTS:
            for statement in filling(tenant):
                await superuser.execute(statement)
    return database
