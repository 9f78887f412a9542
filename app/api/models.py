"""The models' routes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.answers import REPLAYED, TOTAL, Listed, PlatformCreated, errors
from app.api.bodies import JsonRoute
from app.api.dependencies import PathModel, PlatformReading, PlatformWriting
from app.models.model import Model
from app.schemas import models as schemas
from app.services import model_service

router = APIRouter(prefix="/api/models", tags=["models"], route_class=JsonRoute, responses=errors(401, 422))


@router.get("", response_model=list[schemas.Model], responses=TOTAL)
async def list_models(
    query: Annotated[schemas.ModelQuery, Query()], session: PlatformReading, listed: Listed
) -> Sequence[Model]:
    """All of them, by `display_name`."""
    return listed(await model_service.list_models(session, query))


@router.post("", status_code=201, response_model=schemas.Model, responses=REPLAYED | errors(409))
async def create_model(body: schemas.ModelCreate, session: PlatformWriting, created: PlatformCreated) -> Response:
    """409 for a taken id."""
    return await created(schemas.Model, partial(model_service.create, session, body))


@router.get("/{model_id}", response_model=schemas.Model, responses=errors(404))
async def get_model(model_id: PathModel, session: PlatformReading) -> Model:
    """One model."""
    return await model_service.get(session, model_id)


@router.put("/{model_id}", response_model=schemas.Model, responses=errors(404))
async def update_model(model_id: PathModel, body: schemas.ModelUpdate, session: PlatformWriting) -> Model:
    """A price change never reprices the past."""
    return await model_service.update(session, model_id, body)


@router.delete("/{model_id}", status_code=204, responses=errors(404, 409))
async def delete_model(model_id: PathModel, session: PlatformWriting) -> None:
    """409 while tenants, conversations or usage name it: `error.usage` counts them."""
    await model_service.delete(session, model_id)


@router.patch("/{model_id}/status", response_model=schemas.Model, responses=errors(404))
async def set_model_status(model_id: PathModel, status: schemas.ModelStatus, session: PlatformWriting) -> Model:
    """Deprecate it, or take that back."""
    return await model_service.set_status(session, model_id, status)
