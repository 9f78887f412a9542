"""Where whatever is raised becomes one answer."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ErrorBoundary:
    """Stands inside the middleware that dress an answer, so that an error's answer is dressed too."""

    def __init__(self, app: ASGIApp, *, render: Callable[[Request, Exception], Response]) -> None:
        self._app, self._render = app, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as fault:  # noqa: BLE001 -- the door's boundary: no client may see what it does not name
            answer = self._render(Request(scope), fault)
            if not begun:  # an answer that has begun stays unfinished, and the server cuts its connection
                await answer(scope, receive, send)
