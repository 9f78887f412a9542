"""Loops that run as long as the program: named, owned, and watched."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

log = structlog.get_logger()

Loops = Mapping[str, Callable[[], Coroutine[Any, Any, None]]]


def _watch(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    log.critical("loop.ended", loop=task.get_name(), exc_info=task.exception())
    signal.raise_signal(signal.SIGTERM)


@asynccontextmanager
async def running(loops: Loops) -> AsyncIterator[None]:
    """Run them for the length of the block. One that ends by itself takes the program down: half of it would lie."""
    tasks = [asyncio.create_task(loop(), name=name) for name, loop in loops.items()]
    for task in tasks:
        task.add_done_callback(_watch)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def every(seconds: float, work: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """A loop that does something again and again."""

    async def loop() -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    return loop
