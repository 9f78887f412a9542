"""The ledger's statements."""

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection

from app.database import Session, UserId
from app.errors import AppError, ServiceUnavailable
from app.models.usage_log import UsageLog
from app.repositories.base import S_co, TenantRepository

_INSERTION = insert(UsageLog.__table__).on_conflict_do_nothing()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class NewUsage:
    """A row to write; its id is made once, so that a repeated write is no second row."""

    usage_log_id: UUID
    user_id: UserId
    model_id: str
    bedrock_model_id: str
    operation: str
    status: str
    session_id: UUID | None
    conversation_id: UUID | None
    run_id: UUID | None
    simple_chat_id: UUID | None
    input_tokens: int
    output_tokens: int
    cache_creation_5m_tokens: int
    cache_creation_1h_tokens: int
    cache_read_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What a run used of one model."""

    model_id: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_creation_5m_tokens: int
    cache_creation_1h_tokens: int
    cache_read_tokens: int
    cost_usd: Decimal


FAILURES = (AppError, DBAPIError, NoConnection, OSError, TimeoutError)
"""What a statement can raise on the database's account."""


def may_pass(error: Exception) -> bool:
    """Whether a failed statement may succeed later: the database is away, not the row wrong."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, DataError | IntegrityError | ProgrammingError)
    return isinstance(error, ServiceUnavailable | NoConnection | OSError | TimeoutError)


class UsageLogs(TenantRepository[S_co]):
    """One tenant's part of the ledger."""

    def _by_model(self, run_id: UUID) -> Select[Any]:
        counts = (
            UsageLog.input_tokens,
            UsageLog.output_tokens,
            UsageLog.cache_creation_5m_tokens,
            UsageLog.cache_creation_1h_tokens,
            UsageLog.cache_read_tokens,
        )
        sums = (func.sum(count).cast(count.type) for count in counts)
        return (
            select(UsageLog.model_id, func.count(), *sums, func.sum(UsageLog.cost_usd))
            .where(UsageLog.tenant_id == self._tenant_id, UsageLog.run_id == run_id)
            .group_by(UsageLog.model_id)
            .order_by(UsageLog.model_id)
        )

    async def add(self: "UsageLogs[Session]", usage: NewUsage) -> None:
        """Write a row, unless it is there already."""
        await self._session.execute(_INSERTION, {"tenant_id": self._tenant_id, **asdict(usage)})

    async def list_by_model(self, run_id: UUID) -> list[ModelUsage]:
        """What a run used, one line a model."""
        return [ModelUsage(*row) for row in await self._session.execute(self._by_model(run_id))]
