"""What can be done with models."""

from dataclasses import asdict

from app.database import ReadSession, Session
from app.errors import Conflict, Detail, NotFound, ResourceInactive, RuleBroken
from app.models.model import Model
from app.repositories.models import Models, Uses
from app.schemas.common import Page
from app.schemas.models import ModelCreate, ModelQuery, ModelStatus, ModelUpdate


async def list_models(session: ReadSession, query: ModelQuery) -> Page[Model]:
    return await Models(session).list(query)


async def get(session: ReadSession, model_id: str) -> Model:
    model = await Models(session).find(model_id)
    if model is None:
        raise NotFound
    return model


async def check_usable(session: ReadSession, model_id: str) -> None:
    """Whether something new may use it. Raises RuleBroken if there is none, ResourceInactive if it is deprecated."""
    model = await Models(session).find(model_id)
    if model is None:
        message = "There is no such model."
        raise RuleBroken(message, details=(Detail("body.model_id", message, "unknown"),))
    if model.status != "active":
        message = "The model is deprecated."
        raise ResourceInactive(message, details=(Detail("body.model_id", message, "inactive"),))


async def create(session: Session, body: ModelCreate) -> Model:
    return await Models(session).add(body.model_dump())


async def update(session: Session, model_id: str, body: ModelUpdate) -> Model:
    changes = body.changes()
    if not changes:
        return await get(session, model_id)
    model = await Models(session).update(model_id, changes)
    if model is None:
        raise NotFound
    return model


async def set_status(session: Session, model_id: str, status: ModelStatus) -> Model:
    return await update(session, model_id, ModelUpdate(status=status))


def _refuse_used(uses: Uses) -> None:
    counts = {kind: count for kind, count in asdict(uses).items() if count}
    if counts:
        details = tuple(Detail(kind, f"{count} use it", "in_use") for kind, count in counts.items())
        raise Conflict("The model is in use.", details=details, usage=asdict(uses))


async def delete(session: Session, model_id: str) -> None:
    """Raises Conflict while anything names the model, the ledger included."""
    models = Models(session)
    if await models.lock(model_id) is None:
        raise NotFound
    _refuse_used(await models.count_uses(model_id))
    await models.delete(model_id)
