"""What is counted and logged of every request."""

from typing import Any

import structlog
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from app.infrastructure.metrics import ACTIVE_CONNECTIONS, HTTP_REQUEST_DURATION, HTTP_REQUESTS

UNMATCHED = "unmatched"
_CHATTER = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
_LONGEST_PATH = 300

log = structlog.get_logger()


class RequestObserver:
    """Knows routes by their templates, so that no id becomes a label."""

    def __init__(self) -> None:
        self._templates: dict[int, str] = {}

    def begun(self) -> None:
        ACTIVE_CONNECTIONS.inc()

    def ended(self, scope: Scope, status: int, seconds: float) -> None:
        method, endpoint = scope["method"], self._endpoint(scope)
        ACTIVE_CONNECTIONS.dec()
        HTTP_REQUESTS.labels(method, endpoint, status).inc()
        HTTP_REQUEST_DURATION.labels(method, endpoint).observe(seconds)
        write = log.debug if endpoint in _CHATTER else log.info
        write("http.request", method=method, status=status, duration_ms=round(seconds * 1000, 1), **_who(scope))

    def _endpoint(self, scope: Scope) -> str:
        if not self._templates:
            contexts = iter_route_contexts(scope["app"].routes)
            self._templates = {id(context.original_route): context.path_format or UNMATCHED for context in contexts}
        return self._templates.get(id(scope.get("route")), UNMATCHED)


def _who(scope: Scope) -> dict[str, Any]:
    caller = scope["state"].get("caller")
    return {"path": scope["path"][:_LONGEST_PATH], "key": caller.key_id if caller else None}
