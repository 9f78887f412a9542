"""Served applications that the tests of this package share."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.edge import KEY, edge, edge_app, edge_settings


@pytest.fixture(scope="session")
async def anyone() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a key, of a server in development that asks for one."""
    async with edge(edge_app(edge_settings())) as client:
        yield client


@pytest.fixture(scope="session")
async def holder() -> AsyncIterator[aiohttp.ClientSession]:
    """As `anyone`, with a key."""
    async with edge(edge_app(edge_settings()), **{"X-API-Key": KEY}) as client:
        yield client


@pytest.fixture(scope="session")
async def keyless() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a server in development without any key."""
    async with edge(edge_app(edge_settings(keys=()))) as client:
        yield client


@pytest.fixture(scope="session")
async def production() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a key, of a server in production."""
    async with edge(edge_app(edge_settings(app_env="production"))) as client:
        yield client
