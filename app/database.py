"""The engine, the two session types and the scopes that say whose rows a transaction may see."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, NewType
from uuid import UUID

from sqlalchemy import JSON, TIMESTAMP, MetaData, Text, Uuid, event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from uuid_utils.compat import uuid7

from app.errors import AppError, InvalidInput, ServiceUnavailable

TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)

TENANT_ROLE = "tenant_scope"
PLATFORM_ROLE = "platform_scope"
EVENT_ROLE = "event_scope"
EVENT_CONNECTIONS = 2

_UNAVAILABLE = ("08", "53", "57", "25006", "40001", "40P01", "58")
"""SQLSTATEs, or their beginnings, of a server that cannot do it now but may in a moment."""
_UNSTORABLE = frozenset({"22000", "22001", "22003", "22021", "22P05"})
"""SQLSTATEs of values that no column can hold, such as the character U+0000."""

_ENTER = text("SELECT set_config('role', :role, true), set_config('app.tenant_id', :tenant, true)")
_ENTER_TO_READ = text(
    "SELECT set_config('role', :role, true), set_config('app.tenant_id', :tenant, true),"
    " set_config('transaction_read_only', 'on', true)"
)


class Base(DeclarativeBase):
    """The tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own class attribute
        datetime: TIMESTAMP(timezone=True),
        UUID: Uuid(),
        str: Text(),
        dict[str, Any]: JSON(),
    }


class ReadSession(AsyncSession):
    """A session that only reads."""


class Session(ReadSession):
    """A session whose scope commits when its block ends well."""


Effect = Callable[[], Awaitable[None]]


def after_commit(session: Session, effect: Effect) -> None:
    """Have an effect happen once the session's transaction is durable; forgotten on rollback."""
    session.info.setdefault("effects", []).append(effect)


def new_id() -> UUID:
    """A time-ordered identifier (UUIDv7)."""
    return uuid7()


class Database:
    """Hands out transactions, each inside one scope."""

    def __init__(self, engine: AsyncEngine, event_engine: AsyncEngine) -> None:
        self._engine = engine
        self._event_engine = event_engine
        """Its connections are in the event writer's role from their start, which saves three round trips a commit."""

    @asynccontextmanager
    async def tenant(self, tenant_id: TenantId) -> AsyncIterator[Session]:
        """A transaction that sees and writes one tenant's rows."""
        async with self._writing(TENANT_ROLE, tenant_id) as session:
            yield session

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[Session]:
        """A transaction across tenants: admin lists, reaper, recovery."""
        async with self._writing(PLATFORM_ROLE, "") as session:
            yield session

    @asynccontextmanager
    async def tenant_read(self, tenant_id: TenantId) -> AsyncIterator[ReadSession]:
        """As `tenant`, to read only."""
        async with self._reading(TENANT_ROLE, tenant_id) as session:
            yield session

    @asynccontextmanager
    async def platform_read(self) -> AsyncIterator[ReadSession]:
        """As `platform`, to read only."""
        async with self._reading(PLATFORM_ROLE, "") as session:
            yield session

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncConnection]:
        """A connection that may append events of any tenant, and nothing else; each statement is a transaction."""
        async with _connected(self._event_engine) as connection:
            yield connection

    async def ping(self) -> None:
        """One round trip."""
        async with _connected(self._engine) as connection:
            await connection.execute(text("SELECT 1"))

    def pool_states(self) -> dict[str, int]:
        """Connections by state."""
        pool: Any = self._engine.pool
        return {"in_use": pool.checkedout(), "idle": pool.checkedin(), "overflow": max(pool.overflow(), 0)}

    @asynccontextmanager
    async def _writing(self, role: str, tenant: str) -> AsyncIterator[Session]:
        async with Session(self._engine, expire_on_commit=False, autoflush=False) as session:
            async with session.begin():
                with _reaching():
                    await session.execute(_ENTER, {"role": role, "tenant": tenant})
                yield session
            for effect in session.info.pop("effects", ()):
                await effect()

    @asynccontextmanager
    async def _reading(self, role: str, tenant: str) -> AsyncIterator[ReadSession]:
        async with ReadSession(self._engine, expire_on_commit=False, autoflush=False) as session, session.begin():
            with _reaching():
                await session.execute(_ENTER_TO_READ, {"role": role, "tenant": tenant})
            yield session


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    connection = engine.connect()
    with _reaching():
        await connection.start()
    async with aclosing(connection):
        yield connection


@contextmanager
def _reaching() -> Iterator[None]:
    """Around whatever may have to connect first: nothing else in it can fail in these ways."""
    try:
        yield
    except (OSError, PoolTimeout) as fault:
        raise ServiceUnavailable from fault


def _translated(context: ExceptionContext) -> AppError | None:
    """What a failed statement or commit means to its caller; none leaves it to those who expect it."""
    fault = context.original_exception
    if not isinstance(fault, Exception):
        return None
    state = getattr(fault, "sqlstate", None) or ""
    if context.is_disconnect or isinstance(fault, TimeoutError) or state.startswith(_UNAVAILABLE):
        return ServiceUnavailable()
    return InvalidInput("The input holds something that cannot be stored.") if state in _UNSTORABLE else None


def driver_url(url: str) -> str:
    """The same URL with the driver we use."""
    return make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


@asynccontextmanager
async def open_database(url: str, *, pool_size: int, timeout: float) -> AsyncIterator[Database]:
    """Connect lazily to the database of that URL, and let go of it at the end."""
    engine = _engine(url, pool_size, timeout)
    event_engine = _engine(url, EVENT_CONNECTIONS, timeout, role=EVENT_ROLE)
    try:
        yield Database(engine, event_engine.execution_options(isolation_level="AUTOCOMMIT"))
    finally:
        await asyncio.shield(asyncio.gather(engine.dispose(), event_engine.dispose()))


def _engine(url: str, pool_size: int, timeout: float, **server_settings: str) -> AsyncEngine:
    engine = create_async_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout,
        pool_pre_ping=False,
        connect_args={"command_timeout": timeout, "timeout": timeout, "server_settings": server_settings},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "handle_error", _translated)
    return engine
