"""The models and their prices as of a moment ago, so that a call need not wait for the database."""

import asyncio
import time

import structlog

from app.database import Database
from app.errors import ServiceUnavailable
from app.repositories.model_prices import ModelPrices, PricedModel
from app.repositories.usage_logs import FAILURES

log = structlog.get_logger()

FRESH_SECONDS = 2.0
"""The oldest state a call may be judged by."""
RELOAD_SECONDS = 1.0
WATCH_SECONDS = 600.0
"""How long after the last call the list is still kept fresh."""


class PriceList:
    """Reloads itself every second while there are calls; judges by the database itself when that fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._models: tuple[PricedModel, ...] = ()
        self._loaded_at = float("-inf")
        self._used_at = 0.0
        self._loading = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def current(self) -> tuple[PricedModel, ...]:
        """All models. Raises `ServiceUnavailable` when they are not to be had."""
        self._used_at = time.monotonic()
        if not self._is_fresh():
            await self._catch_up()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        return self._models

    def forget(self) -> None:
        """The models changed."""
        self._loaded_at = float("-inf")

    def close(self) -> None:
        """Stop reloading."""
        if self._watching:
            self._watching.cancel()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._loaded_at <= FRESH_SECONDS

    async def _catch_up(self) -> None:
        async with self._loading:
            if self._is_fresh():
                return
            if failure := await self._load():
                raise ServiceUnavailable from failure

    async def _load(self) -> Exception | None:
        asked_at = time.monotonic()
        try:
            async with self._database.platform_read() as session:
                models = tuple(await ModelPrices(session).list())
        except FAILURES as error:
            log.warning("price_list.not_loaded", error=type(error).__name__)
            return error
        self._models, self._loaded_at = models, asked_at
        return None

    async def _watch(self) -> None:
        while time.monotonic() - self._used_at < WATCH_SECONDS:
            await asyncio.sleep(RELOAD_SECONDS)
            async with self._loading:
                await self._load()
