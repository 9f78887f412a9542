"""The embedded Redis is private, keeps nothing on disk and forgets nothing while it runs."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Unreachable

from app.infrastructure.embedded.redis import RedisAddress, open_redis
from tests.embedded.conftest import until, users_of
from tests.embedded.holder import answers


@pytest.mark.parametrize(
    ("name", "value"), [("maxmemory-policy", "noeviction"), ("save", ""), ("appendonly", "no"), ("port", "0")]
)
async def test_the_server_is_set_up_as_a_cache_that_never_evicts(redis_server: RedisAddress, name: str, value: str):
    async with Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert await client.config_get(name) == {name: value}


async def test_a_path_longer_than_a_socket_address_is_no_hindrance(empty: Path):
    async with open_redis(empty / ("d" * 120) / "redis") as address:
        assert await answers(address.url)


async def test_a_restart_forgets_everything(empty: Path):
    for _ in range(2):
        async with open_redis(empty) as address, Redis.from_url(address.url) as client:
            assert await client.dbsize() == 0
            await client.set("key", "value")


async def test_the_server_ends_with_the_block_and_is_not_root(empty: Path):
    async with open_redis(empty):
        servers = [psutil.Process(pid) for pid in users_of(empty) - {os.getpid()}]
        assert [server.uids().effective != 0 for server in servers] == [True]
        assert not servers[0].net_connections("inet")
    assert not servers[0].is_running()


async def test_a_server_that_is_killed_comes_back(empty: Path):
    async with open_redis(empty) as address:
        (killed,) = users_of(empty) - {os.getpid()}
        os.kill(killed, signal.SIGKILL)
        await until(lambda: _answers_again(address.url, killed, empty))


async def _answers_again(url: str, killed: int, folder: Path) -> bool:
    try:
        return killed not in users_of(folder) and await answers(url)
    except Unreachable:
        return False
