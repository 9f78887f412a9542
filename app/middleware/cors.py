"""Lets the browsers of configured origins call."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUEST_HEADERS = (
    "Authorization",
    "Cache-Control",
    "Idempotency-Key",
    "Last-Event-ID",
    "Range",
    "X-API-Key",
    "X-Admin-ID",
    "X-Request-ID",
    "X-Tenant-ID",
    "X-User-ID",
)
EXPOSED_HEADERS = (
    "X-Request-ID",
    "X-Process-Time",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Chat-ID",
    "X-Run-ID",
    "X-Total-Count",
    "Retry-After",
    "Content-Disposition",
)


class CorsMiddleware(CORSMiddleware):
    """Starlette's, with the contract's lists; a refused preflight is an answer without permission, not an error."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        allowed = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return Response(status_code=204, headers=allowed)
