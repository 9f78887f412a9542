"""Tries statements in a scope."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.sql.base import Executable

from app.database import driver_url

Scope = AbstractAsyncContextManager[AsyncSession | AsyncConnection]

REFUSED = "refused"
INSUFFICIENT_PRIVILEGE = "42501"


class _Undone(Exception):
    pass


async def attempt(scope: Scope, statement: str | Executable) -> Any:
    """What a statement gives in a scope, or how many rows it touches, or `refused`; never kept."""
    try:
        async with scope as within:
            result: Any = await within.execute(text(statement) if isinstance(statement, str) else statement)
            found = result.scalars().all() if result.returns_rows else result.rowcount
            raise _Undone
    except _Undone:
        return found
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
        return REFUSED


@asynccontextmanager
async def outside(url: str) -> AsyncIterator[AsyncConnection]:
    """A login of the URL's, inside no scope."""
    engine = create_async_engine(driver_url(url))
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()
