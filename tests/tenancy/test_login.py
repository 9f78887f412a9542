"""Which logins the server starts with."""

import pytest

from app.core.migrations import UnfitDatabase, check_schema
from tests.databases import Cluster


async def test_a_login_that_owns_nothing_is_fit(cluster: Cluster, database_name: str) -> None:
    await check_schema(cluster.app_url(database_name))


async def test_owners_and_superusers_are_not(cluster: Cluster, database_name: str) -> None:
    for url in (cluster.owner_url(database_name), cluster.admin_url(database_name)):
        with pytest.raises(UnfitDatabase, match="owns nothing"):
            await check_schema(url)
