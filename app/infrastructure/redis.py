"""Redis: wake-ups between replicas. Losing it costs speed, never data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from redis import asyncio as redis
from redis.exceptions import RedisError

from app.errors import ServiceUnavailable
from app.infrastructure.metrics import REDIS_OPERATIONS

CHANNEL = "claude-agent-backend:runs"
ANSWER_SECONDS = 2.0


class RedisBell:
    """One channel that every replica rings and hears."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._hearing: redis.client.PubSub | None = None

    async def ring(self, words: list[str]) -> None:
        """Send; raises `ServiceUnavailable`."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for word in words:
                    pipeline.publish(CHANNEL, word)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise _unavailable("publish") from error
        REDIS_OPERATIONS.labels("publish", "success").inc(len(words))

    async def next(self, timeout: float) -> str | None:
        """The next word, or none in that time; raises `ServiceUnavailable`."""
        try:
            heard = await (await self._subscribed()).get_message(ignore_subscribe_messages=True, timeout=timeout)
        except (RedisError, OSError) as error:
            await self._hang_up()
            raise _unavailable("subscribe") from error
        return None if heard is None else str(heard["data"])

    async def ping(self) -> None:
        """One round trip; raises `ServiceUnavailable`."""
        try:
            await self._client.ping()
        except (RedisError, OSError) as error:
            raise _unavailable("ping") from error
        REDIS_OPERATIONS.labels("ping", "success").inc()

    async def _subscribed(self) -> redis.client.PubSub:
        if self._hearing is None:
            self._hearing = self._client.pubsub()
            await self._hearing.subscribe(CHANNEL)
            REDIS_OPERATIONS.labels("subscribe", "success").inc()
        return self._hearing

    async def _hang_up(self) -> None:
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.aclose()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Let go of every connection."""
        await self._hang_up()
        await self._client.aclose()


def _unavailable(operation: str) -> ServiceUnavailable:
    REDIS_OPERATIONS.labels(operation, "error").inc()
    return ServiceUnavailable()


@asynccontextmanager
async def open_redis(url: str, password: SecretStr | None) -> AsyncIterator[RedisBell]:
    """A bell on the Redis of that URL; connects when first used."""
    client = redis.Redis.from_url(
        url,
        password=password.get_secret_value() if password else None,
        decode_responses=True,
        socket_connect_timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
    )
    bell = RedisBell(client)
    try:
        yield bell
    finally:
        await bell.close()
