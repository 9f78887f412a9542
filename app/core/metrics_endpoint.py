"""Shows the metrics."""

from fastapi import APIRouter, Response

from app.api.dependencies import Running
from app.infrastructure import metrics

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def read_metrics(runtime: Running) -> Response:
    for state, count in runtime.database.pool_states().items():
        metrics.DB_POOL_CONNECTIONS.labels(state).set(count)
    return Response(metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})
