"""Refuses bodies that are too large, counted as they arrive."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """Keeps nothing: it counts what the route takes, and believes a declared length only when it is too much."""

    def __init__(self, app: ASGIApp, *, limit_of: Callable[[Scope], int]) -> None:
        self._app, self._limit_of = app, limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, taken = self._limit_of(scope), 0
        if int(Headers(scope=scope).get("content-length", "0")) > limit:
            raise HTTPException(413)

        async def counting() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413)  # not ours: FastAPI passes only its own kind on while it reads a body
            return message

        await self._app(scope, counting, send)
