"""Prompts that several tests use, and questions to the stand-in and the system about what came of them."""

import asyncio
from collections import Counter

import aiohttp
import psutil

from standin.server import Address
from tests.runner.client import calls_by_model
from tests.runner.conftest import Runner

FOREVER = '@tool Bash {"command": "sleep 120"}'
AGENT = '@agent {"description": "look", "subagent_type": "general-purpose", "prompt": %s}'


async def counted(address: Address) -> Counter[str]:
    """The model calls the stand-in has seen."""
    async with aiohttp.ClientSession(address.url) as session, session.get("/_standin/counters") as answer:
        return calls_by_model(await answer.json())


async def asked(address: Address) -> str:
    """The text of all requests the stand-in has seen."""
    async with aiohttp.ClientSession(address.url) as session, session.get("/_standin/requests") as answer:
        return await answer.text()


async def gone(processes: list[psutil.Process]) -> None:
    """Wait until none of them runs."""
    async with asyncio.timeout(10):
        while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def sleeping(runner: Runner, number: int) -> None:
    """Wait until that many `sleep` programs run below the runner."""
    async with asyncio.timeout(10):
        while sum(child.name() == "sleep" for child in runner.below()) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def settled(runner: Runner) -> None:
    """Wait until the runner has nothing to do."""
    process, used = psutil.Process(runner.process.pid), -1.0
    async with asyncio.timeout(20):
        while used != (used := process.cpu_times().user):  # noqa: ASYNC110
            await asyncio.sleep(0.3)
