"""A program that opens both services on a folder, counts its starts there and holds on until its input ends."""

import asyncio
import sys
from pathlib import Path

import asyncpg
from redis.asyncio import Redis

from app.infrastructure.embedded.postgres import open_postgres
from app.infrastructure.embedded.redis import open_redis

QUICK = {"fsync": "off"}
"""Ended processes, unlike ended machines, lose nothing by it."""


def plain(url: str) -> str:
    """The URL as asyncpg itself wants it."""
    return url.replace("+asyncpg", "")


async def count_starts(url: str) -> int:
    connection = await asyncpg.connect(plain(url))
    await connection.execute("CREATE TABLE IF NOT EXISTS starts (id int GENERATED ALWAYS AS IDENTITY)")
    await connection.execute("INSERT INTO starts DEFAULT VALUES")
    count: int = await connection.fetchval("SELECT count(*) FROM starts")
    await connection.close()
    return count


async def answers(url: str) -> bool:
    async with Redis.from_url(url) as client:
        return bool(await client.ping())


async def hold(folder: Path) -> None:
    async with open_postgres(folder / "postgres", QUICK) as postgres, open_redis(folder / "redis") as redis:
        sys.stdout.write(f"{await count_starts(postgres.owner_url)} {await answers(redis.url)}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1])))
