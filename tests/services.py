"""Fixtures: a PostgreSQL and a Redis of this test process alone, in a folder that goes with it."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.infrastructure.embedded.postgres import PostgresAddress, open_postgres
from app.infrastructure.embedded.redis import RedisAddress, open_redis

CACHE = Path(__file__).parent.parent / ".cache"

UNSAFE_BUT_QUICK = {"fsync": "off", "full_page_writes": "off"}
"""What only a crash of the whole machine would show."""


@pytest.fixture(scope="session")
def service_folder() -> Iterator[Path]:
    """Below the checkout; what killed test processes left is removed first."""
    for left in CACHE.glob("test-*"):
        if not Path(f"/proc/{left.name.removeprefix('test-')}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = CACHE / f"test-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def postgres_server(service_folder: Path) -> AsyncIterator[PostgresAddress]:
    async with open_postgres(service_folder / "postgres", UNSAFE_BUT_QUICK) as address:
        yield address


@pytest.fixture(scope="session")
async def redis_server(service_folder: Path) -> AsyncIterator[RedisAddress]:
    async with open_redis(service_folder / "redis") as address:
        yield address
