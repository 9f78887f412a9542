"""Where PostgreSQL and Redis are: given, or embedded under the data folder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy.engine import make_url

from app.config import Settings
from app.core.migrations import migrate
from app.infrastructure.embedded.postgres import open_postgres
from app.infrastructure.embedded.redis import open_redis

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs, secrets included."""

    database: str
    redis: str


@asynccontextmanager
async def addresses(settings: Settings) -> AsyncIterator[Addresses]:
    """The addresses for the length of the block; what is embedded runs as long, its schema up to date."""
    async with AsyncExitStack() as opened:
        yield Addresses(await _database(settings, opened), await _redis(settings, opened))


async def _database(settings: Settings, opened: AsyncExitStack) -> str:
    if settings.database.database_url is not None:
        return settings.database.database_url.get_secret_value()
    address = await opened.enter_async_context(open_postgres(settings.server.data_dir / "postgres"))
    await migrate(address.owner_url, make_url(address.app_url).username or "")
    log.info("database.embedded")
    return address.app_url


async def _redis(settings: Settings, opened: AsyncExitStack) -> str:
    if settings.redis.redis_url is not None:
        return settings.redis.redis_url.get_secret_value()
    address = await opened.enter_async_context(open_redis(settings.server.data_dir / "redis"))
    log.info("redis.embedded")
    return address.url
