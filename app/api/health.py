"""What the server is and how it is, open to all."""

from fastapi import APIRouter, Request

from app import NAME, VERSION
from app.api.dependencies import Running
from app.schemas.health import Alive, Health, Links, Ready, Welcome

router = APIRouter(tags=["health"])


@router.head("/", include_in_schema=False)
@router.get("/")
async def read_root(request: Request, runtime: Running) -> Welcome:
    """What this server is and where to go on."""
    documented = request.app.openapi_url is not None
    links = Links(
        documentation="/docs" if documented else None,
        openapi="/openapi.json" if documented else None,
        metrics="/metrics" if runtime.settings.server.metrics_enabled else None,
    )
    return Welcome(name=NAME, version=VERSION, links=links)


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def read_health(runtime: Running) -> Health:
    """How the server and what it stands on are; 200 whatever the status says."""
    return await runtime.health.check()


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live")
async def read_liveness() -> Alive:
    """Whether the process answers; touches nothing."""
    return Alive()


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready")
async def read_readiness(runtime: Running) -> Ready:
    """Whether the server takes requests; 503 while it drains or lacks its database."""
    await runtime.health.require_ready()
    return Ready()
