"""The conversations' statements."""

from collections.abc import Callable, Sequence
from operator import eq, ge, le
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, Select, Update, delete, insert, select, update

from app.database import Session, UserId
from app.errors import NotFound, RuleBroken
from app.models.conversation import Conversation
from app.models.run import LIVE, Run
from app.repositories.base import Refusals, S_co, TenantRepository, refusals
from app.schemas.common import Page
from app.schemas.conversations import ConversationQuery
from app.utils.dates import Period

REFUSALS: Refusals = {
    "fk_conversations_tenants": NotFound,
    "fk_conversations_models": lambda: RuleBroken("There is no such model."),
}


def _in_title(title: ColumnElement[str | None], text: str) -> ColumnElement[bool]:
    return title.icontains(text, autoescape=True)


def _wanted(query: ConversationQuery, period: Period, owner: UserId | None) -> list[ColumnElement[bool]]:
    wanted: tuple[tuple[Callable[[Any, Any], ColumnElement[bool]], Any, object], ...] = (
        (eq, Conversation.user_id, owner),
        (eq, Conversation.user_id, query.user_id),
        (eq, Conversation.status, query.status),
        (ge, Conversation.created_at, period.start),
        (le, Conversation.created_at, period.end),
        (_in_title, Conversation.title, query.q or None),
    )
    return [condition(column, given) for condition, column, given in wanted if given is not None]


class Conversations(TenantRepository[S_co]):
    """One tenant's conversations."""

    def _listed(self, query: ConversationQuery, period: Period, owner: UserId | None) -> Select[Conversation]:
        return (
            select(Conversation)
            .where(Conversation.tenant_id == self._tenant_id, *_wanted(query, period, owner))
            .order_by(Conversation.updated_at.desc(), Conversation.conversation_id.desc())
        )

    def _key(self, conversation_id: UUID) -> tuple[ColumnElement[bool], ...]:
        return Conversation.tenant_id == self._tenant_id, Conversation.conversation_id == conversation_id

    def _one(self, conversation_id: UUID) -> Select[Conversation]:
        return select(Conversation).where(*self._key(conversation_id))

    def _change(self, conversation_id: UUID, changes: dict[str, Any]) -> Update:
        return update(Conversation).where(*self._key(conversation_id)).values(changes)

    def _removal(self) -> Delete:
        return delete(Conversation).where(Conversation.tenant_id == self._tenant_id)

    def _all_of_tenant(self) -> Select[UUID]:
        return select(Conversation.conversation_id).where(Conversation.tenant_id == self._tenant_id)

    def _live_runs(self, conversation_id: UUID | None) -> Select[UUID]:
        live = select(Run.run_id).where(Run.tenant_id == self._tenant_id, Run.status.in_(LIVE))
        return live.where(Run.conversation_id == conversation_id) if conversation_id else live

    async def list(self, query: ConversationQuery, period: Period, owner: UserId | None) -> Page[Conversation]:
        """All of them, or those of one user."""
        return await self._page(self._listed(query, period, owner), query)

    async def find(self, conversation_id: UUID) -> Conversation | None:
        return await self._first(self._one(conversation_id))

    async def lock(self: "Conversations[Session]", conversation_id: UUID) -> Conversation | None:
        """As `find`, and until the commit no run can begin in it."""
        return await self._first(self._one(conversation_id).with_for_update())

    async def find_live_run(self, conversation_id: UUID) -> UUID | None:
        """The run that has not ended, if there is one."""
        return await self._first(self._live_runs(conversation_id))

    async def hold_runs(self: "Conversations[Session]", conversation_id: UUID | None = None) -> None:
        """Lock the live runs of one or of all, in the order of whoever ends one or writes for many: runs come first."""
        await self._all(self._live_runs(conversation_id).order_by(Run.run_id).with_for_update())

    async def count(self) -> int:
        return await self._count(self._all_of_tenant())

    async def add(self: "Conversations[Session]", values: dict[str, Any]) -> Conversation:
        """Raises NotFound or RuleBroken if the tenant or the model has just gone."""
        row = insert(Conversation).values(tenant_id=self._tenant_id, **values)
        with refusals(REFUSALS):
            return (await self._session.scalars(row.returning(Conversation))).one()

    async def update(
        self: "Conversations[Session]", conversation_id: UUID, changes: dict[str, Any]
    ) -> Conversation | None:
        return await self._first(self._change(conversation_id, changes).returning(Conversation))

    async def delete(self: "Conversations[Session]", conversation_id: UUID) -> None:
        """With its messages, runs, events and transcript."""
        await self._session.execute(self._removal().where(Conversation.conversation_id == conversation_id))

    async def delete_all(self: "Conversations[Session]") -> Sequence[UUID]:
        """All of the tenant's; returns their ids."""
        return await self._all(self._removal().returning(Conversation.conversation_id))
