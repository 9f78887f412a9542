"""The idempotency keys' statements."""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, Delete, Select, Update, delete, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert

from app.database import Session
from app.models.idempotency_key import IdempotencyKey
from app.repositories.base import TenantRepository


async def purge(session: Session, older_than: timedelta) -> int:
    """Forget the keys of all tenants that are older; returns how many. Needs the platform's scope."""
    old = delete(IdempotencyKey).where(IdempotencyKey.created_at < func.clock_timestamp() - older_than)
    return cast("CursorResult[Any]", await session.execute(old)).rowcount


class IdempotencyKeys(TenantRepository[Session]):
    """One tenant's keys, or the platform's own."""

    def _reservation(self, key: str, fingerprint: str, run_id: UUID | None) -> Insert:
        row = {"tenant_id": self._tenant_id, "key": key, "fingerprint": fingerprint, "run_id": run_id}
        return insert(IdempotencyKey).values(row).on_conflict_do_nothing()

    def _one(self, key: str) -> Select[IdempotencyKey]:
        return select(IdempotencyKey).where(IdempotencyKey.tenant_id == self._tenant_id, IdempotencyKey.key == key)

    def _answered(self, key: str, status: int, answer: str) -> Update:
        own = IdempotencyKey.tenant_id == self._tenant_id, IdempotencyKey.key == key
        return update(IdempotencyKey).where(*own).values(status=status, answer=answer)

    def _removal(self) -> Delete:
        return delete(IdempotencyKey).where(IdempotencyKey.tenant_id == self._tenant_id)

    async def reserve(self, key: str, fingerprint: str, run_id: UUID | None = None) -> bool:
        """Whether the key was free; waits for a transaction that is just taking it."""
        taken = self._reservation(key, fingerprint, run_id).returning(IdempotencyKey.key)
        return await self._first(taken) is not None

    async def find(self, key: str) -> IdempotencyKey | None:
        return await self._first(self._one(key))

    async def answer(self, key: str, status: int, answer: str) -> None:
        """Keep what the request was answered."""
        await self._session.execute(self._answered(key, status, answer))

    async def delete_all(self) -> None:
        await self._session.execute(self._removal())
