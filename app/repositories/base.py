"""What every repository does: run statements, page through them and name refusals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.selectable import TypedReturnsRows

from app.database import ReadSession, TenantId
from app.errors import AppError, Conflict
from app.schemas.common import Page, PageQuery

S_co = TypeVar("S_co", bound=ReadSession, covariant=True)
T = TypeVar("T")

Refusals = Mapping[str, Callable[[], AppError]]
"""What the breach of a constraint, by its name, is told as; of any other: a conflict."""


def _constraint(error: IntegrityError) -> str:
    cause = error.orig.__cause__ if error.orig else None
    return getattr(cause, "constraint_name", None) or ""


@contextmanager
def refusals(told: Refusals) -> Iterator[None]:
    """Tell the breach of a constraint as an error of ours."""
    try:
        yield
    except IntegrityError as error:
        refused = told.get(_constraint(error), Conflict)
        raise refused() from error


class Repository(Generic[S_co]):
    """Statements of the platform's own data; what writes needs a writing session."""

    def __init__(self, session: S_co) -> None:
        self._session = session

    async def _first(self, statement: TypedReturnsRows[T]) -> T | None:
        rows = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return rows.first()

    async def _all(self, statement: TypedReturnsRows[T]) -> Sequence[T]:
        rows = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return rows.all()

    async def _count(self, statement: Select[Any]) -> int:
        return await self._session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0

    async def _page(self, statement: Select[T], query: PageQuery) -> Page[T]:
        items = await self._all(statement.limit(query.limit).offset(query.offset))
        return Page(items, await self._count(statement), query.limit, query.offset)


class TenantRepository(Repository[S_co]):
    """Statements of one tenant's data."""

    def __init__(self, session: S_co, tenant_id: TenantId) -> None:
        super().__init__(session)
        self._tenant_id = tenant_id
