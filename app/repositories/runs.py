"""The runs' statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, tuple_, update

from app.database import ReadSession, Session, TenantId
from app.models.conversation import Conversation
from app.models.run import LIVE, Run

_NOW: ColumnElement[datetime] = func.clock_timestamp()


@dataclass(frozen=True, slots=True)
class Claim:
    """A run as its owner holds it."""

    tenant_id: TenantId
    run_id: UUID
    fence: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lease that was renewed."""

    run_id: UUID
    cancel_requested: bool


def _lease(seconds: float) -> ColumnElement[datetime]:
    return _NOW + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


class Runs:
    """One tenant's runs."""

    def __init__(self, session: ReadSession, tenant_id: TenantId) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _one(self, run_id: UUID) -> Select[Run]:
        return select(Run).where(Run.tenant_id == self._tenant_id, Run.run_id == run_id)

    async def find(self, run_id: UUID) -> Run | None:
        """The run of that id."""
        return (await self._session.scalars(self._one(run_id))).one_or_none()

    async def find_for_update(self, run_id: UUID) -> Run | None:
        """As `find`, locked until the transaction ends."""
        locked = self._one(run_id).with_for_update().execution_options(populate_existing=True)
        return (await self._session.scalars(locked)).one_or_none()

    async def find_live(self, conversation_id: UUID) -> Run | None:
        """The run a conversation is busy with."""
        statement = self._of_conversation(conversation_id).where(Run.status.in_(LIVE))
        return (await self._session.scalars(statement)).one_or_none()

    def _of_conversation(self, conversation_id: UUID) -> Select[Run]:
        return select(Run).where(Run.tenant_id == self._tenant_id, Run.conversation_id == conversation_id)

    async def list(self, conversation_id: UUID, limit: int, offset: int) -> tuple[Sequence[Run], int]:
        """A conversation's runs, newest first, and how many there are."""
        of_conversation = self._of_conversation(conversation_id)
        total = await self._session.scalar(select(func.count()).select_from(of_conversation.subquery()))
        page = of_conversation.order_by(Run.created_at.desc(), Run.run_id.desc()).limit(limit).offset(offset)
        return (await self._session.scalars(page)).all(), total or 0

    async def create(self, session: Session, run: Run, lease_seconds: float) -> None:
        """Write a new run with a lease from the database's clock."""
        run.lease_until = cast("Any", _lease(lease_seconds))
        session.add(run)
        await session.flush()

    async def mark_running(self, session: Session, claim: Claim) -> bool:
        """Say that the agent works on it; false when the claim is stale."""
        statement = update(Run).where(
            Run.tenant_id == self._tenant_id,
            Run.run_id == claim.run_id,
            Run.fence == claim.fence,
            Run.status.in_(("queued", "running")),
        )
        started = func.coalesce(Run.started_at, _NOW)
        done = await session.execute(statement.values(status="running", started_at=started).returning(Run.run_id))
        return done.first() is not None

    async def request_cancel(self, session: Session, run: Run) -> None:
        """Ask the owner to stop it."""
        await session.execute(
            update(Run)
            .where(Run.tenant_id == self._tenant_id, Run.run_id == run.run_id)
            .values(cancel_requested_at=_NOW)
        )


async def renew(session: Session, claims: Sequence[Claim], lease_seconds: float) -> list[Renewal]:
    """Renew the leases that are still ours, in the order in which the event writer locks."""
    ours = (
        select(Run.tenant_id, Run.run_id)
        .where(
            Run.status.in_(LIVE),
            tuple_(Run.tenant_id, Run.run_id, Run.fence).in_([(c.tenant_id, c.run_id, c.fence) for c in claims]),
        )
        .order_by(Run.tenant_id, Run.run_id)
        .with_for_update()
        .cte("ours")
    )
    statement = (
        update(Run)
        .where(Run.tenant_id == ours.c.tenant_id, Run.run_id == ours.c.run_id)
        .values(lease_until=_lease(lease_seconds))
        .returning(Run.run_id, Run.cancel_requested_at)
    )
    return [Renewal(row.run_id, row.cancel_requested_at is not None) for row in await session.execute(statement)]


async def list_abandoned(session: ReadSession, limit: int) -> list[Claim]:
    """Live runs whose owner let the lease run out."""
    statement = (
        select(Run.tenant_id, Run.run_id, Run.fence)
        .where(Run.status.in_(LIVE), Run.lease_until < _NOW)
        .order_by(Run.lease_until)
        .limit(limit)
    )
    return [Claim(TenantId(row.tenant_id), row.run_id, row.fence) for row in await session.execute(statement)]


async def take_over(session: Session, claim: Claim, owner: str, lease_seconds: float) -> Claim | None:
    """Become the owner of an abandoned run, under a higher fence; none when somebody else was quicker."""
    statement = select(Run).where(Run.tenant_id == claim.tenant_id, Run.run_id == claim.run_id)
    run = (await session.scalars(statement.with_for_update())).one_or_none()
    if run is None or run.fence != claim.fence or run.status not in LIVE or not await _expired(session, run):
        return None
    fence = await session.scalar(
        update(Conversation)
        .where(Conversation.tenant_id == run.tenant_id, Conversation.conversation_id == run.conversation_id)
        .values(fence=Conversation.fence + 1, updated_at=Conversation.updated_at)
        .returning(Conversation.fence)
    )
    run.fence, run.owner = int(fence or 0), owner
    run.lease_until = cast("Any", _lease(lease_seconds))
    await session.flush()
    return Claim(claim.tenant_id, claim.run_id, run.fence)


async def _expired(session: ReadSession, run: Run) -> bool:
    return bool(await session.scalar(select(run.lease_until < _NOW)))
