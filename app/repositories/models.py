"""The models' statements."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Delete, Select, Update, delete, func, insert, select, update

from app.database import Session
from app.errors import Conflict
from app.models.conversation import Conversation
from app.models.model import Model
from app.models.tenant import Tenant
from app.models.usage_log import UsageLog
from app.repositories.base import Repository, S_co, refusals
from app.schemas.common import Page
from app.schemas.models import ModelQuery

REFUSALS = {
    "pk_models": lambda: Conflict("There is a model with this id."),
    "fk_tenants_models": lambda: Conflict("The model is in use."),
    "fk_conversations_models": lambda: Conflict("The model is in use."),
}


@dataclass(frozen=True, slots=True)
class Uses:
    """How many rows name a model."""

    tenants: int
    conversations: int
    usage_logs: int


class Models(Repository[S_co]):
    """The registered models."""

    def _listed(self, query: ModelQuery) -> Select[Model]:
        by_name = select(Model).order_by(Model.display_name, Model.model_id)
        return by_name.where(Model.status == query.status) if query.status else by_name

    def _one(self, model_id: str) -> Select[Model]:
        return select(Model).where(Model.model_id == model_id)

    def _change(self, model_id: str, changes: dict[str, Any]) -> Update:
        return update(Model).where(Model.model_id == model_id).values(changes)

    def _removal(self, model_id: str) -> Delete:
        return delete(Model).where(Model.model_id == model_id)

    def _uses(self, model_id: str) -> Select[int, int, int]:
        return select(
            select(func.count()).where(Tenant.model_id == model_id).scalar_subquery(),
            select(func.count()).where(Conversation.model_id == model_id).scalar_subquery(),
            select(func.count()).where(UsageLog.model_id == model_id).scalar_subquery(),
        )

    async def list(self, query: ModelQuery) -> Page[Model]:
        """All of them: there are few."""
        models = await self._all(self._listed(query))
        return Page(models, total=len(models), limit=len(models), offset=0)

    async def find(self, model_id: str) -> Model | None:
        return await self._first(self._one(model_id))

    async def lock(self: "Models[Session]", model_id: str) -> Model | None:
        """As `find`, and until the commit nobody can begin to use it."""
        return await self._first(self._one(model_id).with_for_update())

    async def add(self: "Models[Session]", values: dict[str, Any]) -> Model:
        """Raises Conflict if the id is taken."""
        with refusals(REFUSALS):
            return (await self._session.scalars(insert(Model).values(values).returning(Model))).one()

    async def update(self: "Models[Session]", model_id: str, changes: dict[str, Any]) -> Model | None:
        return await self._first(self._change(model_id, changes).returning(Model))

    async def delete(self: "Models[Session]", model_id: str) -> None:
        """Raises Conflict while tenants or conversations name it."""
        with refusals(REFUSALS):
            await self._session.execute(self._removal(model_id))

    async def count_uses(self, model_id: str) -> Uses:
        """Needs the platform's scope: a tenant sees its own rows only."""
        counted = (await self._session.execute(self._uses(model_id))).one()
        return Uses(*counted)
