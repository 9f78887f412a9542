"""Server-Sent Events: a reader of the log at the end of a connection."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.schemas.events import Recorded
from app.utils.times import stamp

log = structlog.get_logger()

COMMENT = b": \n\n"
COMMENT_SECONDS = 15.0

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

Batches = AsyncIterator[Sequence[Recorded]]
"""Events in order; an empty batch says that nothing happened for a while."""


def frame(event: Recorded) -> bytes:
    """An event on the wire."""
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.data}\n\n".encode()


def _ping(since: float) -> bytes:
    elapsed = round((time.monotonic() - since) * 1000)
    at = stamp(datetime.now(UTC))
    return f'event: ping\ndata: {{"seq":0,"timestamp":"{at}","elapsed_ms":{elapsed}}}\n\n'.encode()


class EventStream(Response):
    """Sends batches as they come, one write per event, until they end or the client leaves or stalls."""

    def __init__(self, batches: Batches, headers: Mapping[str, str], stall_seconds: float) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({**HEADERS, **headers})
        del self.headers["content-length"]
        self._batches = batches
        self._stall_seconds = stall_seconds
        self._written = 0
        self._writing_since: float | None = None
        """When the batch under way was begun, none between batches."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        del scope
        sending = asyncio.create_task(self._send_all(send), name="event stream")
        leaving = asyncio.create_task(_left(receive), name="event stream's client")
        watching = asyncio.create_task(self._stalled(), name="event stream's watch")
        tasks = {sending, leaving, watching}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        begun = commented = time.monotonic()
        async for batch in self._batches:
            self._writing_since = now = time.monotonic()
            for event in batch:
                await send({"type": "http.response.body", "body": frame(event), "more_body": True})
                self._written += 1
            if not batch:
                await send({"type": "http.response.body", "body": _ping(begun), "more_body": True})
            if now - commented >= COMMENT_SECONDS:
                commented = now
                await send({"type": "http.response.body", "body": COMMENT, "more_body": True})
            self._writing_since = None
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stalled(self) -> None:
        """Return when the client has taken nothing for too long; a look now and then costs less than timers."""
        seen = -1
        while True:
            await asyncio.sleep(self._stall_seconds / 2)
            waiting = (
                self._writing_since is not None and self._writing_since < time.monotonic() - self._stall_seconds / 2
            )
            if waiting and seen == self._written:
                log.info("event_stream.stalled", written=self._written)
                return
            seen = self._written


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
