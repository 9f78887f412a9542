"""A client of the public API: requests, and the events of a stream."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from demo.errors import DemoFailed

SILENCE_SECONDS = 60.0
"""A living stream says something every 10 s."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: dict[str, Any]


class Refused(DemoFailed):
    """The server answered with an error."""

    def __init__(self, method: str, path: str, answer: Answer) -> None:
        said = answer.body.get("error", {}).get("message", "no reason given")
        super().__init__(f"{method} {path} was answered with {answer.status}: {said}")
        self.status = answer.status


class Api:
    """Talks to one server with one key."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def get(self, path: str) -> dict[str, Any]:
        """Read a resource. Raises `Refused`, or `DemoFailed` when the server is gone."""
        return (await self._call("GET", path)).body

    async def send(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Create or change a resource; raises as `get`."""
        return await self._call(method, path, body)

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncIterator[Event]:
        """Begin a run and yield its events, up to the last; raises as `get`."""
        async with self._request("POST", path, body) as response:
            if response.status != 200:
                raise Refused("POST", path, await _answer(response))
            async for frame in _frames(response):
                event = _event(frame)
                if event is not None:
                    yield event

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        async with self._request(method, path, body) as response:
            answer = await _answer(response)
        if answer.status >= 400:
            raise Refused(method, path, answer)
        return answer

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, f"{self._url}{path}", json=body) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoFailed(f"The server was lost during {method} {path} ({type(error).__name__}).") from error


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    try:
        body = json.loads(await response.read() or b"{}")
    except ValueError:
        body = {}
    return Answer(response.status, body if isinstance(body, dict) else {})


async def _frames(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    unread = b""
    async for chunk in response.content.iter_any():
        *whole, unread = (unread + chunk).split(b"\n\n")
        for frame in whole:
            yield frame.decode()


def _event(frame: str) -> Event | None:
    """A frame's event; none for a comment."""
    fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
    return Event(fields["event"], json.loads(fields["data"])) if "data" in fields else None


@asynccontextmanager
async def open_api(url: str, api_key: str) -> AsyncIterator[Api]:
    """A client for as long as the block lasts."""
    patience = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_SECONDS)
    async with aiohttp.ClientSession(headers={"X-API-Key": api_key}, timeout=patience) as session:
        yield Api(session, url)
