"""Gives every request its id and its times, and tells an observer of it."""

import re
import time
from collections.abc import Callable
from typing import Protocol
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Observer(Protocol):
    """Counts and logs requests; never raises."""

    def begun(self) -> None: ...

    def ended(self, scope: Scope, status: int, seconds: float) -> None: ...


class TracingMiddleware:
    """Outermost: what it adds is on every answer, whoever gave it."""

    def __init__(self, app: ASGIApp, *, observer: Observer, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app, self._observer, self._clock = app, observer, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, request_id = self._clock(), 499, _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                elapsed = f"{self._clock() - began:.4f}".encode()
                message["headers"] = [
                    *message.get("headers", ()), (b"x-request-id", request_id.encode()), (b"x-process-time", elapsed),
                ]  # fmt: skip
            await send(message)

        self._observer.begun()
        try:
            await self._app(scope, receive, sending)
        finally:
            self._observer.ended(scope, status, self._clock() - began)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).getlist("x-request-id")
    return given[0] if len(given) == 1 and _ACCEPTABLE_ID.fullmatch(given[0]) else uuid4().hex
