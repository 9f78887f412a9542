"""The one place where an exception becomes an answer."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import singledispatch
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app import errors
from app.errors import AppError, Detail
from app.infrastructure.metrics import ERRORS
from app.utils.times import stamp

RETRY_AFTER = 5
"""Seconds a client is asked to wait when the error does not say how long."""

_OF_STATUS: dict[int, type[AppError]] = {
    # FastAPI and Starlette say 400 when, and only when, a body cannot be read.
    400: errors.ValidationFailed,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.PayloadTooLarge,
    422: errors.ValidationFailed,
    503: errors.ServiceUnavailable,
}
_WITHOUT_THE_INPUT = {
    "uuid_parsing": "Input should be a valid UUID",
    "union_tag_invalid": "Input names none of the expected kinds",
    "json_invalid": "Input should be valid JSON",
}
"""Sentences for those of pydantic's that quote what was sent."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

log = structlog.get_logger()


@singledispatch
def as_app_error(fault: Exception) -> AppError:  # noqa: ARG001 -- what is unknown says nothing
    """The error of ours that a client sees."""
    return AppError()


@as_app_error.register
def _(fault: AppError) -> AppError:
    return fault


@as_app_error.register
def _(fault: HTTPException) -> AppError:
    return _OF_STATUS.get(fault.status_code, errors.InvalidInput if fault.status_code < 500 else AppError)()


@as_app_error.register
def _(fault: ClientDisconnect) -> AppError:  # noqa: ARG001 -- nobody is left to read it
    return errors.InvalidInput()


@as_app_error.register
def _(fault: RequestValidationError) -> AppError:
    if any(found["loc"][0] == "path" for found in fault.errors()):
        return errors.NotFound()
    return errors.ValidationFailed(details=tuple(map(_detail, fault.errors())))


def render(request: Request, fault: Exception) -> Response:
    """The envelope, whatever went wrong; what nobody expected is logged here, once."""
    error = as_app_error(fault)
    ERRORS.labels(type(fault).__name__, error.code).inc()
    if error.status >= 500:
        _report(error, fault)
    body = {
        "code": error.code,
        "message": error.message,
        "details": [_plain(detail) for detail in error.details] or None,
        "request_id": request.scope.get("state", {}).get("request_id", ""),
        "timestamp": stamp(datetime.now(UTC)),
        **error.extra,
    }
    content = orjson.dumps({"error": body}, default=str)
    return Response(content, error.status, _headers(request, error), "application/json")


def add_exception_handlers(app: FastAPI) -> None:
    """Inside the routes' own wrapper; whatever else is raised reaches the `ErrorBoundary`."""
    for kind in (AppError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, fault: Exception) -> Response:
    return render(request, fault)


def _detail(found: dict[str, Any]) -> Detail:
    message = _WITHOUT_THE_INPUT.get(found["type"]) or found["msg"].removeprefix("Value error, ")
    return Detail(_field(found["loc"]), message, found["type"])


def _field(place: Sequence[object]) -> str:
    if len(place) == 2 and isinstance(place[1], int):
        place = place[:1]  # a position in text that is no JSON
    return ".".join(part if _NAME.fullmatch(part) else "?" for part in map(str, place))


def _plain(detail: Detail) -> dict[str, str]:
    return {"field": detail.field, "message": detail.message, "code": detail.code}


def _headers(request: Request, error: AppError) -> dict[str, str]:
    match error.status:
        case 401:
            return {"WWW-Authenticate": "Bearer"}
        case 405:
            return {"Allow": ", ".join(_methods(request))}
        case 429 | 503:
            return {"Retry-After": str(error.extra.get("retry_after", RETRY_AFTER))}
        case _:
            return {}


def _methods(request: Request) -> list[str]:
    path = request.scope["path"]
    found = (context for context in iter_route_contexts(request.app.routes) if context.path_regex.match(path))
    return sorted({method for context in found for method in context.methods or ()})


def _report(error: AppError, fault: Exception) -> None:
    if error is fault:
        log.warning("http.unavailable", code=error.code, reason=error.message, cause=type(fault.__cause__).__name__)
    else:
        log.error("http.failed", fault=type(fault).__name__, exc_info=fault)
