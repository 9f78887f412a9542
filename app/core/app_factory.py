"""Puts the application together."""

import re

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.types import Lifespan, Scope

from app import NAME, VERSION
from app.api import health, models, tenants
from app.api.conversations import router as conversations
from app.api.conversations import runs
from app.config import Settings
from app.core import documentation, metrics_endpoint
from app.core.documentation import DocumentedApi, add_documentation
from app.core.exception_handlers import add_exception_handlers, render
from app.core.observation import RequestObserver
from app.middleware.auth import AuthenticationMiddleware
from app.middleware.body_limit import BodyLimitMiddleware
from app.middleware.boundary import ErrorBoundary
from app.middleware.cors import CorsMiddleware
from app.middleware.security_headers import SecurityHeadersMiddleware
from app.middleware.tracing import TracingMiddleware
from app.schemas.errors import ErrorEnvelope
from app.services.runtime import Runtime

MEBIBYTE = 1024 * 1024

_ALWAYS_OPEN = frozenset({"/", "/health", "/health/live", "/health/ready"})
_UPLOAD_PATH = re.compile(rb"/api/tenants/[^/]+/conversations/[^/]+/stream")


def create_app(
    settings: Settings, *, lifespan: Lifespan[FastAPI] | None = None, runtime: Runtime | None = None
) -> FastAPI:
    """The application; its `state.runtime` is the one given here, or set by the lifespan before the first request."""
    app = DocumentedApi(
        title=NAME,
        version=VERSION,
        lifespan=lifespan,
        middleware=_middleware(settings),
        openapi_url=documentation.OPENAPI if _in_development(settings) else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses={"default": {"model": ErrorEnvelope, "description": "Any error."}},
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.runtime = runtime
    add_exception_handlers(app)
    _add_routers(app, settings)
    if _in_development(settings):
        add_documentation(app)
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    """Outermost first, so that every answer, whoever gave it, carries every header."""
    server = settings.server
    return [
        Middleware(TracingMiddleware, observer=RequestObserver()),
        Middleware(SecurityHeadersMiddleware, hsts=server.hsts_enabled and not _in_development(settings)),
        Middleware(CorsMiddleware, origins=server.cors_origins),
        Middleware(ErrorBoundary, render=render),
        Middleware(
            AuthenticationMiddleware,
            keys=[key.get_secret_value() for key in server.api_keys],
            open_paths=_open_paths(settings),
            keyless=_in_development(settings) and not server.api_keys,
            origins=server.cors_origins,
        ),
        Middleware(BodyLimitMiddleware, limit_of=_BodyLimits(settings)),
    ]


def _add_routers(app: FastAPI, settings: Settings) -> None:
    """The busiest first: they are tried in this order."""
    app.include_router(runs.router)
    app.include_router(conversations.router)
    app.include_router(tenants.router)
    app.include_router(models.router)
    app.include_router(health.router)
    if settings.server.metrics_enabled:
        app.include_router(metrics_endpoint.router)


def _open_paths(settings: Settings) -> frozenset[bytes]:
    more = {"/metrics", *documentation.PATHS} if _in_development(settings) else set()
    return frozenset(path.encode() for path in _ALWAYS_OPEN | more)


def _in_development(settings: Settings) -> bool:
    return settings.server.app_env == "development"


def _operation_id(route: APIRoute) -> str:
    return route.name


class _BodyLimits:
    """How large a request's body may be: files come with a conversation's message, and nowhere else."""

    def __init__(self, settings: Settings) -> None:
        self._usual = settings.runs.request_max_mebibytes * MEBIBYTE
        self._upload = settings.runs.upload_max_mebibytes * MEBIBYTE

    def __call__(self, scope: Scope) -> int:
        uploading = scope["method"] == "POST" and _UPLOAD_PATH.fullmatch(scope.get("raw_path", b""))
        return self._upload if uploading and _is_multipart(scope) else self._usual


def _is_multipart(scope: Scope) -> bool:
    return any(name == b"content-type" and value.lower().startswith(b"multipart/") for name, value in scope["headers"])
