"""`python -m bench.sse_server WHO FD EVENTS`: serves one long stream, by our whole stack or by next to nothing."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.conversations.event_stream import EventStream, frame
from app.config import Settings
from app.core.app_factory import create_app
from app.core.logging import configure_logging
from app.core.server import make_server
from app.schemas.events import Recorded, TextDelta, encode

T = TypeVar("T")

STALL_SECONDS = 30.0


def recorded(count: int) -> list[Recorded]:
    """Deltas as a model writes them: a few characters each."""
    now = datetime.now(UTC)
    return [Recorded(n, "text_delta", encode(TextDelta(content=f" word {n}"), n, now)) for n in range(1, count + 1)]


async def _batches(events: Sequence[T], size: int) -> AsyncIterator[Sequence[T]]:
    """So many at a time, as commits return; other connections have their turn between two."""
    rest = iter(events)
    while batch := list(islice(rest, size)):
        yield batch
        await asyncio.sleep(0)


def ours(events: Sequence[Recorded]) -> FastAPI:
    """The application with a route that sends these events, `size` at a time."""
    app = create_app(Settings())

    @app.get("/bench/{size}", response_class=Response)
    async def stream(size: int) -> Response:
        return EventStream(_batches(events, size), {}, STALL_SECONDS)

    return app


def raw(events: Sequence[Recorded]) -> ASGIApp:
    """The floor: the same bytes at the same pace, ready made, one write per event."""
    frames = [frame(event) for event in events]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for batch in _batches(frames, int(scope["path"].rpartition("/")[2])):
            for piece in batch:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return answer


def main(who: str, descriptor: str, count: str) -> None:
    """Serve until SIGTERM."""
    settings, events = Settings(), recorded(int(count))
    configure_logging("WARNING", ())
    server: uvicorn.Server = make_server(ours(events), settings)
    server.config.lifespan = "off"
    if who == "raw":
        server.config.app = raw(events)
    server.run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
