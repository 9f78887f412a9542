"""A stand-in of its own for every test."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from standin import server
from tests.standin.client import Client


@pytest.fixture
async def address() -> AsyncIterator[server.Address]:
    async with server.running() as address:
        yield address


@pytest.fixture
async def client(address: server.Address) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(address.url) as session:
        yield Client(session)
